"""ADAPTER. Learns from every good page what its kind shares, and says at the end which pages look like one soft block.

It changes no verdict: an honest site may well answer many addresses with one page. A content contract decides.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Self

from scrapy import signals
from scrapy.http import HtmlResponse

from scraper import names
from scraper.bans.contracts import callback_name
from scraper.bans.kinds import Kinds
from scraper.bans.rules import site_of
from scraper.verdicts import GOOD

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.statscollectors import StatsCollector

    from scraper.verdicts import Verdict

logger = logging.getLogger(__name__)

LISTED = 20  # suspicions in the report, those with most pages
NEXT = "if it is a wall, write a contract: docs/contracts.md"


class Suspicions:
    """Writes ``suspicions/<word>`` (pages) and ``suspicions/found`` (what the report lists)."""

    def __init__(self, stats: StatsCollector) -> None:
        self._stats = stats
        self._kinds = Kinds()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        extension = cls(crawler.stats)
        crawler.signals.connect(extension.verdict_given, signal=names.VERDICT_GIVEN)
        crawler.signals.connect(extension.spider_closed, signal=signals.spider_closed)
        return extension

    def verdict_given(self, request: Request, response: Response | None, verdict: Verdict) -> None:
        if verdict.outcome != GOOD or not isinstance(response, HtmlResponse):
            return
        if not 200 <= response.status < 300 or request.meta.get(names.WARM_UP):
            return
        url, _ = request.meta.get(names.ORIGIN) or (request.url, "")
        self._kinds.add(site_of(url), callback_name(request.callback), url, response.body)

    def spider_closed(self) -> None:
        found = self._kinds.suspicions()
        for suspicion in found:
            self._stats.inc_value(f"suspicions/{suspicion.word}", suspicion.pages)
        for suspicion in found[:LISTED]:
            logger.warning(
                "Suspicion: %s: %s (stored; %s)", suspicion.said, " ".join(suspicion.examples), NEXT
            )
        if found:
            listed = [{**asdict(suspicion), "said": suspicion.said} for suspicion in found[:LISTED]]
            self._stats.set_value("suspicions/found", listed)
