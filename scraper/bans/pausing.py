"""ADAPTER. Leaves a site alone where nothing passes any more, lets one page try, and says so as long as it lasts."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from scrapy import Request, signals
from scrapy.exceptions import IgnoreRequest

from scraper import names
from scraper.bans.pages import give_up_unasked, is_page, site_asked
from scraper.bans.pauses import NEVER, PROBE, Limits, Pause, Pauses, Turn
from scraper.verdicts import BLOCKED, GONE, GOOD, RATE_LIMITED, SITE_ERROR, Verdict

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)

PROBES = "probes"  # request meta, str: the site that this page is the probe of
NOT_TRIED = frozenset(
    {"site_given_up", "robots_blocked", "robots_unreachable"}
)  # rules of pages that never went out
REMIND_S = 60.0  # seconds between two lines in the log while a site is left alone
HELD_S = 1.0  # seconds that a page which must wait is held, so that one past the frontier does not spin


class SitePauses:
    """Hears what became of each page; HeaderPhase asks it before each."""

    def __init__(self, crawler: Crawler, limits: Limits) -> None:
        self.crawler = crawler
        self.pauses = Pauses(limits)
        self._since_s: dict[str, float] = {}  # sites that are left alone now
        self._why: dict[str, str] = {}  # the last rule at each site that is given up
        self._reminder: asyncio.TimerHandle | None = None
        crawler.signals.connect(self._page_given_up, signal=names.PAGE_GIVEN_UP)
        crawler.signals.connect(self._verdict_given, signal=names.VERDICT_GIVEN)
        crawler.signals.connect(self._spider_closed, signal=signals.spider_closed)

    def ask(self, request: Request, site: str) -> Turn:
        """Whether the request may go out now. Raises PageGivenUp where its site is given up."""
        now_s = time.monotonic()
        turn = self.pauses.ask(site, now_s, is_probe=request.meta.get(PROBES) == site)
        if turn.what == NEVER:
            verdict = Verdict(BLOCKED, "site_given_up", evidence=f"{self._why[site]} at {site}")
            raise give_up_unasked(self.crawler, request, verdict)
        if turn.what == PROBE:
            request.meta[PROBES] = site
            if self._count_pause(site, now_s):
                logger.info("the pause of %s is over: one page is tried", site)
        return turn

    async def put_off(self, request: Request, site: str, wait_s: float) -> Request:
        """The same request for when it is worth asking again; that it waited is no try."""
        slot = self.crawler.engine._slot
        if names.NOT_BEFORE in request.meta and slot is not None and slot.closing:
            raise IgnoreRequest("the crawl is closing")  # it goes past the frontier, where it could be left
        await asyncio.sleep(min(HELD_S, wait_s))
        self.crawler.signals.send_catch_log(names.PAGE_PUT_OFF, request=request)
        self.crawler.signals.send_catch_log(names.SITE_WAIT, host=site, wait_s=wait_s)
        meta = {**request.meta, names.NOT_BEFORE: time.monotonic() + wait_s}
        return request.replace(meta=meta, dont_filter=True)

    def _page_given_up(self, request: Request, verdict: Verdict) -> None:
        site = site_asked(request)
        if verdict.rule in NOT_TRIED:
            return
        is_probe = request.meta.get(PROBES) == site
        if verdict.outcome in (BLOCKED, RATE_LIMITED):
            self._lost(site, verdict, is_probe=is_probe)
        elif is_probe:
            self.pauses.probe_ended(site)

    def _lost(self, site: str, verdict: Verdict, *, is_probe: bool) -> None:
        now_s = time.monotonic()
        pause = self.pauses.lost(site, now_s, proven=verdict.proven, is_probe=is_probe)
        if pause is None:
            return
        if pause.given_up:
            self._why[site] = verdict.rule
            logger.error(
                "%s is given up, %s (%s); its other pages are listed in failed.jsonl",
                site, _in_vain(pause), verdict.rule,
            )  # fmt: skip
            return
        again = "the page that was tried at %s was refused too (%s)"
        logger.warning(
            ("nothing passes at %s any more (%s)" if pause.number == 1 else again)
            + ": it is left alone for %.0f s, then one page is tried; pause %d of %d",
            site, verdict.rule, pause.wait_s, pause.number, pause.of,
        )  # fmt: skip
        self.crawler.stats.inc_value(f"sites/{site}/pauses")
        self.crawler.signals.send_catch_log(names.SITE_WAIT, host=site, wait_s=pause.wait_s)
        self._since_s[site] = now_s
        self._tell_status(now_s)
        if self._reminder is None:
            self._reminder = asyncio.get_running_loop().call_later(REMIND_S, self._remind)

    def _verdict_given(self, request: Request, verdict: Verdict) -> None:
        if verdict.outcome in (GOOD, GONE) and is_page(request):
            site = site_asked(request)
            self._count_pause(site, time.monotonic())
            if self.pauses.passed(site):
                logger.info("pages of %s pass again", site)
        elif verdict.outcome == SITE_ERROR and request.meta.get(PROBES):
            self.pauses.probe_ended(
                request.meta[PROBES]
            )  # the site speaks, and says nothing about us: the next page tries

    def _remind(self) -> None:
        now_s = time.monotonic()
        for site in self._since_s:
            if left_s := self.pauses.left_s(site, now_s):
                logger.info("%s is left alone for another %.0f s, since nothing passed there", site, left_s)
        loop = asyncio.get_running_loop()
        self._reminder = loop.call_later(REMIND_S, self._remind) if self._since_s else None

    def _spider_closed(self) -> None:
        for site in list(self._since_s):
            self._count_pause(site, time.monotonic())
        if self._reminder is not None:
            self._reminder.cancel()

    def _count_pause(self, site: str, now_s: float) -> bool:
        """The pause is over, or the crawl is. False where there was none."""
        since_s = self._since_s.pop(site, None)
        if since_s is None:
            return False
        key = f"sites/{site}/paused_s"
        self.crawler.stats.inc_value(key, now_s - since_s)  # type: ignore[arg-type]  # seconds are fractions
        self._tell_status(now_s)
        return True

    def _tell_status(self, now_s: float) -> None:
        """For the status line: how many sites are left alone, and when the first of them is asked again."""
        until_s = min((now_s + self.pauses.left_s(site, now_s) for site in self._since_s), default=0.0)
        self.crawler.stats.set_value("pauses/sites", len(self._since_s))
        self.crawler.stats.set_value("pauses/until_s", until_s)


def _in_vain(pause: Pause) -> str:
    if not pause.number:
        return "BAN_SITE_PAUSES_S is empty"
    return "1 pause was in vain" if pause.number == 1 else f"{pause.number} pauses were in vain"
