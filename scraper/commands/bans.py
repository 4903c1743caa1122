"""``scrapy bans explain <url or file>`` says why an answer is judged as it is; ``list`` and ``reactions`` show the tables."""

from __future__ import annotations

import difflib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from scrapy.commands import ScrapyCommand
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.exceptions import UsageError
from scrapy.http import Headers, HtmlResponse, Response, TextResponse, XmlResponse
from scrapy.responsetypes import responsetypes
from scrapy.spiderloader import get_spider_loader

from scraper.bans import contracts, explain, reactions, samples
from scraper.bans.answers import Answer
from scraper.bans.asking import SETTINGS, AskSpider
from scraper.bans.tables import table_of
from scraper.errors import ConfigError
from scraper.options import read
from scraper.runs.redact import redact
from scraper.verdicts import GOOD, Verdict

if TYPE_CHECKING:
    import argparse

# Exit codes: no block; nothing to judge (no such file, no answer); wrong usage or configuration; a block or rate limit.
NO_BLOCK, NOTHING, USAGE, BLOCK = 0, 1, 2, 3
WORDS = ("explain", "list", "reactions")
_DECODED_BYTES = 32 * 1024 * 1024  # of a compressed body in a file


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False
    default_settings = {"LOG_ENABLED": False}  # noqa: RUF012  # as Scrapy declares it; -L shows the log

    def syntax(self) -> str:
        return "explain [options] <url or file> | list | reactions"

    def short_desc(self) -> str:
        return "Explain why an answer is judged a block or not, and show the tables that decide"

    def long_desc(self) -> str:
        return (
            "explain: which rule fires on a page, on what, and what follows; an address is fetched through the pools of "
            "proxies.toml, a file is a saved sample (blocks/ in a run's folder), what curl -i printed, or a bare page. "
            "The exit code is 0 when it is no block, 1 when there is nothing to judge, 3 when it is a block. "
            "list: the signatures. reactions: what follows from each verdict."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        add("--status", type=int, metavar="N", help="of a file: its status, 200 unless the file tells")
        add(
            "--header",
            action="append",
            default=[],
            metavar="NAME:VALUE",
            help="of a file: a header; may be repeated",
        )
        add("--url", default="", metavar="URL", help="of a file: the address it came from")
        add("--pool", default="", metavar="NAME", help="of an address: the pool to ask through")
        add("--country", default="", metavar="CODE", help="of an address: the country to ask from, as de")
        add("--spider", default="", metavar="NAME", help="ask the contract of this spider too")
        add(
            "--callback",
            default="parse",
            metavar="NAME",
            help="the callback whose contract is meant, parse unless told",
        )

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if unknown := [word for word in args if word.startswith("-")]:
            raise UsageError(f"unknown option: {unknown[0]}")
        try:
            if len(args) == 2 and args[0] == "explain":
                self.exitcode = self._explain(args[1], opts)
            elif args == ["list"]:
                _print_signatures(self.settings)
            elif args == ["reactions"]:
                print(reactions.markdown(), end="")
            else:
                raise UsageError(_misused(args))
        except ConfigError as error:
            print(f"scrapy bans: {redact(str(error))}", file=sys.stderr)
            self.exitcode = USAGE

    def _explain(self, what: str, opts: argparse.Namespace) -> int:
        assert self.settings is not None
        limits = reactions.Limits(
            attempts=read(self.settings, "BAN_MAX_ATTEMPTS", int, at_least=1),
            rate_wait_s=read(self.settings, "BAN_RATE_LIMIT_WAIT_S", float, at_least=0),
            rate_wait_max_s=read(self.settings, "BAN_RETRY_AFTER_MAX_S", float, at_least=0),
            fault_wait_s=read(self.settings, "BAN_FAULT_WAIT_S", float, at_least=0),
        )
        asked = self._contracts(opts.spider, opts.callback) if opts.spider else None
        try:
            response, said = self._fetch(what, opts) if "://" in what else _from_file(Path(what), opts)
        except (OSError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            print(f"{what}: {error}", file=sys.stderr)
            return NOTHING
        if response is None:
            print(redact(f"{what}: {said}"), file=sys.stderr)
            return NOTHING
        theirs = asked.of(opts.callback, response.url, response.status) if asked else []
        broken = _broken(theirs, response)
        found = explain.explain(_answer(response), table_of(self.settings), datetime.now(UTC), broken)
        lines = [redact(said), *explain.lines(found, limits)]
        if opts.spider:
            lines.append(_contract_line(theirs, broken, f"{opts.callback} of spider {opts.spider}"))
        print("\n".join(lines))
        return BLOCK if explain.is_block(found.verdict) else NO_BLOCK

    def _contracts(self, spider: str, callback: str) -> contracts.Contracts:
        loader = get_spider_loader(self.settings)  # type: ignore[arg-type]  # it takes what Command.settings is
        if spider not in loader.list():
            raise ConfigError("--spider", spider, f"this project has: {', '.join(sorted(loader.list()))}")
        known = loader.load(spider)
        if not callable(getattr(known, callback, None)):
            raise ConfigError("--callback", callback, f"is no callback of spider {spider}")
        table = getattr(known, "good_page", None) or {}
        return contracts.parse(spider, table, lambda name: callable(getattr(known, name, None)))

    def _fetch(self, url: str, opts: argparse.Namespace) -> tuple[Response | None, str]:
        """The answer of a site, or None and why there is none."""
        assert self.settings is not None
        if opts.status or opts.header or opts.url:
            raise ConfigError("--status, --header, --url", None, "are for files: an address brings its own")
        self.settings.setdict(SETTINGS, priority="cmdline")
        process = AsyncCrawlerProcess(self.settings)
        crawler = process.create_crawler(AskSpider)
        task = process.crawl(crawler, url=url, pool=opts.pool, country=opts.country)
        process.start()
        if (error := task.exception()) is not None:
            raise error
        spider = crawler.spider
        assert isinstance(spider, AskSpider)
        if spider.response is not None:
            return spider.response, f"{url}, fetched through pool {_pool(spider.response)}"
        if spider.verdict is not None:
            return None, f"no answer: {spider.verdict.rule}: {explain.short(spider.verdict.evidence)}"
        if spider.robots is not None and spider.robots.outcome == GOOD:
            return None, "robots.txt of the site forbids it; -s ROBOTSTXT_OBEY=0 asks all the same"
        if spider.robots is not None:
            return None, f"robots.txt of the site could not be had: {spider.robots.rule}"
        return None, "it was not asked for; -L DEBUG shows why"


def _pool(response: Response) -> str:
    return str(response.request.meta.get("pool", "")) if response.request is not None else ""


def _from_file(path: Path, opts: argparse.Namespace) -> tuple[Response, str]:
    """The answer that a file holds, as the middleware would see it, and what is noted of it. Raises OSError, ValueError."""
    sample = samples.from_bytes(path.read_bytes())
    headers = Headers()
    for name, value in (*sample.headers, *map(_header, opts.header)):
        headers.appendlist(name, value)
    body, encoding = sample.body, b", ".join(headers.getlist(b"Content-Encoding")).decode("latin-1")
    if encoding and (decoded := samples.decompressed(body, encoding, _DECODED_BYTES)) is not None:
        body = decoded
        del headers[b"Content-Encoding"]
    url = opts.url or sample.url or "https://unknown.invalid/"
    status = opts.status or sample.status or 200
    kind = responsetypes.from_args(headers=headers, url=url, filename=str(path), body=body)
    noted = [
        explain.short(f"{name} {value}")
        for name, value in sample.notes.items()
        if value and name != "evidence"
    ]
    if not (sample.status or opts.status):
        noted.append("the file tells no status: 200 is taken, --status tells another")
    return kind(url, status=status, headers=headers, body=body), "; ".join([str(path), *noted])


def _header(given: str) -> tuple[str, str]:
    name, colon, value = given.partition(":")
    if not (name.strip() and colon):
        raise ConfigError("--header", given, "must be 'name: value'")
    return name.strip(), value.strip()


def _answer(response: Response) -> Answer:
    headers = {
        name.decode("latin-1").lower(): b", ".join(values).decode("latin-1")
        for name, values in dict.items(response.headers)
    }
    encoding = response.encoding if isinstance(response, TextResponse) else "utf-8"
    return Answer(response.url, response.status, headers, response.body, encoding)


def _broken(theirs: list[contracts.Contract], response: Response) -> Verdict | None:
    text = response.text if isinstance(response, TextResponse) else ""
    markup = response if isinstance(response, HtmlResponse | XmlResponse) else None
    return contracts.judge(
        theirs, response.body, text, (lambda: markup.selector) if markup is not None else None
    )


def _contract_line(theirs: list[contracts.Contract], broken: Verdict | None, whose: str) -> str:
    if not theirs:
        return explain.row("contract", f"none of {whose} for this address and this status")
    named = " and ".join(contract.name for contract in theirs)
    return explain.row(
        "contract", f"{named}: " + (f"lacks {explain.short(broken.evidence)}" if broken else "holds")
    )


def _misused(args: list[str]) -> str:
    first = args[0] if args else ""
    if first == "explain":
        return "explain takes one address or file: scrapy bans explain <url or file>"
    near = difflib.get_close_matches(first, WORDS, 1)
    return (
        f"'{first}': did you mean {near[0]}?"
        if near
        else "say scrapy bans explain <url or file>, list or reactions"
    )


def _print_signatures(settings: Any) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    rows: list[tuple[Any, ...]] = [
        (entry.id, entry.vendor, entry.kind, entry.strength, entry.since, entry.source)
        for entry in table_of(settings)
    ]
    for heading in ("id", "vendor", "kind", "strength", "since", "source"):
        table.add_column(heading, no_wrap=heading != "source")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=180)
    console.print(table)
    console.print(f"{len(rows)} signatures of {len({row[1] for row in rows})} vendors", markup=False)
