"""Stock Scrapy, with a random proxy for each request or with scrapy-rotating-proxies; started by environments.py.

The same delay, concurrency and timeout as ours; everything else as it comes. What has no product on it yields nothing.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import scrapy
from scrapy.crawler import AsyncCrawlerProcess

SETTINGS = {
    "ROBOTSTXT_OBEY": True,
    "DOWNLOAD_DELAY": 0.05,
    "DOWNLOAD_TIMEOUT": 4,
    "CONCURRENT_REQUESTS": 32,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 4,
    "USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "TELNETCONSOLE_ENABLED": False,
    "LOG_LEVEL": "INFO",
}


class RandomProxy:
    """What most projects have: any proxy of the list for each try."""

    def __init__(self, proxies: list[str], seed: int) -> None:
        self._proxies, self._chance = proxies, random.Random(seed)

    @classmethod
    def from_crawler(cls, crawler: Any) -> RandomProxy:
        return cls(crawler.settings.getlist("RANDOM_PROXIES"), crawler.settings.getint("RANDOM_SEED"))

    def process_request(self, request: Any) -> None:
        request.meta["proxy"] = self._chance.choice(self._proxies)


class ShopSpider(scrapy.Spider):
    """Listings and products, with the selectors of ours."""

    name = "shop"

    def __init__(self, urls: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_urls = urls

    def parse(self, response: Any) -> Iterator[Any]:
        yield from response.follow_all(css=".grid a[href*='/p/']", callback=self.parse_product)
        yield from response.follow_all(css="a[rel=next]")

    def parse_product(self, response: Any) -> Iterator[Any]:
        sku = response.css("[itemprop=sku]::text").get()
        if sku is None:
            return
        price, _, currency = response.css(".price::text").get("").strip().partition(" ")
        yield {
            "site": response.url.split("/")[2].partition(":")[0],
            "sku": sku,
            "title": response.css("h1::text").get(),
            "price": float(price) if price else None,
            "currency": currency,
            "in_stock": response.css(".stock::text").get() == "In stock",
            "rating": float(response.css(".rating::attr(data-rating)").get("nan")),
            "brand": response.css("[itemprop=brand]::text").get(),
            "description": response.css(".description p::text").get(),
        }


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    pools = job["proxies"]
    chosen = (
        pools["residential"] if job["mode"] == "residential" else [p for pool in pools.values() for p in pool]
    )
    settings = {**SETTINGS, "FEEDS": {job["out"]: {"format": "jsonlines"}}}
    if job["mode"] == "rotating":
        settings["ROTATING_PROXY_LIST"] = chosen
        settings["DOWNLOADER_MIDDLEWARES"] = {  # as its README says
            "rotating_proxies.middlewares.RotatingProxyMiddleware": 610,
            "rotating_proxies.middlewares.BanDetectionMiddleware": 620,
        }
    else:
        settings |= {"RANDOM_PROXIES": chosen, "RANDOM_SEED": job["seed"]}
        settings["DOWNLOADER_MIDDLEWARES"] = {RandomProxy: 740}  # before HttpProxyMiddleware (750) reads it
    process = AsyncCrawlerProcess(settings)
    process.crawl(ShopSpider, urls=job["urls"])
    process.start()


if __name__ == "__main__":
    main()
