"""ADAPTER. The spider behind `scrapy bans explain <url>`: one page, asked for as a crawl does, and nothing is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import scrapy
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.http import Response
from scrapy.spidermiddlewares.httperror import HttpError

from scraper import names
from scraper.bans import bodies, given
from scraper.bans.explain import is_block
from scraper.bans.given import Given, NothingToJudge
from scraper.bans.wording import row, short
from scraper.errors import ConfigError
from scraper.verdicts import GONE, GOOD, Verdict

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from twisted.python.failure import Failure

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
_ANYWAY = "-s ROBOTSTXT_OBEY=0 asks for the page all the same"
_PRIVATE = "; -s ALLOW_PRIVATE_ADDRESSES=1 where that is meant"
_OF_US = "target_refused"  # a setting or an option is why nothing was asked
_UNREADABLE = (bodies.UNDECODABLE, bodies.TOO_LARGE)  # of such a body there is nothing to judge


def ask(settings: Any, url: str, pool: str, country: str) -> Given:
    """Ask for one page and return what came, or the robots.txt that kept it from being asked for and is a block itself.

    Raises NothingToJudge where nothing came, and ConfigError where we ourselves refuse to ask.
    """
    settings.setdict(SETTINGS, priority="cmdline")
    process = AsyncCrawlerProcess(settings)
    crawler = process.create_crawler(AskSpider)
    task = process.crawl(crawler, url=url, pool=pool, country=country)
    process.start()
    if (error := task.exception()) is not None:
        raise error
    spider = crawler.spider
    assert isinstance(spider, AskSpider)
    verdict = spider.verdict
    if spider.response is None or (verdict is not None and verdict.rule in _UNREADABLE):
        return _without_answer(spider)
    assert spider.response.request is not None
    meta = spider.response.request.meta
    sent_on = f", answered by {spider.response.url}" if "redirect_urls" in meta else ""
    said = f"{url}, fetched through {_exit(meta)}{sent_on}"
    only_seen = verdict is not None and (spider.asks_robots or verdict.rule == "bad_location")
    lines: tuple[str, ...] = ()
    if verdict is not None and verdict.rule == bodies.CUT:
        lines = (row("but", f"a crawl asks again first: {_why(verdict)}"),)
    return Given(
        spider.response, said, datetime.now(UTC), decided=verdict if only_seen else None, lines=lines
    )


def _without_answer(spider: AskSpider) -> Given:
    if spider.robots is not None and spider.verdict is None:
        request, response, verdict = spider.robots
        _refuse_for_us(verdict)
        if response is not None and is_block(verdict):
            said = f"{spider.asked} was not asked for: its robots.txt, fetched through {_exit(request.meta)}, is explained here; {_ANYWAY}"
            return Given(given.readable(response), said, datetime.now(UTC))
        if verdict.outcome not in (GOOD, GONE):
            raise NothingToJudge(f"its robots.txt could not be had: {_why(verdict)}; {_ANYWAY}")
        if "robots.txt" in spider.error:
            raise NothingToJudge(f"robots.txt of the site forbids it; {_ANYWAY}")
    if spider.verdict is not None:
        _refuse_for_us(spider.verdict)
        if spider.verdict.outcome not in (GOOD, GONE):
            raise NothingToJudge(f"no answer: {_why(spider.verdict)}")
    raise NothingToJudge(f"no answer: {short(spider.error) or '-L DEBUG shows why'}")


def _refuse_for_us(verdict: Verdict) -> None:
    """Raise ConfigError where nothing was asked because of a setting or an option."""
    if verdict.rule == _OF_US:
        hint = "" if "ALLOW_PRIVATE" in verdict.evidence or "private" not in verdict.evidence else _PRIVATE
        raise ConfigError(verdict.rule, None, f"{short(verdict.evidence)}{hint}")


def _why(verdict: Verdict) -> str:
    return f"{verdict.rule}: {short(verdict.evidence)}" if verdict.evidence else verdict.rule


def _exit(meta: dict[str, Any]) -> str:
    country = meta.get(names.COUNTRY)
    return f"pool {meta.get(names.POOL, '')}" + (f" ({country})" if country else "")


class AskSpider(scrapy.Spider):
    """Asks ``url`` through ``pool`` and from ``country`` ('' for any).

    ``response``: what answered, decompressed, at the end of its redirects; None where nothing did, then ``error`` says
    why. ``verdict``: the last about the page. ``robots``: the last about a robots.txt, with its request and answer.
    """

    name = "bans-explain"

    def __init__(self, url: str, pool: str, country: str) -> None:
        super().__init__()
        self.asked = url
        self.asks_robots = urlsplit(url).path == "/robots.txt"
        self.response: Response | None = None
        self.verdict: Verdict | None = None
        self.robots: tuple[scrapy.Request, Response | None, Verdict] | None = None
        self.error = ""
        self._meta: dict[str, Any] = {names.ANY_ANSWER: True}  # the body of a block is wanted too
        if self.asks_robots:
            self._meta["dont_obey_robotstxt"] = True  # it needs no leave of its own
        self._meta |= {
            key: value for key, value in ((names.ASK_POOL, pool), (names.ASK_COUNTRY, country)) if value
        }

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.verdict_given, signal=names.VERDICT_GIVEN)
        return spider

    async def start(self) -> AsyncIterator[Any]:
        yield scrapy.Request(self.asked, meta=self._meta, dont_filter=True, errback=self.failed)

    def parse(self, response: Response) -> None:
        self.response = response

    def failed(self, failure: Failure) -> None:
        """An answer whose status a spider does not get, or none."""
        if isinstance(failure.value, HttpError):
            self.response = failure.value.response
        else:
            self.error = str(failure.value)

    def verdict_given(self, request: scrapy.Request, response: Response | None, verdict: Verdict) -> None:
        meta = request.meta
        if meta.get(names.WARM_UP):
            return
        if meta.get(names.ANY_ANSWER):
            self.verdict = verdict
            if response is not None and verdict.outcome not in (GOOD, GONE):
                meta["dont_redirect"] = True  # a crawl stops here too, and this answer is the one to explain
        elif meta.get("dont_obey_robotstxt"):
            self.robots = request, response, verdict
