"""ADAPTER. The spider behind ``scrapy proxies check``: a pool is asked the way a crawl asks it, and nothing is kept."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import scrapy
from scrapy.http import Response, TextResponse
from scrapy.http.request import NO_CALLBACK

from scraper import names
from scraper.proxies import check
from scraper.proxies.pools import Pool
from scraper.verdicts import Verdict

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)

# On top of the project's settings. No run is recorded, no file is written, no worker started; each try counts for itself.
SETTINGS: dict[str, Any] = {
    "EXTENSIONS": {
        "scrapy.extensions.logstats.LogStats": None,
        "scrapy.extensions.telnet.TelnetConsole": None,
    },
    "ITEM_PIPELINES": {},
    "FEEDS": {},
    "ROBOTSTXT_OBEY": False,  # pages that tell who asks are there to be asked
    "DOWNLOAD_DELAY": 0,
    "BAN_MAX_ATTEMPTS": 1,
    "PROXIES_RELOAD_S": 0,
    "PROXY_STATE_FILE": "none",
    "PROXY_BUDGET_USD": 0,
    "PROXY_BUDGET_GB": 0,
    "PROXY_SITE_BUDGET_USD": 0,
    "PROXY_SITE_BUDGET_GB": 0,
}


class CheckSpider(scrapy.Spider):
    """Asks ``url`` through ``pool``, one fresh exit after the other, ``tries`` for each of ``countries`` ('' for any)."""

    name = "proxies-check"

    def __init__(self, pool: Pool, url: str, countries: tuple[str, ...], tries: int) -> None:
        super().__init__()
        self._pool, self._url, self._limit = pool, url, check.tries_of(pool, tries)
        self._tries: dict[str, list[check.Try]] = {country: [] for country in countries}
        self._asked = countries[0]

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.verdict_given, signal=names.VERDICT_GIVEN)
        return spider

    def rows(self) -> list[check.Row]:
        """One for each country, once the crawl is over. What refused the first is what the others would have met."""
        last = next(
            (tries[-1] for tries in reversed(self._tries.values()) if tries), check.Try(error="was not asked")
        )
        return [check.summarise(self._pool, asked, tries or [last]) for asked, tries in self._tries.items()]

    async def start(self) -> AsyncIterator[Any]:
        for country, tries in self._tries.items():
            self._asked = country
            while len(tries) < self._limit:
                await self._ask(country)
                if tries[-1].final:
                    return
        return
        yield

    def verdict_given(self, request: scrapy.Request, response: Response | None, verdict: Verdict) -> None:
        # Here and not after the download, which a crawl that finds its pools dead does not wait for.
        latency_s = float(request.meta.get("download_latency", 0.0))
        host = urlsplit(request.url).hostname or ""
        self._tries[self._asked].append(check.judge(verdict, host, _text(response), latency_s, self._asked))

    async def _ask(self, country: str) -> None:
        meta = {names.ASK_POOL: self._pool.name, names.ASK_FRESH: True}
        if country:
            meta[names.ASK_COUNTRY] = country
        # Without a callback the identity middleware waits for an exit itself, or says that there is none.
        request = scrapy.Request(self._url, meta=meta, callback=NO_CALLBACK, dont_filter=True)
        n_before = len(self._tries[country])
        try:
            await self.crawler.engine.download_async(request)
        except Exception as error:  # noqa: BLE001  # its verdict was given; what has none is told as it is
            logger.debug("%s through pool %s: %s", self._url, self._pool.name, error)
            if len(self._tries[country]) == n_before:
                self._tries[country].append(check.Try(error=str(error) or type(error).__name__, final=True))


def _text(response: Response | None) -> str:
    if response is None:
        return ""
    return response.text if isinstance(response, TextResponse) else response.body.decode("utf-8", "replace")
