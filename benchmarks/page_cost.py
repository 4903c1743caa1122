"""CPU of a proxied page with everything on, against stock Scrapy without any of it, side by side.

    python -m benchmarks.page_cost [--pages 200] [--runs 5]

Both crawl the same shop of a lab on this machine, with the same selectors. Ours goes through the lab's residential gateway:
identities, bytes counted, verdicts, content contract, frontier, spool, a worker process, Parquet. Stock asks the shop
directly and keeps no item. CPU is that of the crawl's own process between spider_opened and spider_closed; workers, gateway and shop
are other processes. Prints the median CPU a page of each, and the median of the ratios pair by pair.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import scrapy
from scrapy import signals
from scrapy.crawler import AsyncCrawlerProcess

ROOT = Path(__file__).parents[1]


class Shop(scrapy.Spider):
    """The lab's open shop: listings and products."""

    name = "page_cost"
    good_page = {"parse_product": {"css": [".price", "h1"]}}  # noqa: RUF012  # stock Scrapy does not look at it

    def __init__(self, url: str, host: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_urls = [url]
        self.headers = {"Host": host} if host else {}  # stock Scrapy cannot resolve *.localhost everywhere

    @classmethod
    def from_crawler(cls, crawler: Any, *args: Any, **kwargs: Any) -> Shop:
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.opened, signal=signals.spider_opened)
        crawler.signals.connect(spider.report, signal=signals.spider_closed)
        return spider

    def opened(self) -> None:
        self.began_s = time.process_time()

    def report(self) -> None:
        pages = self.crawler.stats.get_value("response_received_count")
        cpu_s = time.process_time() - self.began_s
        print(json.dumps({"pages": pages, "cpu_ms": 1000 * cpu_s / pages}), flush=True)

    async def start(self) -> Any:
        yield scrapy.Request(self.start_urls[0], headers=self.headers)

    def parse(self, response: Any) -> Iterator[Any]:
        for link in response.css(".grid a[href*='/p/']"):
            yield response.follow(link, self.parse_product, headers=self.headers)
        for link in response.css("a[rel=next]"):
            yield response.follow(link, headers=self.headers)

    def parse_product(self, response: Any) -> Iterator[Any]:
        yield {
            "title": response.css("h1::text").get(),
            "price": response.css(".price::text").get(),
            "sku": response.css("[itemprop=sku]::text").get(),
            "description": response.css(".description p::text").get(),
        }


def stock(url: str, host: str) -> None:
    """Run the spider with Scrapy's defaults, but for the doors that are open by default and the concurrency."""
    settings = {"CONCURRENT_REQUESTS": 32, "CONCURRENT_REQUESTS_PER_DOMAIN": 32, "LOG_LEVEL": "INFO"}
    closed = {"TELNETCONSOLE_ENABLED": False, "REMOTE_CONTROL_ENABLED": False}
    process = AsyncCrawlerProcess({**settings, **closed})
    process.crawl(Shop, url=url, host=host)
    process.start()


def run(command: list[str]) -> dict[str, float]:
    """Start one crawl and return what its spider printed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    figures: dict[str, float] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            figures |= json.loads(line)
    if figures:
        return figures
    raise SystemExit(f"{' '.join(command)} printed no figures:\n{done.stdout}\n{done.stderr[-3000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", type=int, default=200, help="listing pages of the shop, ten products each")
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs")
    parser.add_argument("--stock", nargs=2, metavar=("URL", "HOST"), help="run the stock side alone")
    options = parser.parse_args()
    if options.stock:
        stock(*options.stock)
        return

    from scraper.lab import process as lab_process

    with (
        tempfile.TemporaryDirectory() as name,
        lab_process.start(Path(name) / "lab", pages=options.pages) as lab,
    ):
        folder = Path(name)
        text = (folder / "lab" / "proxies.toml").read_text()
        start = text.index("[pools.residential]")
        (folder / "lab" / "home.toml").write_text(text[start : text.index("[pools.mobile]")])
        site = lab.info["sites"]["open"]
        port = site["start_url"].rstrip("/").rpartition(":")[2]
        ours = [
            sys.executable, "-m", "scrapy", "crawl", "page_cost", "-a", f"url={site['start_url']}",
            "-s", "SPIDER_MODULES=benchmarks.page_cost", "-s", f"PROXIES_FILE={folder}/lab/home.toml", "-s", "ALLOW_PRIVATE_ADDRESSES=1",
            "-s", "DOWNLOAD_DELAY=0", "-s", "CONCURRENT_REQUESTS=32", "-s", "CONCURRENT_REQUESTS_PER_DOMAIN=32", "-s", f"DATA_DIR={folder}",
        ]  # fmt: skip
        theirs = [
            sys.executable,
            "-m",
            "benchmarks.page_cost",
            "--stock",
            f"http://127.0.0.1:{port}/",
            f"{site['host']}:{port}",
        ]
        pairs = [(run(ours), run(theirs)) for _ in range(options.runs)]
    for label, side in (("ours, proxied, everything on", 0), ("stock, direct, no pipeline", 1)):
        figures = sorted(pair[side]["cpu_ms"] for pair in pairs)
        print(
            f"{label:32} {statistics.median(figures):.3f} ms CPU a page ({figures[0]:.3f}-{figures[-1]:.3f}), {pairs[0][side]['pages']:.0f} pages"
        )
    ratios = sorted(ours["cpu_ms"] / theirs["cpu_ms"] for ours, theirs in pairs)
    print(f"{'ratio, pair by pair':32} {statistics.median(ratios):.2f} x ({ratios[0]:.2f}-{ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
