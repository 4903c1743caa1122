"""The perfect player of benchmarks/policies.py: our own crawler, told which pool and country each site needs.

It learns nothing about pools and tries no wrong one. The rest is the crawler's own: identities, waits, retries, verdicts.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.settings import BaseSettings

from scraper.arguments import arg
from scraper.names import ASK_COUNTRY, ASK_POOL
from spiders.shop import ShopSpider


class PerfectSpider(ShopSpider):
    """The spider ``shop`` with every request pinned, those for robots.txt and retries too."""

    name = "perfect"

    @dataclass(frozen=True)
    class Args(ShopSpider.Args):
        """What it is told."""

        needs: str = arg(
            "", "file of {host: {pool, country, later: {pool, country} or null, after: requests}}"
        )

    args: Args

    @classmethod
    def update_settings(cls, settings: BaseSettings) -> None:
        super().update_settings(settings)
        # before robots.txt is asked for, and before an identity is chosen
        middlewares = {**settings.getdict("DOWNLOADER_MIDDLEWARES"), Pin: 50}
        settings.set("DOWNLOADER_MIDDLEWARES", middlewares, priority="spider")


class Pin:
    """Asks for the pool and the country that the site needs now."""

    def __init__(self, needs: dict[str, Any]) -> None:
        self._needs = needs
        self._sent: Counter[str] = Counter()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        spider = crawler.spider
        assert isinstance(spider, PerfectSpider)
        return cls(json.loads(Path(spider.args.needs).read_text(encoding="utf-8")))

    def process_request(self, request: Request) -> None:
        host = urlsplit(request.url).hostname or ""
        need = self._needs[host]
        if need["later"] and self._sent[host] >= need["after"]:
            need = need["later"]
        self._sent[host] += 1
        request.meta[ASK_POOL] = need["pool"]
        if need["country"]:
            request.meta[ASK_COUNTRY] = need["country"]
        else:
            request.meta.pop(ASK_COUNTRY, None)
