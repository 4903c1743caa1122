"""ADAPTER. The spider behind `scrapy bans explain <url>`: one page, asked for as a crawl does, and nothing is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

import scrapy
from scrapy.http import Response

from scraper import names
from scraper.verdicts import Verdict

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

TRIES = 3  # where an exit or its gateway fails; an answer, whatever it says, is what was asked for

# On top of the project's settings. No run is recorded, no file is written, no worker started.
SETTINGS: dict[str, Any] = {
    "EXTENSIONS": {
        "scrapy.extensions.logstats.LogStats": None,
        "scrapy.extensions.telnet.TelnetConsole": None,
    },
    "ITEM_PIPELINES": {},
    "FEEDS": {},
    "HTTPCACHE_ENABLED": False,
    "BAN_MAX_ATTEMPTS": TRIES,
    "PROXIES_RELOAD_S": 0,
    "PROXY_STATE_FILE": "none",
}


class AskSpider(scrapy.Spider):
    """Asks ``url`` through ``pool`` and from ``country`` ('' for any). ``response`` None: no answer came."""

    name = "bans-explain"

    def __init__(self, url: str, pool: str, country: str) -> None:
        super().__init__()
        self.asked = url
        self.response: Response | None = None
        self.verdict: Verdict | None = None  # of the answer, or of the last fault
        self.robots: Verdict | None = None
        self._meta: dict[str, Any] = {names.ANY_ANSWER: True}  # the body of a block is wanted too
        self._meta |= {
            key: value for key, value in ((names.ASK_POOL, pool), (names.ASK_COUNTRY, country)) if value
        }

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.verdict_given, signal=names.VERDICT_GIVEN)
        return spider

    async def start(self) -> AsyncIterator[Any]:
        yield scrapy.Request(self.asked, meta=self._meta, dont_filter=True)

    def parse(self, response: Response) -> None:
        """The verdict has told all."""

    def verdict_given(self, request: scrapy.Request, response: Response | None, verdict: Verdict) -> None:
        if request.url.endswith("/robots.txt") and request.meta.get("dont_obey_robotstxt"):
            self.robots = verdict
        elif self.response is None and not request.meta.get(names.WARM_UP):
            self.response, self.verdict = response, verdict
