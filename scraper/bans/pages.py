"""ADAPTER. What this folder's components know of a request, and the one way in which a page is given up."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from scrapy import Request
from scrapy.exceptions import IgnoreRequest

from scraper import names
from scraper.bans.reactions import NOT_SENT
from scraper.bans.rules import site_of
from scraper.verdicts import Verdict

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)


class PageGivenUp(IgnoreRequest):
    """No attempt is left for this page; it is listed in failed.jsonl with the rule that decided last."""

    def __init__(self, verdict: Verdict, attempts: int) -> None:
        super().__init__(f"{verdict.rule}, {_tries(attempts)}")
        self.verdict = verdict


def asked_for(request: Request) -> tuple[str, str]:
    """Address and method that were asked for, before any redirect."""
    url, method = request.meta.get(names.ORIGIN) or (request.url, request.method)
    return url, method


def site_asked(request: Request) -> str:
    """The site whose page it is, wherever it was sent on to."""
    return site_of(asked_for(request)[0])


def is_robots(request: Request) -> bool:
    """Whether it asks for robots.txt, or was sent on from there."""
    return bool(request.meta.get("dont_obey_robotstxt")) and asked_for(request)[0].endswith("/robots.txt")


def is_page(request: Request) -> bool:
    """Whether it asks for a page, and not only for leave to ask for one."""
    return not request.meta.get(names.WARM_UP) and not is_robots(request)


def give_up(crawler: Crawler, request: Request, verdict: Verdict) -> PageGivenUp:
    """Count the page as lost and tell the run; returns what to raise."""
    return _given_up(crawler, request, verdict, is_sent=verdict.rule not in NOT_SENT)


def give_up_unasked(crawler: Crawler, request: Request, verdict: Verdict) -> PageGivenUp:
    """The same for a page that never went out: its host need not rest for it, so thousands of them take no time."""
    crawler.signals.send_catch_log(names.PAGE_PUT_OFF, request=request)
    return _given_up(crawler, request, verdict, is_sent=False)


def _given_up(crawler: Crawler, request: Request, verdict: Verdict, *, is_sent: bool) -> PageGivenUp:
    attempts = tries_made(request, is_sent=is_sent)
    if is_robots(request):
        crawler.stats.inc_value("robots/given_up")
    else:
        crawler.stats.inc_value("pages/given_up")
        crawler.stats.inc_value(f"pages/given_up/{verdict.rule}")
        crawler.signals.send_catch_log(
            names.PAGE_GIVEN_UP, request=request, verdict=verdict, attempts=attempts
        )
    said = ": ".join(filter(None, (verdict.rule, verdict.evidence)))
    logger.info("given up, %s: %s (%s)", _tries(attempts), request.url, said)
    return PageGivenUp(verdict, attempts)


def tries_made(request: Request, *, is_sent: bool) -> int:
    """Tries at the page so far. ``is_sent``: whether the one that its request counts went out; a redirect's did."""
    return int(request.meta.get(names.ATTEMPT, 1)) - (not is_sent and "redirect_urls" not in request.meta)


def _tries(number: int) -> str:
    return f"after {number} {'try' if number == 1 else 'tries'}" if number else "never asked"
