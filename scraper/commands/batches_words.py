"""The words of ``scrapy batches`` and their options, and what may be typed together."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from scraper.batches import drain
from scraper.commands import batches_printing as printing

if TYPE_CHECKING:
    import argparse

_NAMES = (  # options, in the order of the help
    "json", "csv", "limit", "letters", "key", "step", "id", "dry_run", "out", "steps", "sink", "ray", "log", "workers", "timeout",
    "takeover", "drain", "max_mb", "allow",
)  # fmt: skip
MACHINE = (
    "log",
    "workers",
    "takeover",
    "drain",
    "max_mb",
    "allow",
)  # options of `work`, which it reads itself
_WORK = {"workers", "timeout"}
WORDS: dict[
    str, tuple[int, int, str, set[str]]
] = {  # word -> arguments at least, at most, what they are, options
    "status": (0, 1000, "[RUN ...]", {"json"}),
    "drain": (1, 1, "RUN", _WORK),
    "inspect": (1, 1, "RUN", {"letters", "key", "step", "id", "limit", "json"}),
    "replay": (1, 1, "RUN", {"step", "id", "steps", "dry_run", *_WORK}),
    "run": (1, 100_000, "SEGMENTS... --out DIR", {"out", "steps", "sink", "ray", *_WORK}),
    "sql": (1, 1000, '"select ..." [RUN ...]', {"json", "csv", "limit"}),
    "work": (0, 0, "--log redis://...", set(MACHINE)),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--json", action="store_true", help="status, inspect, sql: JSON lines for scripts")
    add("--csv", action="store_true", help="sql: CSV")
    add(
        "--limit",
        type=int,
        metavar="N",
        help=f"inspect, sql: rows at most; {printing.ROWS} in a table unless told",
    )
    add("--letters", action="store_true", help="inspect: the dead letters")
    add("--key", metavar="KEY", help="inspect: only items whose key holds this")
    add("--step", metavar="NAME", help="inspect --letters, replay: only dead letters of this step")
    add("--id", metavar="ID", help="inspect --letters, replay: only the dead letter whose id begins so")
    add("--dry-run", action="store_true", help="replay: only say which")
    add("--out", metavar="DIR", help="run: folder for the records, and for what goes on after a stop")
    add(
        "--steps",
        metavar="STEPS",
        help="replay, run: names with commas between, or JSON, as BATCH_STEPS; none is ''",
    )
    add("--sink", metavar="SINK", help="run: a name, or JSON, as SINK")
    add("--ray", action="store_true", help="run: by Ray Data, an extra")
    add("--log", metavar="URL", help="work: redis://... of the crawls; env:NAME for a variable")
    add(
        "--workers",
        type=int,
        metavar="N",
        help=f"processes, {drain.WORKERS} unless told; work: for each crawl, one per core unless told",
    )
    add(
        "--timeout",
        type=float,
        metavar="S",
        help=f"seconds to deliver, {drain.TIMEOUT_S:g} unless told; run: no limit",
    )

    add(
        "--takeover",
        type=float,
        metavar="S",
        help="work: seconds after which a silent machine's batches are another's; 30 unless told",
    )
    add(
        "--drain",
        type=float,
        metavar="S",
        help="work: seconds that leaving waits for what is in hand; 60 unless told",
    )
    add("--max-mb", type=int, metavar="MB", help="work: that a worker may hold; 1024 unless told")
    add(
        "--allow",
        action="append",
        metavar="PACKAGE",
        help="work: whose steps and sinks may be run too; may be repeated",
    )


def misused(args: list[str], opts: argparse.Namespace) -> str:
    """What is wrong with the words and options; "" for nothing."""
    word = args[0] if args else ""
    if word not in WORDS:
        near = difflib.get_close_matches(word, WORDS, 1)
        return f"'{word}': did you mean {near[0]}?" if near else f"say scrapy batches {', '.join(WORDS)}"
    least, most, takes, options = WORDS[word]
    if not least <= len(args) - 1 <= most:
        return f"say scrapy batches {word} {takes}"
    given = [name for name in _NAMES if getattr(opts, name) not in (None, False)]
    if unused := [f"--{name.replace('_', '-')}" for name in given if name not in options]:
        return f"{', '.join(unused)}: not for {word}"
    for name in ("limit", "workers", "timeout"):
        if getattr(opts, name) is not None and not getattr(opts, name) >= 0:
            return f"--{name} must be 0 or more"
    return ""
