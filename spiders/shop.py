"""The demo: shops that block, in a lab on this machine, crawled through the lab's metered proxies.

scrapy crawl shop                          starts a lab, crawls all its shops, stops it
scrapy crawl shop -a url=http://...        crawls one shop of this structure through your own proxies.toml
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.settings import SETTINGS_PRIORITIES

from scraper.arguments import arg
from scraper.items import Product
from scraper.lab import process
from scraper.spider import GoodPage, Spider

# The lab is ours, on this machine and made to be asked: no need to be as slow as with a stranger.
LAB_SETTINGS = {
    "ALLOW_PRIVATE_ADDRESSES": True,
    "DOWNLOAD_DELAY": 0.05,
    "DOWNLOAD_TIMEOUT": 4,
    "CONCURRENT_REQUESTS": 32,
}


class ShopSpider(Spider):
    """Every product of every shop, with its price. A product page without a price is a block, whatever it looks like."""

    name = "shop"
    proxy_countries: ClassVar[list[str]] = ["us", "de", "fr", "gb"]
    good_page: ClassVar[dict[str, GoodPage]] = {
        "parse": {"css": "a[href*='/p/']"},
        "parse_product": {"css": ["h1", ".price", "[itemprop=sku]"]},
    }

    @dataclass(frozen=True)
    class Args(Spider.Args):
        """The lab's size, where the spider starts one."""

        pages: int = arg(4, "listing pages of each lab shop, ten products each", at_least=1, at_most=1000)
        seed: int = arg(1, "seed of the lab: catalogue, exits and faults")
        world: str = arg(
            "standard", "world of the lab: standard, or a number, each with other rules and prices"
        )

    args: Args
    lab: process.LabProcess | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        spider = super().from_crawler(crawler, *args, **kwargs)
        own_proxies = (crawler.settings.getpriority("PROXIES_FILE") or 0) > SETTINGS_PRIORITIES["project"]
        if not spider.start_pages and not own_proxies:
            spider.start_lab(crawler)
        return spider

    def start_lab(self, crawler: Crawler) -> None:
        """Start a lab beside this run, and send the run through its proxies."""
        folder = Path(crawler.settings.get("RUN_DIR") or crawler.settings.get("DATA_DIR") or "data") / "lab"
        self.lab = process.start(folder, seed=self.args.seed, pages=self.args.pages, world=self.args.world)
        crawler.signals.connect(self.stop_lab, signal=signals.engine_stopped)
        for name, value in LAB_SETTINGS.items():
            crawler.settings.set(name, value, priority="spider")
        crawler.settings.set("PROXIES_FILE", str(folder / "proxies.toml"), priority="spider")
        # What is learnt about the lab's pools is not to be believed of yours of the same name.
        crawler.settings.set("PROXY_STATE_FILE", str(folder / "proxies.sqlite"), priority="spider")
        crawler.settings.set("TLS_CA_FILE", str(folder / "ca.pem"), priority="spider")
        # Shops that need a browser are left out until browser/ stands.
        sites = self.lab.info["sites"].values()
        self.start_pages = [site["start_url"] for site in sites if not site["needs_browser"]]
        self.logger.info(
            "a lab with %d shops serves this run; its files are in %s", len(self.start_pages), folder
        )

    def stop_lab(self) -> None:
        """Keep what the lab knows about this run beside it, and end the lab."""
        if self.lab is not None:
            file = Path(self.lab.info["dir"]) / "truth.json"
            try:
                truth = {**self.lab.truth(), "requests": self.lab.served()}
                file.write_text(json.dumps(truth), encoding="utf-8")
            except OSError as error:
                self.logger.warning("%s cannot be written: %s", file, error)
            finally:
                self.lab.stop()

    def parse(self, response: Response) -> Iterator[Any]:
        """A listing: its products, and the next page."""
        yield from response.follow_all(css=".grid a[href*='/p/']", callback=self.parse_product)
        yield from response.follow_all(css="a[rel=next]")

    def parse_product(self, response: Response) -> Iterator[Product]:
        """A product."""
        price, _, currency = response.css(".price::text").get("").strip().partition(" ")
        yield Product(
            url=response.url,
            site=response.url.split("/")[2].partition(":")[0],
            sku=response.css("[itemprop=sku]::text").get(),
            title=response.css("h1::text").get(),
            price=float(price),
            currency=currency,
            in_stock=response.css(".stock::text").get() == "In stock",
            rating=float(response.css(".rating::attr(data-rating)").get("nan")),
            brand=response.css("[itemprop=brand]::text").get(),
            description=response.css(".description p::text").get(),
        )
