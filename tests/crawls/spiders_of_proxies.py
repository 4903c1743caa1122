"""Spiders of the proxy tests, for ``-s SPIDER_MODULES=``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import scrapy

from scraper import names
from scraper.arguments import arg
from scraper.spider import Spider


class Asks(Spider):
    """Asks for its pages with ``meta``, a JSON object, and says who each went out as."""

    name = "asks"

    @dataclass(frozen=True)
    class Args(Spider.Args):
        meta: str = arg("{}", "meta of every request")

    args: Args

    def start_request(self, url: str) -> scrapy.Request:
        return super().start_request(url).replace(meta=json.loads(self.args.meta))

    def parse(self, response: Any) -> Iterator[Any]:
        meta = response.meta
        yield {
            "path": urlsplit(response.url).path,
            "pool": meta[names.POOL],
            "identity": meta[names.IDENTITY],
        }
