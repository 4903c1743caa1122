"""ADAPTER. Keeps the first page that each rule refused, for people to look at (samples.py says in which form)."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from scrapy import signals

from scraper import names
from scraper.bans import samples
from scraper.bans.contracts import callback_name
from scraper.bans.pages import is_page
from scraper.options import read
from scraper.verdicts import BLOCKED, RATE_LIMITED, Verdict

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

logger = logging.getLogger(__name__)


class SampleKeeper:
    """Settings: BAN_SAMPLES (0: off), RUN_DIR. A folder that cannot be written is told once and stops no crawl."""

    def __init__(self, crawler: Crawler, limit: int) -> None:
        self.crawler = crawler
        self.limit = limit
        self._folder: samples.Folder | None = None
        crawler.signals.connect(self.spider_opened, signal=signals.spider_opened)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler, read(crawler.settings, "BAN_SAMPLES", int, at_least=0))

    def spider_opened(self) -> None:
        run_dir = self.crawler.settings.get(
            "RUN_DIR"
        )  # the run extension, built after this one, names the run
        if run_dir and self.limit:
            self._folder = samples.Folder(Path(run_dir) / "blocks", self.limit)
            self.crawler.signals.connect(self.verdict_given, signal=names.VERDICT_GIVEN)

    def verdict_given(self, request: Request, response: Response | None, verdict: Verdict) -> None:
        if self._folder is None or response is None or verdict.outcome not in (BLOCKED, RATE_LIMITED):
            return
        if not self._folder.wants(verdict.rule, has_body=bool(response.body)):
            return
        try:
            path = self._folder.save(
                verdict.rule, _sample(request, response, verdict, self._asked_by(request))
            )
        except OSError as error:
            logger.warning(
                "no samples of refused pages are kept: %s cannot be written: %s", self._folder.path, error
            )
            self._folder = None
        else:
            logger.debug("%s: a page that %s refused", path, verdict.rule)

    def _asked_by(self, request: Request) -> dict[str, str]:
        """Whose contract the page falls under; nobody's where it is no page."""
        if not is_page(request):
            return {}
        return {
            samples.SPIDER: str(getattr(self.crawler.spider, "name", "")),
            samples.CALLBACK: callback_name(request.callback),
        }


def _sample(
    request: Request, response: Response, verdict: Verdict, asked_by: dict[str, str]
) -> samples.Sample:
    # One answer of several encodings is kept as it came: getlist gives each header line by itself.
    encoding = b", ".join(response.headers.getlist("Content-Encoding")).decode("latin-1")
    body, decoded, said = samples.kept_of(response.body, encoding)
    if "download_stopped" in response.flags:
        said = "not fetched: status and headers decided"
    meta = request.meta
    notes = {
        "verdict": verdict.outcome,
        "rule": verdict.rule,
        "vendor": verdict.vendor,
        "kind": verdict.kind,
        "evidence": verdict.evidence,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "pool": str(meta.get(names.POOL, "")),
        "country": str(meta.get(names.COUNTRY, "")),
        **asked_by,
        samples.BODY: said,
    }
    headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, values in dict.items(response.headers)
        for value in values
        if not (decoded and name == b"Content-Encoding")
    )
    return samples.Sample(response.url, response.status, headers, body, notes)
