"""Spiders of the crawl tests, for ``-s SPIDER_MODULES=``: most have one mistake each."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit

import scrapy

from scraper.proxies.cookies import IdentityCookiesMiddleware
from scraper.proxies.middleware import IdentityMiddleware
from scraper.spider import GoodPage, Spider
from spiders.shop import ShopSpider


class RaisingCallback(Spider):
    name = "raising_callback"

    def parse(self, response: Any) -> Iterator[Any]:
        raise KeyError("price")
        yield


class RaisingStart(Spider):
    name = "raising_start"

    async def start(self) -> AsyncIterator[Any]:
        raise RuntimeError("no list of shops")
        yield


class Numbers(Spider):
    """Thousands of records that do not compress, to fill a disk."""

    name = "numbers"

    def parse(self, response: Any) -> Iterator[Any]:
        for n in range(3000):
            yield {"n": n, "noise": os.urandom(2000).hex()}


class Slow(Spider):
    """A record a page, for as long as it is let."""

    name = "slow"

    def parse(self, response: Any) -> Iterator[Any]:
        yield {"n": response.meta.get("n", 0), "text": "x" * 2000}
        for n in range(10):
            yield scrapy.Request(f"{response.url.split('?')[0]}?{response.url[-20:]}{n}", meta={"n": n})


class SometimesRaises(Spider):
    """Raises on every other page until it is MENDED."""

    name = "sometimes_raises"

    def parse(self, response: Any) -> Iterator[Any]:
        yield from response.follow_all(css="a", callback=self.parse_page)

    def parse_page(self, response: Any) -> Iterator[Any]:
        if int(response.url.rpartition("/")[2]) % 2 and "MENDED" not in os.environ:
            raise ValueError("an odd page")
        yield {"url": response.url}


class Copies(Spider):
    """Follows with all the meta of its parent, as many spiders do, and with callbacks that are partials."""

    name = "copies"
    good_page: ClassVar[dict[str, GoodPage]] = {"parse_page": {"css": "h1"}}

    def parse(self, response: Any) -> Iterator[Any]:
        for link in response.css("a::attr(href)").getall():
            yield response.follow(link, partial(self.parse_page, link), meta=response.meta)

    def parse_page(self, link: str, response: Any) -> Iterator[Any]:
        yield {"path": urlsplit(response.url).path, "link": link, "h1": response.css("h1::text").get()}


class OwnProxy(Spider):
    """Asks to go through a proxy of its own."""

    name = "own_proxy"

    def start_request(self, url: str) -> scrapy.Request:
        return super().start_request(url).replace(meta={"proxy": "http://127.0.0.1:9"})


class CountsLines(ShopSpider):
    """Says at its end what is still open, and for how many identities."""

    name = "counts_lines"

    def closed(self, reason: str) -> None:
        engine = self.crawler.engine
        identities = self.crawler.get_downloader_middleware(IdentityMiddleware)
        cookies = self.crawler.get_downloader_middleware(IdentityCookiesMiddleware)
        handlers = engine.downloader.handlers._handlers.values()
        stats = self.crawler.stats.get_stats()
        found = {
            "lines": sum(len(handler._lines) for handler in handlers),
            "jars": len(cookies.jars),
            "live": len(identities.roster.live()),
            "retired": sum(n for key, n in stats.items() if key.startswith("proxies/retired/")),
        }
        print(json.dumps(found), file=sys.stderr, flush=True)
