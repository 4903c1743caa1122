"""Any real site: every page that links and sitemaps lead to, each stored once, as a ``Page``.

    scrapy crawl site -a url=https://example.com/ -a max_pages=500

It stays on the sites of its start addresses, asks for shallow pages first, and obeys ``nofollow``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from scrapy import Request
from scrapy.http import HtmlResponse, Response
from scrapy.linkextractors import IGNORED_EXTENSIONS

from scraper.arguments import arg
from scraper.errors import ArgumentError
from scraper.extract import document, links, metadata, sitemaps, structured, urls
from scraper.items import Page
from scraper.spider import Spider

# Endings of files that are no pages; a link to one is not worth its bytes.
NO_PAGE = frozenset(IGNORED_EXTENSIONS) | {
    "atom", "bz2", "csv", "epub", "gz", "ics", "js", "json", "jsonl", "mjs", "mobi", "rss", "tgz", "tsv", "txt",
    "wasm", "whl", "woff", "woff2", "xz",
}  # fmt: skip
MAX_SITEMAPS = 1_000  # sitemap files of one crawl; an index may name 50,000
MAX_SITEMAP_LEVELS = 3  # of indexes in indexes; the protocol allows one


class SiteSpider(Spider):
    name = "site"

    @dataclass(frozen=True)
    class Args(Spider.Args):
        """By default an endless site (a calendar) ends at 10,000 pages: 1 GB, a few dollars by residential proxy."""

        max_pages: int = arg(
            10_000, "pages to ask for at most (start pages always are); 0: no limit", at_least=0
        )
        max_depth: int | None = arg(
            None,
            "links to follow from a start page at most; 0: only the start pages; empty: no limit",
            at_least=0,
        )
        subdomains: bool = arg(False, "hosts below the start page's host belong to the site")

    args: Args

    def __init__(self, **given: str) -> None:
        super().__init__(**given)
        if not self.start_pages:
            raise ArgumentError("url", "", "give a place to start: -a url=..., urls=... or urls_file=...")
        self.sites = frozenset(map(urls.site, self.start_pages))
        self._seen: set[int] = set()  # hashes of addresses asked for, never of others: 70 MB for a million
        self._stored: set[int] = set()  # hashes of addresses that answered, after redirects
        self._asked = 0
        self._left_out = False
        self._sitemaps_left = MAX_SITEMAPS

    async def start(self) -> AsyncIterator[Any]:
        for url in self.start_pages:
            if request := self._ask(url, depth=0):
                yield request
        if self.args.max_depth != 0:
            for robots in dict.fromkeys(urljoin(url, "/robots.txt") for url in self.start_pages):
                meta = {"dont_obey_robotstxt": True}
                yield Request(robots, self.parse_robots, errback=self.no_robots, meta=meta, priority=1)

    def parse_robots(self, response: Response) -> Iterator[Request]:
        for url in sitemaps.in_robots(response.body, response.url):
            yield from self._ask_sitemap(url, level=1)

    def no_robots(self, failure: Any) -> None:
        """A site without robots.txt or with an unreadable sitemap is crawled by its links."""
        self._count("no_robots")

    def no_sitemap(self, failure: Any) -> None:
        self._count("no_sitemap")

    def parse_sitemap(self, response: Response, level: int) -> Iterator[Request]:
        self._count("sitemaps")
        for url, is_sitemap in sitemaps.entries(response.body, response.url):
            if is_sitemap:
                yield from self._ask_sitemap(url, level + 1)
            elif request := self._ask(url, depth=1):
                yield request

    def parse(self, response: Response, depth: int = 0) -> Iterator[Page | Request]:
        final = urls.canonical(response.url)
        if final is None or not self._is_ours(final):
            self._count("left_site")
            if depth == 0:
                self.logger.warning(
                    "A start page led to another site; to crawl that one: -a url=%s", response.url
                )
        elif not isinstance(response, HtmlResponse):
            self._count("not_html")
        elif hash(final) in self._stored:
            self._count("duplicates")
        else:
            self._stored.add(hash(final))
            self._seen.add(hash(final))
            yield from self._read(response, final, depth)

    def _read(self, response: HtmlResponse, final: str, depth: int) -> Iterator[Page | Request]:
        text = _text(response)
        page = document.parse(text)
        if page.cut:
            self._count("cut")
        base = links.base_url(page.root, final)
        found = links.outgoing(page.root, base)
        if len(found) == links.MAX_LINKS:
            self._count("links_capped")
        metas = metadata.metas(page.root)
        json_ld = structured.json_ld(page.root)
        microdata = structured.microdata(page.root, base) if "itemscope" in text else []
        data = [*json_ld, *microdata]
        first = response.meta.get("redirect_urls", [response.url])[0]
        yield Page(
            url=urls.canonical(first) or first,
            final_url=final,
            status=response.status,
            title=metadata.title(page.root, metas),
            language=metadata.language(page.root, metas, _header(response, "Content-Language")),
            published=metadata.published(page.root, metas, data),
            author=metadata.author(page.root, metas, data),
            links=[link.url for link in found],
            structured={
                "json_ld": json_ld,
                "microdata": microdata,
                "opengraph": metadata.opengraph(metas),
            },
            depth=depth,
            html=text,
        )
        if "nofollow" in metadata.robots(metas, _header(response, "X-Robots-Tag")):
            return
        for link in found:
            if not link.nofollow and (request := self._ask(link.url, depth + 1)):
                yield request

    def _ask(self, url: str, depth: int) -> Request | None:
        """Return the request for a page that is new, ours, and within the limits."""
        if hash(url) in self._seen or not self._is_ours(url):
            return None
        if self.args.max_depth is not None and depth > self.args.max_depth:
            return None
        if depth and _ending(url) in NO_PAGE:
            self._count("no_page")
            return None
        if depth and self.args.max_pages and self._asked >= self.args.max_pages:
            self._leave_out(url)
            return None
        self._asked += 1
        self._seen.add(hash(url))
        # Redirects to other hosts are not followed, but a start page may say so.
        meta = {} if depth else {"allow_offsite": True}
        return Request(url, self.parse, cb_kwargs={"depth": depth}, meta=meta, priority=-depth)

    def _ask_sitemap(self, url: str, level: int) -> Iterator[Request]:
        ours = urls.is_on(url, self.sites, subdomains=True)
        if not ours or level > MAX_SITEMAP_LEVELS or not self._sitemaps_left:
            self._count("sitemaps_left_out")
        elif hash(url) not in self._seen:
            self._seen.add(hash(url))
            self._sitemaps_left -= 1
            kw = {"level": level}
            yield Request(url, self.parse_sitemap, errback=self.no_sitemap, cb_kwargs=kw, priority=1)

    def _leave_out(self, url: str) -> None:
        if not self._left_out:
            limit = self.args.max_pages
            self.logger.warning(
                "max_pages=%d is reached: %s and others are left out (0: no limit)", limit, url
            )
        self._left_out = True
        self._count("over_max_pages")

    def _is_ours(self, url: str) -> bool:
        return urls.is_on(url, self.sites, subdomains=self.args.subdomains)

    def _count(self, what: str) -> None:
        self.crawler.stats.inc_value(f"site/{what}")


def _text(response: HtmlResponse) -> str:
    try:
        return response.text
    except (LookupError, ValueError):  # a charset that is none, such as rot13
        return response.body.decode("utf-8", "replace")


def _header(response: Response, name: str) -> str:
    return ",".join(value.decode("latin-1") for value in response.headers.getlist(name))


def _ending(url: str) -> str:
    _, dot, ending = urlsplit(url).path.rpartition("/")[2].rpartition(".")
    return ending.lower() if dot else ""
