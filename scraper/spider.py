"""ADAPTER. The base of all our spiders: typed arguments, where to start, what a good page holds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypedDict
from urllib.parse import urlsplit

import scrapy

from scraper import arguments
from scraper.arguments import arg
from scraper.errors import ArgumentError
from scraper.extract import urls


class GoodPage(TypedDict, total=False):
    """What a page must hold to be the page that was asked for; every entry must match, or it counts as a block."""

    css: str | list[str]
    xpath: str | list[str]
    json: str | list[str]  # dotted paths that exist and are not null; * is any element
    regex: str | list[str]  # found in the text
    min_bytes: int  # of the decompressed body
    any_of: list[GoodPage]  # one of them holds: a listing, or an honest "no results"


class Spider(scrapy.Spider):
    """A spider declares ``Args`` (a frozen dataclass derived from ``Spider.Args``) and reads ``self.args``.

    ``good_page`` maps names of callbacks, or patterns of addresses, to what their pages must hold (docs/contracts.md); a page
    without it is taken for a block and tried again through another identity. ``proxy_countries`` (ISO 3166 alpha-2) are tried in turn where a site has a geo wall; where
    the country does not matter, none is asked for.
    It starts at ``start_pages``: what the arguments say, else ``start_urls``.
    A spider that names no ``allowed_domains`` stays on the hosts of its start pages, and on hosts below them.
    """

    @dataclass(frozen=True)
    class Args:
        """Where to start: at most one of the three."""

        url: str = arg("", "address to start from", group="start")
        urls: list[str] = arg([], "addresses to start from", group="start")
        urls_file: str = arg(
            "", "text file with one address a line, or the failed.jsonl of a run", group="start"
        )

    args: Args
    good_page: ClassVar[dict[str, GoodPage]] = {}
    proxy_countries: ClassVar[list[str]] = []

    def __init__(self, **given: str) -> None:
        super().__init__()
        self.__dict__.update({name: given[name] for name in arguments.PASSED_BY_SCRAPYD & given.keys()})
        self.args = arguments.parse(self.Args, given)
        asked = _start_pages(self.args)
        self.start_pages = list(asked) or list(self.start_urls)
        self._callbacks = asked
        if self.start_pages and not getattr(self, "allowed_domains", None):
            hosts = (urlsplit(url).hostname or "" for url in self.start_pages)
            self.allowed_domains = sorted({host.removeprefix("www.") for host in hosts})

    async def start(self) -> AsyncIterator[Any]:
        """Ask for every start page. Override it where a start page has another callback than ``parse``."""
        for url in self.start_pages:
            yield self.start_request(url)

    def start_request(self, url: str) -> scrapy.Request:
        """The request for a start page: to ``parse``, or to the callback that failed.jsonl names for it."""
        name = self._callbacks.get(url) or "parse"
        callback = getattr(self, name, None)
        if not callable(callback):
            raise ArgumentError(
                "urls_file", name, f"is no callback of spider {self.name}; it stands beside {url}"
            )
        return scrapy.Request(url, callback)


def read_urls(path: Path) -> dict[str, str]:
    """Return the canonical addresses of a file, each once, with the name of its callback ('' where none is given).

    A line is an address, a comment (#), or an object with ``url`` and perhaps ``callback``, as in failed.jsonl. Raises
    ArgumentError with the line that is wrong.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ArgumentError("urls_file", str(path), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ArgumentError("urls_file", str(path), f"is not UTF-8 text (byte {error.start})") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text, callback = line.strip(), ""
        where = f"line {number} of {path} "
        if text.startswith("{"):
            try:
                entry = json.loads(text)
                text, callback = entry["url"], str(entry.get("callback", ""))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise ArgumentError("urls_file", text[:80], f"{where}is no JSON object with a url") from None
        if text and not text.startswith("#"):
            found[_typed("urls_file", text, where)] = callback
    if not found:
        raise ArgumentError("urls_file", str(path), "holds no address; write one a line")
    return found


def _start_pages(args: Spider.Args) -> dict[str, str]:
    if args.urls_file:
        return read_urls(Path(args.urls_file))
    if args.urls:
        return {_typed("urls", text): "" for text in args.urls}
    return {_typed("url", args.url): ""} if args.url else {}


def _typed(name: str, text: str, where: str = "") -> str:
    try:
        return urls.typed(text)
    except ValueError as error:
        shown = "..." if "@" in text else text  # it may hold a password
        raise ArgumentError(name, shown, f"{where}{error}") from None
