"""``scrapy crawl``: Scrapy's own, with all its options, that ends with a summary and an exit code that tells the truth.

A start that fails prints one line that names the thing and the way out. On a terminal the log goes to the run's folder,
and a status line stands in its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from scrapy.commands.crawl import Command as ScrapyCrawl
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.settings import default_settings
from scrapy.utils.log import configure_logging, get_scrapy_root_handler

from scraper.errors import ConfigError
from scraper.runs import begin, facts, logs, outcome, record, report, signals, summary
from scraper.runs.extension import RunExtension
from scraper.runs.redact import redact, redact_value

if TYPE_CHECKING:
    import argparse

    from scrapy.crawler import Crawler
    from scrapy.settings import Settings

logger = logging.getLogger(__name__)

_STYLES = {outcome.SUCCEEDED: "bold green", outcome.DEGRADED: "bold yellow", outcome.CANCELLED: "bold yellow"}


class _UnknownSpider(ConfigError):
    """There is no spider of that name."""


class Command(ScrapyCrawl):
    requires_crawler_process = (
        False  # made in run(), so that a project that cannot be loaded has its outcome too
    )

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 1:
            super().run(args, opts)  # raises UsageError
        assert self.settings is not None
        spider, arguments = args[0], redact_arguments(opts.spargs)
        try:
            extension = self._crawl(self.settings, spider, opts.spargs, arguments, opts.set)
        except Exception as error:  # noqa: BLE001  # whatever it was, the run has not started
            self.exitcode = fail_start(self.settings, spider, arguments, _config_error_in(error) or error)
        else:
            assert extension.outcome is not None
            assert extension.report is not None
            self.exitcode = extension.outcome.exit_code
            print_summary(extension.report)

    def _crawl(
        self,
        settings: Settings,
        spider: str,
        given: dict[str, str],
        arguments: dict[str, Any],
        typed: list[str],
    ) -> RunExtension:
        begin.name_run(settings, spider)
        check_settings(typed)
        settings.set("RUN_ARGUMENTS", arguments, priority="cmdline")
        if sys.stderr.isatty() and settings.getbool("LOG_ENABLED") and settings.getpriority("LOG_FILE") == 0:
            settings.set("LOG_FILE", log_file(settings), priority="project")
        self.crawler_process = process = AsyncCrawlerProcess(settings)
        logs.install(quiet=settings.get("LOG_LEVEL") != "DEBUG")
        check_spider(spider, process.spider_loader.list())
        crawler = self._create_crawler(spider)
        asyncio.get_event_loop().call_soon(signals.watch)  # Scrapy's own handlers are there by then
        task = process.crawl(crawler, **given)
        with contextlib.suppress(asyncio.CancelledError):
            process.start()
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error
        return ended(crawler)


def _config_error_in(error: BaseException | None) -> ConfigError | None:
    """The ConfigError behind ``error``: what a scheduler raises is buried under the engine's own failure to close."""
    while error is not None and not isinstance(error, ConfigError):
        error = error.__cause__ or error.__context__
    return error


def ended(crawler: Crawler) -> RunExtension:
    """The extension of a crawl whose reactor has stopped, its run ended here where closing was cut short."""
    extension = crawler.get_extension(RunExtension)
    if extension is None:
        raise ConfigError(
            "EXTENSIONS", None, "must hold scraper.runs.extension.RunExtension, which gives the outcome"
        )
    if extension.outcome is None:
        extension.finish("", forced=len(signals.received()) > 1)
    return extension


def check_spider(name: str, known: list[str]) -> None:
    """Raise when there is no such spider, with the nearest name."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        hint += "(a file that cannot be loaded is named in the warnings above) " if not near else ""
        raise _UnknownSpider("spider", name, f"{hint}this project has: {', '.join(sorted(known)) or 'none'}")


def check_settings(given: list[str]) -> None:
    """Raise for a ``-s`` name that nothing knows but that is nearly one that is known; Scrapy would ignore it."""
    project = sys.modules.get(os.environ.get("SCRAPY_SETTINGS_MODULE", ""))
    known = {name for name in {*vars(default_settings), *vars(project or default_settings)} if name.isupper()}
    for entry in given:
        name, _, value = entry.partition("=")
        if name not in known and (near := difflib.get_close_matches(name, known, n=1, cutoff=0.85)):
            raise ConfigError(name, value, f"is no setting; did you mean {near[0]}?")


def redact_arguments(arguments: dict[str, str]) -> dict[str, Any]:
    return {name: redact_value(name, value) for name, value in arguments.items()}


def log_file(settings: Settings) -> str:
    """Path of the run's log, its folder made. Raises ConfigError."""
    folder = Path(settings["RUN_DIR"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("RUN_DIR", str(folder), f"cannot be made: {error.strerror}") from error
    return str(folder / "run.log")


def fail_start(settings: Settings, spider: str, arguments: dict[str, Any], error: Exception) -> int:
    """Tell why nothing ran, in one line on stderr, and in the run's record and report. The exit code."""
    if isinstance(error, ConfigError):
        shown = "" if error.value is None else f" = {redact_value(error.name, error.value)!r}"
        text = f"{error.name}{shown}: {redact(error.way_out)}"
    else:
        text = redact(f"{type(error).__name__}: {error}")
        if get_scrapy_root_handler() is None:
            configure_logging(settings)
        logger.critical("The crawl could not start", exc_info=error)
    code = (
        outcome.EXIT_USAGE if isinstance(error, _UnknownSpider) else outcome.EXIT_CODES[outcome.FAILED_START]
    )
    if settings.get("LOG_FILE") and get_scrapy_root_handler() is not None:
        logger.error("failed_start: %s", text)
        if not isinstance(error, ConfigError):
            text += f"; its traceback is in {settings['LOG_FILE']}"
    print(f"scrapy crawl {spider}: {outcome.FAILED_START}: {text}", file=sys.stderr)
    if begin.is_claimed(settings):
        with contextlib.suppress(OSError):
            _write_failed_start(settings, spider, arguments, outcome.failed_start(text, code))
    return code


def _write_failed_start(
    settings: Settings, spider: str, arguments: dict[str, Any], decided: outcome.Outcome
) -> None:
    folder = Path(settings["RUN_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    written = begin.new_record(settings, spider, arguments)
    written.ended = datetime.now(UTC)
    written.outcome, written.rule, written.reason = decided.word, decided.rule, decided.reason
    written.exit_code = decided.exit_code
    record.release_reserve(folder)
    nothing = facts.facts_from({}, "", None, facts.Limits(0, 1, 1, 1), opened=False)
    record.write_report(report.build(msgspec.structs.asdict(written), decided, nothing, {}), folder)
    record.write(written, folder, last=True)


def print_summary(finished: dict[str, Any]) -> None:
    """The summary on stdout; the outcome's word in colour on a terminal, unless NO_COLOR is set."""
    stream = sys.__stdout__ or sys.stdout
    first, *rest = summary.lines(finished)
    with contextlib.suppress(OSError):  # nobody reads it any more
        if stream.isatty():
            from rich.console import Console
            from rich.text import Text

            word, _, tail = first.partition("  ")
            style = _STYLES.get(finished["verdict"]["outcome"], "bold red")
            console = Console(file=stream, highlight=False)
            console.print(Text.assemble((word, style), "  ", tail), soft_wrap=True)
            console.print(Text("\n".join(rest)), soft_wrap=True)
        else:
            print("\n".join([first, *rest]), file=stream, flush=True)
