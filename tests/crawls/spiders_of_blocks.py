"""Spiders of the tests on blocks, for ``-s SPIDER_MODULES=``. None has a contract: only the signatures protect them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

import scrapy
from scrapy.http import HtmlResponse, Response, TextResponse

from scraper import names
from scraper.arguments import arg
from scraper.spider import GoodPage, Spider


class Sees(Spider):
    """A record of every answer that reaches a callback, whatever it is; follows the products of a listing."""

    name = "sees"

    def parse(self, response: Response) -> Iterator[Any]:
        yield _seen(response)
        if isinstance(response, HtmlResponse):
            yield from response.follow_all(css=".grid a", callback=self.parse)


class Wants(Spider):
    """Asks for pages whose status it wants to see, as ``-a how=`` says, and tells what became of each."""

    name = "wants"

    @dataclass(frozen=True)
    class Args(Spider.Args):
        statuses: str = arg("", "handle_httpstatus_list of every request, with commas")
        all: bool = arg(False, "handle_httpstatus_all instead")
        dont_retry: bool = arg(False, "dont_retry of every request")

    args: Args

    def start_request(self, url: str) -> scrapy.Request:
        meta: dict[str, Any] = {"handle_httpstatus_all": True} if self.args.all else {}
        if self.args.statuses:
            meta["handle_httpstatus_list"] = [int(status) for status in self.args.statuses.split(",")]
        if self.args.dont_retry:
            meta["dont_retry"] = True
        return super().start_request(url).replace(meta=meta)

    def parse(self, response: Response) -> Iterator[Any]:
        yield _seen(response)


def _seen(response: Response) -> dict[str, Any]:
    parts = urlsplit(response.url)
    return {
        "site": parts.hostname,
        "path": parts.path,
        "status": response.status,
        "title": response.css("title::text").get() if isinstance(response, HtmlResponse) else None,
        "text": response.text if isinstance(response, TextResponse) else repr(response.body),
        "rule": response.meta[names.VERDICT],
        "attempt": response.meta.get(names.ATTEMPT, 1),
    }


class Holds(Sees):
    """Every page of it has a heading."""

    name = "holds"
    good_page: ClassVar[dict[str, GoodPage]] = {"parse": {"css": "h1"}}
