"""Spiders of the tests of content contracts, and of what is suspected without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import scrapy

from scraper import names
from scraper.spider import Spider


class ByAddress(scrapy.Spider):
    """Contracts for the addresses of a site, all of which one callback reads."""

    name = "by_address"
    good_page: ClassVar[dict[str, Any]] = {
        "/p/*": {"css": ["h1", ".price"]},
        "/list/*": {"any_of": [{"css": ".grid a"}, {"regex": "No products found"}]},
        "/api/*": {"json": "items.*.price"},
    }
    handle_httpstatus_list: ClassVar[list[int]] = [404]

    def __init__(self, url: str, paths: str) -> None:
        super().__init__()
        self.start_urls = [f"{url}{path}" for path in paths.split(",")]

    def parse(self, response: Any) -> Iterator[Any]:
        yield {"path": response.url.split("/", 3)[3], "status": response.status, "size": len(response.body)}


class Misspelt(scrapy.Spider):
    name = "misspelt"
    good_page: ClassVar[dict[str, Any]] = {"parse_prodcut": {"css": "h1"}}


class Careless(Spider):
    """Stores what it is given: it says nothing of what a good page holds. All from homes, each for two pages."""

    name = "careless"

    def start_request(self, url: str) -> scrapy.Request:
        return super().start_request(url).replace(meta={names.ASK_POOL: "residential"})

    def parse(self, response: Any) -> Iterator[Any]:
        yield {"url": response.url, "title": response.css("title::text").get()}
