"""ADAPTER. Scrapy's scheduler over a frontier store.

A lease ends when the engine lets a request go: after its download, its callback and the pipelines of its items, which
accept an item only when it is durable. Scrapy has no hook for that moment yet (scrapy#7978), so the slot's
``remove_request`` is wrapped; where it is missing the crawl does not start.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from scrapy import Request, Spider, signals
from scrapy.core.scheduler import BaseScheduler
from twisted.internet.defer import Deferred

from scraper import names
from scraper.errors import ConfigError
from scraper.frontier.contract import Page, Store
from scraper.frontier.memory import MemoryStore
from scraper.options import read

if TYPE_CHECKING:
    from scrapy.crawler import Crawler


@dataclass(frozen=True, slots=True)
class Options:
    delay_s: float
    jitter: float
    host_limit: int
    crawl_delay_max_s: float
    user_agent: str


class FrontierScheduler(BaseScheduler):
    """Pages by host and priority, each host within its gate; duplicates filtered by request fingerprint."""

    def __init__(self, crawler: Crawler, options: Options) -> None:
        self.crawler = crawler
        self.options = options
        self.store: Store = MemoryStore(options.delay_s, options.jitter, options.host_limit, random.Random())
        self._pages: dict[Request, Page] = {}  # leased, by the request the engine knows
        self._timer: asyncio.TimerHandle | None = None
        self._hooked = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        settings = crawler.settings
        if jobdir := settings.get("JOBDIR"):
            way_out = "is not supported: its files are pickles, and lose pages at a kill; leave it out"
            raise ConfigError("JOBDIR", jobdir, way_out)
        options = Options(
            delay_s=read(settings, "DOWNLOAD_DELAY", float, at_least=0),
            jitter=read(settings, "DOWNLOAD_DELAY_JITTER", float, at_least=0),
            host_limit=read(settings, "CONCURRENT_REQUESTS_PER_DOMAIN", int, at_least=1),
            crawl_delay_max_s=read(settings, "FRONTIER_CRAWL_DELAY_MAX_S", float, at_least=0),
            user_agent=read(settings, "ROBOTSTXT_USER_AGENT", str),
        )
        return cls(crawler, options)

    def open(self, spider: Spider) -> Deferred[None] | None:
        connect = self.crawler.signals.connect
        connect(self._left_downloader, signal=signals.request_left_downloader)
        connect(self._robots_parsed, signal=signals.robots_parsed)
        connect(self._site_wait, signal=names.SITE_WAIT)
        connect(self._site_pace, signal=names.SITE_PACE)
        connect(self._page_put_off, signal=names.PAGE_PUT_OFF)
        return None

    def close(self, reason: str) -> Deferred[None] | None:
        if self._timer is not None:
            self._timer.cancel()
        left = self.store.counts()
        if left.pending or left.leased:
            self.crawler.stats.set_value("frontier/left", left.pending + left.leased)
        for page in self.store.pending():
            self.crawler.signals.send_catch_log(names.PAGE_LEFT, request=page.request)
        return None

    def has_pending_requests(self) -> bool:
        return self.store.counts().pending > 0

    def enqueue_request(self, request: Request) -> bool:
        page = Page(
            key=self.crawler.request_fingerprinter.fingerprint(request),
            host=urlsplit(request.url).hostname or "",
            priority=request.priority,
            request=request,
            not_before_s=request.meta.pop(names.NOT_BEFORE, 0.0),
        )
        if not self.store.put(page, again=request.dont_filter):
            self.crawler.stats.inc_value("frontier/filtered")
            return False
        self.crawler.stats.inc_value("frontier/enqueued")
        return True

    def next_request(self) -> Request | None:
        self._hook()
        now_s = time.monotonic()
        page = self.store.lease(now_s)
        if page is None:
            self._wake_at(self.store.next_at_s(), now_s)
            return None
        request: Request = page.request
        self._pages[request] = page
        return request

    # --- events -------------------------------------------------------------------------------------------------------

    def _hook(self) -> None:
        """From now on the engine's ``remove_request`` ends the page's lease."""
        if self._hooked:
            return
        slot: Any = self.crawler.engine._slot
        remove = (
            slot.remove_request
        )  # an AttributeError here means: this Scrapy is not the one we were built for

        def remove_and_ack(request: Request) -> None:
            remove(request)
            page = self._pages.pop(request, None)
            if page is not None:
                self.store.ack(page, time.monotonic())
                self.crawler.stats.inc_value("frontier/done")

        slot.remove_request = remove_and_ack
        self._hooked = True

    def _left_downloader(self, request: Request) -> None:
        page = self._pages.get(request)
        if page is not None:
            self.store.downloaded(page, time.monotonic())

    def _robots_parsed(self, robotparser: Any, request: Request) -> None:
        delay_s = robotparser.crawl_delay(self.options.user_agent)
        if delay_s:
            host = urlsplit(request.url).hostname or ""
            self.store.set_delay(host, min(delay_s, self.options.crawl_delay_max_s), time.monotonic())

    def _site_wait(self, host: str, wait_s: float) -> None:
        self.store.block_host(host, time.monotonic() + wait_s)
        self.crawler.stats.inc_value("frontier/site_waits")

    def _page_put_off(self, request: Request) -> None:
        page = self._pages.get(request)
        if page is not None:
            self.store.not_sent(page)

    def _site_pace(self, host: str, delay_s: float) -> None:
        self.store.set_pace(host, delay_s)
        self.crawler.stats.inc_value("frontier/site_paces")

    def _wake_at(self, at_s: float | None, now_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at_s is not None:
            slot: Any = self.crawler.engine._slot
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, at_s - now_s), slot.nextcall.schedule)
