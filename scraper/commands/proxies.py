"""``scrapy proxies check`` asks each pool for its exit; ``scrapy proxies why <site>`` tells what chooses between them."""

from __future__ import annotations

import dataclasses
import difflib
import json
import random
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich import box
from rich.console import Console
from rich.table import Table
from scrapy.commands import ScrapyCommand
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.exceptions import UsageError

from scraper.errors import ConfigError
from scraper.options import read
from scraper.proxies import check, explain, known, sources, state
from scraper.proxies.asking import SETTINGS, CheckSpider
from scraper.proxies.beliefs import Beliefs
from scraper.proxies.options import Options

if TYPE_CHECKING:
    import argparse

# Exit codes: every pool works; one does not, or none has a country that was asked for; wrong usage or configuration.
WORKS, FAILS, USAGE = 0, 1, 2
WORDS = ("check", "why")


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False
    default_settings = {"LOG_ENABLED": False}  # noqa: RUF012  # as Scrapy declares it; -L shows the log

    def syntax(self) -> str:
        return "check [options] | why [options] <site>"

    def short_desc(self) -> str:
        return "Check the pools of proxies.toml, or tell why a site is asked through which"

    def long_desc(self) -> str:
        return (
            "check: asks every pool for its exit and shows address, country, latency, price and errors; "
            "the exit code is 0 when all pools work, 1 when one does not. "
            "why <site>: shows what is estimated for each pool at the site, and why one is chosen."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--json", action="store_true", help="print one JSON document for scripts")
        parser.add_argument(
            "--country", default="", metavar="CODES",
            help="two-letter codes, as de or de,fr; for check those to ask for, for why those that the spider allows",
        )  # fmt: skip
        parser.add_argument(
            "--countries", action="store_true", help="the same for every country that a pool can be asked for"
        )
        # A line that ends in a colon, wrapped or not, becomes a heading in Scrapy's help.
        parser.add_argument(
            "--tries", type=int, default=check.TRIES, metavar="N",
            help=f"check: fresh exits of each pool and country, {check.TRIES} unless told",
        )  # fmt: skip

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        unknown = [word for word in args if word.startswith("-")]
        if unknown or opts.tries < 1:
            raise UsageError(f"unknown option: {unknown[0]}" if unknown else "--tries must be 1 or more")
        try:
            if args == ["check"]:
                self.exitcode = self._check(opts)
            elif len(args) == 2 and args[0] == "why":
                self.exitcode = self._why(args[1], opts)
            else:
                raise UsageError(_misused(args))
        except ConfigError as error:
            print(f"scrapy proxies: {error}", file=sys.stderr)
            self.exitcode = USAGE

    # --- check --------------------------------------------------------------------------------------------------------

    def _check(self, opts: argparse.Namespace) -> int:
        assert self.settings is not None
        _countries(opts, ())
        self.settings.setdict(SETTINGS, priority="cmdline")
        pools = sources.load(read(self.settings, "PROXIES_FILE", str))
        Options.read(self.settings, ())  # says what is wrong with a setting before anything is asked
        chosen = read(self.settings, "PROXY_CHECK_URL", str)
        rows: list[check.Row] = []
        process = AsyncCrawlerProcess(self.settings)
        crawlers = []
        for pool in pools:
            wanted = _countries(opts, pool.countries)
            able = tuple(code for code in wanted if not code or code in pool.countries)
            rows += [
                check.not_asked(pool, code, f"cannot be asked for {code}: it is not among its countries")
                for code in wanted
                if code not in able
            ]
            if able:
                crawler = process.create_crawler(CheckSpider)
                url = chosen or pool.provider.check_url or check.CHECK_URL
                task = process.crawl(crawler, pool=pool, url=url, countries=able, tries=opts.tries)
                crawlers.append((crawler, task))
        if crawlers:
            process.start()
        usd = 0.0
        for crawler, task in crawlers:
            if (error := task.exception()) is not None:
                raise error
            assert isinstance(crawler.spider, CheckSpider)
            rows += crawler.spider.rows()
            usd += crawler.stats.get_value("proxies/usd", 0.0)
        order = [pool.name for pool in pools]
        rows.sort(key=lambda row: (order.index(row.pool), row.asked))
        works, said = check.outcome(rows)
        if opts.json:
            found = {"works": works, "usd": usd, "pools": [dataclasses.asdict(row) for row in rows]}
            print(json.dumps(found, indent=2))
        else:
            _print_check(rows, said, usd)
        return WORKS if works else FAILS

    # --- why ----------------------------------------------------------------------------------------------------------

    def _why(self, asked: str, opts: argparse.Namespace) -> int:
        assert self.settings is not None
        site = (urlsplit(asked if "//" in asked else f"//{asked}").hostname or "").lower()
        if not site:
            raise ConfigError("site", asked, "is no host, such as shop.example, and no address of a page")
        options = Options.read(self.settings, ())
        pools = sources.load(options.proxies_file)
        every = tuple(dict.fromkeys(code for pool in pools for code in pool.countries))
        allowed = tuple(filter(None, _countries(opts, every)))
        terms = dataclasses.replace(options.terms, countries=allowed)
        beliefs, wall_s, seen_s = Beliefs(options.memory, options.half_life_s), time.time(), {}
        file = options.state_file
        if file is not None and file.exists():
            try:
                beliefs.load(state.load(file, wall_s, options.half_life_s), 0.0)
                seen_s = known.last_seen(file, site)
            except sqlite3.Error as error:
                raise ConfigError("PROXY_STATE_FILE", str(file), f"cannot be read: {error}") from error
        answer = explain.explain(
            site,
            pools,
            beliefs,
            terms,
            random.Random(),
            {name: wall_s - at_s for name, at_s in seen_s.items()},
        )
        if opts.json:
            print(json.dumps(dataclasses.asdict(answer), indent=2))
        else:
            _print_why(answer, file)
        return WORKS


def _misused(args: list[str]) -> str:
    """What is wrong with these words, and what is right."""
    first, *others = args or [""]
    if first == "why" and others:
        return f"why {' '.join(others)}: one site only"
    if first == "check":
        return f"check {' '.join(others)}: check takes options only"
    if first != "why" and (near := difflib.get_close_matches(first, WORDS, 1)):
        return f"'{first}': did you mean {near[0]}?"
    right = "scrapy proxies check, or scrapy proxies why <site>"
    return f"'{first}': say {right}" if first not in ("", "why") else f"say what: {right}"


def _countries(opts: argparse.Namespace, every: tuple[str, ...]) -> tuple[str, ...]:
    """The countries that were asked for on the command line; ('',) for any."""
    if opts.countries:
        return every or ("",)
    codes = tuple(code.strip().lower() for code in opts.country.split(",") if code.strip())
    for code in codes:
        if not (len(code) == 2 and code.isascii() and code.isalpha()):
            raise ConfigError("--country", opts.country, "must be two-letter codes, as de or de,fr")
    return codes or ("",)


def _console() -> Console:
    """On a terminal as wide as that; in a file wide enough for one line a row."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=140)


def _print_check(rows: list[check.Row], said: str, usd: float) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in (
        "pool",
        "provider",
        "USD/GB",
        "asked for",
        "answers",
        "exits",
        "countries",
        "median s",
        "worst s",
    ):
        table.add_column(heading, justify="right" if heading in ("USD/GB", "median s", "worst s") else "left")
    for row in rows:
        table.add_row(
            row.pool, row.provider, f"{row.usd_per_gb:g}", row.asked or "any", "not tried" if row.works is None else f"{row.answers} of {row.tries}",
            _few(row.exits), ", ".join(f"{code} {n}" for code, n in row.countries.items()) or "-",
            *("-" if time_s is None else f"{time_s:.2f}" for time_s in (row.latency_median_s, row.latency_worst_s)),
            style="red" if row.works is False else "",
        )  # fmt: skip
    console = _console()
    console.print(table)
    for row in rows:
        where = f"{row.pool}, {row.asked}" if row.asked else row.pool
        for text in (*row.errors, *row.notes):
            console.print(f"{where}: {text}", markup=False, soft_wrap=True)
    console.print(f"{said}; this check cost about ${usd:.6f}", markup=False, soft_wrap=True)


def _few(exits: tuple[str, ...]) -> str:
    return ", ".join(exits[:3]) + (f" and {len(exits) - 3} more" if len(exits) > 3 else "") or "-"


def _print_why(answer: explain.Answer, file: Path | None) -> None:
    console = _console()
    for note in answer.notes:
        console.print(note, markup=False, soft_wrap=True)
    if not answer.known:
        console.print(f"Nothing is known about {answer.site} in {file}.", markup=False, soft_wrap=True)
        if answer.nearest:
            console.print(f"Known sites: {', '.join(answer.nearest)}", markup=False, soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD)
    headings = (
        "pool",
        "USD/GB",
        "right",
        "blocks",
        "estimated right",
        "answers",
        "USD/1,000 right",
        "chosen",
        "last seen",
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "pool" else "right")
    for row in answer.rows:
        table.add_row(
            row.pool, f"{row.usd_per_gb:g}", f"{row.right:.1f}", f"{row.blocks:.1f}",
            f"{row.share:.0%} ({row.low:.0%} to {row.high:.0%})", f"{row.answers:.0%}",
            f"{1000 * row.usd_per_right_page:.4f}", "on request" if row.on_request else f"{row.chosen:.0%} {row.country}".strip(),
            "never" if row.seen_s_ago is None else f"{_ago(row.seen_s_ago)} ago",
        )  # fmt: skip
    console.print(table)
    for place in answer.places:
        name = place.country or f"{place.pool}, any country"
        text = f"{name}: {place.passes:.0%} not refused, {place.chosen:.0%} of the requests"
        console.print(text, markup=False, soft_wrap=True)
    if answer.known:
        text = f"As a run that starts now would begin: {state.CARRIED:g} observations a pool at most."
        console.print(text, markup=False, soft_wrap=True)
    console.print(answer.why, markup=False, soft_wrap=True)


def _ago(seconds: float) -> str:
    for unit, length_s in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
