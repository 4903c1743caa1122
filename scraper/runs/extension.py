"""Adapter: watches a crawl from start to end, and writes run.json, report.json and failed.jsonl.

The outcome is decided when the engine has stopped: pipelines have flushed, feeds are written, and the other extensions have
written their stats by then.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from traceback import StackSummary, walk_tb
from typing import TYPE_CHECKING, Any

import msgspec
from scrapy import signals
from scrapy.utils.asyncio import create_looping_call

from scraper import names
from scraper.errors import ConfigError
from scraper.options import read
from scraper.runs import begin, facts, logs, outcome, record, report, status
from scraper.runs.errors import ErrorGroups
from scraper.runs.failed import FailedPage, FailedPages
from scraper.runs.redact import redact
from scraper.runs.signals import received

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings
    from twisted.python.failure import Failure

    from scraper.verdicts import Verdict

logger = logging.getLogger(__name__)

TICK_S = 1.0  # seconds between two looks at the stats: as often as a person can read the status line
FIRST_LOG_S = (
    10.0  # seconds to the first status line in the log: early enough to see a crawl that goes nowhere
)
PACE_TICKS = 60  # ticks over which pages per minute are counted


@dataclass(frozen=True, slots=True)
class RunOptions:
    folder: Path
    heartbeat_s: float
    log_interval_s: float
    limits: facts.Limits
    status_on_terminal: bool

    @classmethod
    def read(cls, settings: BaseSettings) -> RunOptions:
        return cls(
            folder=Path(read(settings, "RUN_DIR", str)),
            heartbeat_s=read(settings, "RUN_HEARTBEAT_S", float, at_least=0.1),
            log_interval_s=read(settings, "RUN_LOG_INTERVAL_S", float, at_least=1),
            limits=facts.Limits(
                min_items=read(settings, "RUN_MIN_ITEMS", int, at_least=0),
                max_error_rate=read(settings, "RUN_MAX_ERROR_RATE", float, at_least=0),
                max_given_up_rate=read(settings, "RUN_MAX_GIVEN_UP_RATE", float, at_least=0),
                warn_rate=read(settings, "RUN_WARN_RATE", float, at_least=0),
                max_gone_rate=read(settings, "RUN_MAX_GONE_RATE", float, at_least=0),
            ),
            status_on_terminal=sys.stderr.isatty()
            and bool(settings.get("LOG_FILE") or not settings.getbool("LOG_ENABLED")),
        )


class RunExtension:
    """``outcome`` and ``report`` are None until the run has ended."""

    def __init__(self, crawler: Crawler, options: RunOptions, spider: str) -> None:
        self.outcome: outcome.Outcome | None = None
        self.report: dict[str, Any] | None = None
        self._crawler = crawler
        self._options = options
        self._record = begin.new_record(crawler.settings, spider, crawler.settings.getdict("RUN_ARGUMENTS"))
        self._errors = ErrorGroups()
        self._failed = FailedPages(options.folder / record.FAILED)
        self._opened = False
        self._finish_reason = ""
        self._loop = create_looping_call(self._tick)
        self._began = monotonic()
        self._next_log = self._began + FIRST_LOG_S
        self._next_beat = self._began + options.heartbeat_s
        self._pace: deque[tuple[float, int]] = deque(maxlen=PACE_TICKS)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> RunExtension:
        settings, spider = crawler.settings, crawler.spidercls.name
        logs.install(quiet=settings.get("LOG_LEVEL") != "DEBUG")
        begin.name_run(settings, spider)
        options = RunOptions.read(settings)
        extension = cls(crawler, options, spider)
        try:
            record.open_folder(options.folder)
            record.write(extension._record, options.folder)
        except OSError as error:
            raise ConfigError(
                "RUN_DIR", str(options.folder), f"cannot be written: {error.strerror}"
            ) from error
        for receiver, signal in (
            (extension.spider_opened, signals.spider_opened),
            (extension.spider_closed, signals.spider_closed),
            (extension.engine_stopped, signals.engine_stopped),
            (extension.spider_error, signals.spider_error),
            (extension.item_error, signals.item_error),
            (extension.page_given_up, names.PAGE_GIVEN_UP),
            (extension.page_left, names.PAGE_LEFT),
        ):
            crawler.signals.connect(receiver, signal=signal)
        return extension

    def spider_opened(self) -> None:
        self._opened = True
        self._crawler.stats.set_value("runs/feeds", len(self._crawler.settings.getdict("FEEDS")))
        logger.info("Run %s: files in %s", self._record.run_id, self._options.folder)
        self._loop.start(TICK_S, now=False)

    def spider_error(self, failure: Failure, response: Any) -> None:
        kind = "start()" if response is None else "callback"
        self._count_error(kind, failure, response)
        if response is not None and response.request is not None:
            tries = response.request.meta.get(names.ATTEMPT, 1)
            self._list_failed(response.request, "callback_raised", "good", failure.getErrorMessage(), tries)

    def item_error(self, failure: Failure, response: Any) -> None:
        self._crawler.stats.inc_value("runs/item_errors")
        self._count_error("pipeline", failure, response)

    def page_given_up(self, request: Request, verdict: Verdict, attempts: int = 1) -> None:
        self._crawler.stats.inc_value(f"runs/given_up/{verdict.outcome}")
        self._list_failed(request, verdict.rule, verdict.outcome, verdict.evidence, attempts)

    def page_left(self, request: Request) -> None:
        self._list_failed(request, "not_asked", "", "", request.meta.get(names.ATTEMPT, 1) - 1)

    def _list_failed(self, request: Request, rule: str, outcome: str, evidence: str, attempts: int) -> None:
        url, method = request.meta.get(names.ORIGIN) or (request.url, request.method)
        page = FailedPage(
            # the address that was asked for, not where a redirect led: the list is fed back
            url=redact(url if method == request.method else request.url),
            rule=rule,
            outcome=outcome,
            attempts=attempts,
            callback=getattr(request.callback, "__name__", "") or "parse",
            evidence=redact(evidence),
        )
        try:
            self._failed.add(page)
        except OSError as error:
            logger.error("%s cannot be written: %s", self._failed.path, error)

    def spider_closed(self, reason: str) -> None:
        self._finish_reason = reason

    def engine_stopped(self) -> None:
        """Every other extension is done with its spider_closed by now, feeds are written."""
        self.finish(self._finish_reason)

    def finish(self, finish_reason: str, *, forced: bool = False) -> None:
        """Decide and write record and report; the crawl command calls it where closing was cut short."""
        if self._loop.running:
            self._loop.stop()
        self._failed.close()
        self._show("")
        stats = self._crawler.stats
        number = received()[0] if received() else None
        known = facts.facts_from(
            stats.get_stats(), finish_reason, number, self._options.limits,
            opened=self._opened, forced=forced, samples=record.samples(self._options.folder),
        )  # fmt: skip
        self._end(known, outcome.decide(known))
        record.release_reserve(self._options.folder)
        try:
            self._write()
        except OSError as error:
            self._end(known, outcome.not_written(str(error)))
        assert self.outcome is not None
        level = logging.ERROR if self.outcome.word.startswith("failed") else logging.INFO
        said = f"{self.outcome.word} [{self.outcome.rule}] {self.outcome.reason}"
        logger.log(level, "Run %s: %s; report in %s", self._record.run_id, said, self._record.paths["report"])
        self._crawler.signals.send_catch_log(names.RUN_ENDED, report=self.report)

    def _end(self, known: facts.Facts, decided: outcome.Outcome) -> None:
        now = datetime.now(UTC)
        for name in ("rule", "reason", "exit_code"):
            setattr(self._record, name, getattr(decided, name))
        self._record.outcome = decided.word
        self._record.finish_reason = known.finish_reason
        self._record.heartbeat = self._record.ended = now
        if self._failed.count:
            self._record.paths["failed"] = str(self._failed.path)
        if known.samples:
            self._record.paths["samples"] = str(self._options.folder / record.SAMPLES)
        if not Path(self._record.paths["data"]).exists():
            self._record.paths["data"] = ""
        stats = self._crawler.stats
        stats.set_value("runs/outcome", decided.word)
        stats.set_value("runs/rule", decided.rule)
        self.outcome = decided
        self.report = report.build(
            msgspec.structs.asdict(self._record), decided, known, stats.get_stats(), self._errors.as_list()
        )

    def _write(self) -> None:
        assert self.report is not None
        record.write_report(self.report, self._options.folder)
        record.write(self._record, self._options.folder, last=True)

    def _count_error(self, kind: str, failure: Failure, response: Any) -> None:
        error = failure.value
        if error is not None:
            frames = StackSummary.extract(walk_tb(error.__traceback__), lookup_lines=False)
            self._errors.add(kind, error, frames, getattr(response, "url", ""))

    def _tick(self) -> None:
        now = monotonic()
        stats = self._crawler.stats.get_stats()
        self._pace.append((now, facts.good_pages(stats)))
        if self._options.status_on_terminal:
            self._show(self._status(stats, now, width=shutil.get_terminal_size((100, 24)).columns - 1))
        if now >= self._next_log:
            self._next_log = now + self._options.log_interval_s
            logger.info("Run: %s", self._status(stats, now, width=200))
        if now >= self._next_beat:
            self._next_beat = now + self._options.heartbeat_s
            self._beat()

    def _beat(self) -> None:
        self._record.heartbeat = datetime.now(UTC)
        try:
            record.write(self._record, self._options.folder)
        except OSError as error:
            logger.error("%s cannot be written: %s", self._options.folder / record.RECORD, error)

    def _status(self, stats: dict[str, Any], now: float, *, width: int) -> str:
        then, before = self._pace[0] if len(self._pace) > 1 else (self._began, 0)
        per_min = (self._pace[-1][1] - before) / max(now - then, TICK_S) * 60
        return status.status_line(
            stats, now - self._began, per_min, stopping=bool(received()), now_s=now, width=width
        )

    def _show(self, line: str) -> None:
        if self._options.status_on_terminal:
            sys.stderr.write(f"\r{line}\x1b[K")
            sys.stderr.flush()
