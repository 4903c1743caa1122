"""``scrapy bans explain <url or file>`` says why an answer is judged as it is; ``list``, ``show``, ``reactions`` what decides."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from scraper.bans import asking, explain, given, reactions, wording
from scraper.bans.given import Given, NothingToJudge
from scraper.bans.tables import table_of
from scraper.bans.whose import Whose
from scraper.errors import ConfigError
from scraper.options import read
from scraper.proxies import sources
from scraper.runs.redact import redact

if TYPE_CHECKING:
    import argparse

# Exit codes: no block; nothing to judge (no such file, no answer); wrong usage or configuration; a block or rate limit.
NO_BLOCK, NOTHING, USAGE, BLOCK = 0, 1, 2, 3
ARGUMENTS = {"explain": (1, 1), "list": (0, 1), "show": (1, 1), "reactions": (0, 0)}  # at least, at most
_SAY = "say scrapy bans explain <url or file>, list [word], show <id> or reactions"
_OF_FILES, _OF_ADDRESSES = ("status", "header", "url"), ("pool", "country")
_OPTIONS = (*_OF_FILES, *_OF_ADDRESSES, "spider", "callback", "rule")


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False
    default_settings = {"LOG_ENABLED": False}  # noqa: RUF012  # as Scrapy declares it; -L shows the log

    def syntax(self) -> str:
        return "explain [options] <url or file> | list [word] | show <id> | reactions"

    def short_desc(self) -> str:
        return "Explain why an answer is judged a block or not, and show the tables that decide"

    def long_desc(self) -> str:
        return (
            "explain: which rule fires on a page, on what, and what follows; an address is fetched through the pools of "
            "proxies.toml, a file (- is the standard input) is a saved sample (blocks/ in a run's folder), what curl -i "
            "printed, or a bare page. "
            "The exit code is 0 when it is no block, 1 when there is nothing to judge, 3 when it is a block. "
            "list: the signatures, with a word those of that id, vendor or kind. show: one of them, with marks and gates. "
            "reactions: what follows from each verdict."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        add("--status", type=int, metavar="N", help="of a file: its status, 200 unless the file tells")
        add("--header", action="append", metavar="NAME:VALUE", help="of a file: a header; may be repeated")
        add("--url", metavar="URL", help="of a file: the address it came from")
        add("--pool", metavar="NAME", help="of an address: the pool to ask through")
        add("--country", metavar="CODE", help="of an address: the country to ask from, as de")
        add("--spider", metavar="NAME", help="ask the contract of this spider too; a sample names its own")
        add("--callback", metavar="NAME", help="the callback of --spider that is meant, parse unless told")
        add("--rule", metavar="ID", help="how this signature fared, even where few of its marks are there")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if unknown := [word for word in args if word.startswith("-") and word != given.STDIN]:
            raise UsageError(f"unknown option: {unknown[0]}")
        if wrong := _misused(args, [name for name in _OPTIONS if getattr(opts, name) is not None]):
            raise UsageError(wrong)
        what, *words = args
        try:
            if what == "explain":
                self.exitcode = self._explain(words[0], opts)
            elif what == "list":
                self.exitcode = _print_signatures(self.settings, words[0] if words else "")
            elif what == "show":
                table = table_of(self.settings)
                print("\n".join(wording.shown(wording.named(table, words[0], "signature"))))
            elif sys.stdout.isatty():
                Console(highlight=False).print(Markdown(reactions.markdown()))
            else:
                print(reactions.markdown(), end="")
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
        table = table_of(self.settings)
        rule = wording.named(table, opts.rule, "--rule") if opts.rule is not None else None
        is_address = given.is_address(what)
        _check_options(opts, is_address=is_address)
        spider = opts.spider and Whose.named(self.settings, opts.spider, opts.callback or "parse")
        try:
            found = self._ask(what, opts) if is_address else _read(what, opts)
        except ConfigError:
            raise
        except FileNotFoundError:
            return _nothing(what, "no such file; an address begins with http:// or https://")
        except (OSError, ValueError, NothingToJudge) as error:
            return _nothing(what, str(error))
        whose = spider or Whose.of_sample(self.settings, found.notes)
        broken, contract = whose.judge(found.response)
        answer = given.answer_of(found.response)
        told = explain.explain(answer, table, found.when, broken, found.decided)
        if found.lacks_body and told.verdict.rule == "empty_page":
            return _nothing(what, "a head without its body: nothing to judge; curl -i prints both")
        places = 1 if opts.country else whose.places
        lines = [redact(found.said), *explain.lines(told, limits, places), *found.lines, *contract]
        if (theirs := found.notes.get("rule", told.verdict.rule)) != told.verdict.rule:
            lines.append(wording.row("the run", f"said {wording.short(theirs)}; {whose.why_not(theirs)}"))
        if rule is not None:
            lines += wording.fared(rule, answer)
        print("\n".join(lines))
        return BLOCK if explain.is_block(told.verdict) else NO_BLOCK

    def _ask(self, url: str, opts: argparse.Namespace) -> Given:
        given.check_address("address", url)
        pools = {pool.name: pool for pool in sources.load(read(self.settings, "PROXIES_FILE", str))}
        if opts.pool is not None and opts.pool not in pools:
            raise ConfigError("--pool", opts.pool, f"known: {', '.join(pools)}")
        code = (opts.country or "").lower()
        if opts.country is not None and not (len(code) == 2 and code.isascii() and code.isalpha()):
            raise ConfigError("--country", opts.country, "must be a two-letter code, as de")
        return asking.ask(self.settings, url, opts.pool or "", code)


def _read(name: str, opts: argparse.Namespace) -> Given:
    return given.from_file(name, opts.status or 0, opts.header or (), opts.url or "")


def _nothing(what: str, why: str) -> int:
    print(redact(f"{what}: {why}"), file=sys.stderr)
    return NOTHING


def _misused(args: list[str], options: list[str]) -> str:
    """What is wrong with the words and options; "" for nothing."""
    what = args[0] if args else ""
    if what not in ARGUMENTS:
        near = difflib.get_close_matches(what, ARGUMENTS, 1)
        return f"'{what}': did you mean {near[0]}?" if near else _SAY
    least, most = ARGUMENTS[what]
    if not least <= len(args) - 1 <= most:
        takes = {"explain": "one address or file", "list": "one word at most", "show": "one id"}
        return f"{what} takes {takes.get(what, 'no word')}; {_SAY}"
    if options and what != "explain":
        return f"{', '.join(f'--{name}' for name in options)}: for explain only"
    return ""


def _check_options(opts: argparse.Namespace, *, is_address: bool) -> None:
    """Raise ConfigError for an option that would not be used, or cannot be."""
    unused = [
        name for name in (_OF_FILES if is_address else _OF_ADDRESSES) if getattr(opts, name) is not None
    ]
    if unused:
        why = (
            "are for files: an address brings its own"
            if is_address
            else "are for addresses: a file is not fetched"
        )
        raise ConfigError(", ".join(f"--{name}" for name in unused), None, why)
    if opts.callback is not None and not opts.spider:
        raise ConfigError("--callback", opts.callback, "needs its --spider")
    if opts.status is not None and not 100 <= opts.status <= 999:
        raise ConfigError("--status", opts.status, "must be 100 to 999")
    if opts.url is not None:
        given.check_address("--url", opts.url)


def _print_signatures(settings: Any, word: str) -> int:
    entries = list(table_of(settings))
    wanted = word.lower()
    entries = [e for e in entries if any(wanted in text.lower() for text in (e.id, e.vendor, e.kind))]
    if not entries:
        return _nothing(word, "in no signature's id, vendor or kind")
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("id", "vendor", "kind", "strength", "since", "source"):
        table.add_column(heading, no_wrap=heading != "source")
    for entry in entries:
        table.add_row(entry.id, entry.vendor, entry.kind, entry.strength, entry.since, entry.source)
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 180)
    console.print(table)
    vendors = {entry.vendor for entry in entries}
    console.print(f"{_n(len(entries), 'signature')} of {_n(len(vendors), 'vendor')}")
    return NO_BLOCK


def _n(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
