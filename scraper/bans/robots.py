"""ADAPTER. robots.txt as RFC 9309 has it, and never out of a block page's mouth.

What bans/ judged good is read; what is not there (4xx) forbids nothing, once a second exit has confirmed a 401 or 403.
Where every try met a wall or 5xx, the site is taken for forbidden: its pages are given up and listed, with a rule that
says so. Where no try had an answer at all, a page shares the fate of the robots.txt that it waited for.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import TYPE_CHECKING

from scrapy import Request
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK
from scrapy.robotstxt import RobotParser
from scrapy.utils.httpobj import urlparse_cached
from twisted.internet.defer import Deferred

from scraper import names
from scraper.bans.pages import PageGivenUp, give_up_unasked
from scraper.bans.reactions import NOT_SENT
from scraper.verdicts import BLOCKED, FAULT, Verdict

if TYPE_CHECKING:
    from typing import Self

    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)

ASK_AGAIN_S = 300.0  # seconds after which robots.txt of a site that did not give it is asked for again
MOST_BYTES = 512 * 1024  # of a robots.txt that are read
REFUSALS = (401, 403)  # statuses that one exit may get alone


class Unheard(RobotParser):
    """Stands for a robots.txt that could not be had. ``verdict``: of every page that waits for it, until ``until_s``."""

    def __init__(self, verdict: Verdict, until_s: float) -> None:
        self.verdict = verdict
        self.until_s = until_s

    @classmethod
    def from_crawler(cls, crawler: Crawler, robotstxt_body: bytes) -> Self:
        raise NotImplementedError("there is no body")

    def allowed(self, url: str | bytes, user_agent: str | bytes) -> bool:
        return False


class RobotsMiddleware(RobotsTxtMiddleware):
    """Scrapy's, which takes a failure for leave to ask for everything."""

    async def robot_parser(self, request: Request) -> RobotParser | None:
        netloc = urlparse_cached(request).netloc
        known = self._parsers.get(netloc)
        if isinstance(known, Unheard) and time.monotonic() >= known.until_s:
            del self._parsers[netloc]
        return await super().robot_parser(request)

    def process_request_2(self, rp: RobotParser | None, request: Request) -> None:
        if isinstance(rp, Unheard):
            if rp.verdict.rule in NOT_SENT:
                self._stats.inc_value(f"pages/refused/{rp.verdict.rule}")
            raise give_up_unasked(self.crawler, request, rp.verdict)
        try:
            super().process_request_2(rp, request)
        except IgnoreRequest:
            self.crawler.signals.send_catch_log(
                names.PAGE_PUT_OFF, request=request
            )  # its host need not rest for it
            raise

    async def _parse_robots(self, response: Response, netloc: str, request: Request) -> None:
        if response.status in REFUSALS:
            response = await self._from_another_exit(response, request)
        # an error page holds no rules; RFC 9309 wants 500 KiB read, and 30 MB of rules would hold up the crawl for seconds
        response = response.replace(body=b"" if response.status >= 400 else response.body[:MOST_BYTES])
        await super()._parse_robots(response, netloc, request)

    async def _from_another_exit(self, refused: Response, request: Request) -> Response:
        parts = urlparse_cached(request)
        again = Request(
            f"{parts.scheme}://{parts.netloc}/robots.txt",
            priority=self.DOWNLOAD_PRIORITY,
            meta={"dont_obey_robotstxt": True, names.ASK_FRESH: True},
            callback=NO_CALLBACK,
        )
        try:
            return await self.crawler.engine.download_async(again)
        except IgnoreRequest as error:
            if isinstance(error, PageGivenUp) and error.verdict.outcome != FAULT:
                raise
            return refused

    def _robots_error(self, exc: Exception, netloc: str) -> None:
        if isinstance(exc, IgnoreRequest) and not isinstance(exc, PageGivenUp):
            super()._robots_error(exc, netloc)  # redirects without an end: not there
            return
        verdict = exc.verdict if isinstance(exc, PageGivenUp) else Verdict(FAULT, "unexpected_error")
        waiting = self._parsers[netloc]
        assert isinstance(waiting, Deferred)
        heard = Unheard(*_for_pages(verdict, time.monotonic()))
        self._parsers[netloc] = heard
        if verdict.outcome != FAULT:
            logger.warning(
                "robots.txt of %s could not be had (%s, by every exit that tried): the site is taken for forbidden, "
                "and its pages are listed in failed.jsonl as %s", netloc, verdict.rule, heard.verdict.rule,
            )  # fmt: skip
        waiting.callback(heard)


def _for_pages(verdict: Verdict, now_s: float) -> tuple[Verdict, float]:
    """What follows for the pages from the last verdict about their robots.txt, and until when."""
    if verdict.outcome == FAULT:  # nobody answered: the next page asks again
        return dataclasses.replace(verdict, evidence=f"robots.txt: {verdict.evidence}"), now_s
    rule = "robots_blocked" if verdict.outcome == BLOCKED else "robots_unreachable"
    return dataclasses.replace(
        verdict, rule=rule, evidence=f"robots.txt: {verdict.rule}"
    ), now_s + ASK_AGAIN_S
