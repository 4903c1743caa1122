"""What ``scrapy batches`` prints: tables for people, JSON lines and CSV for programs."""

from __future__ import annotations

import csv
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from scraper.batches.afterwards import standing, wording
from scraper.runs.redact import redact

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from scraper.sinks import sql

ROWS = 20  # that a table shows, unless told
_ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=str)


def _console() -> Console:
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 180)


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in headings:
        table.add_column(
            heading.lstrip(">"), justify="right" if heading.startswith(">") else "left", overflow="fold"
        )
    return table


def status(found: list[standing.Standing], now: datetime, runs: Path | None) -> None:
    table = _table("run", "state", ">waiting", ">bytes", ">oldest", ">damaged", ">dead letters", "kept")
    for one in found:
        letters = ", ".join(f"{wording.plain(step)} {n:,}" for step, n in one.letters.most_common())
        kept = "-"
        if one.kept_segments:
            kept = f"{wording.count(one.kept_segments, 'segment')}, {wording.size(one.kept_bytes)}"
        table.add_row(
            one.run, wording.state(one), f"{one.waiting + one.replaying:,}", wording.size(one.waiting_bytes + one.replaying_bytes),
            wording.age(one.oldest, now), f"{one.damaged:,}", letters or "0", kept,
        )  # fmt: skip
    console = _console()
    console.print(table)
    for line in (line for one in found for line in wording.next_steps(one, runs)):
        console.print(line, soft_wrap=True)


def letters(found: list[Any], opts: argparse.Namespace) -> None:
    if opts.json:
        for letter in found[: opts.limit]:
            facts = {**msgspec.structs.asdict(letter), "replayable": letter.payload is not None}
            facts |= {name: redact(facts[name]) for name in ("reason", "traceback")}
            print(_json({name: value for name, value in facts.items() if name != "payload"}))
        return
    limit = ROWS if opts.limit is None else opts.limit
    if not found:
        print("no dead letters")
    if min(len(found), limit) <= 3:
        for letter in found[:limit]:
            print(redact("\n".join(wording.letter_lines(letter))))
        return
    table = _table("id", "step", "reason", "key")
    for letter in found[:limit]:
        table.add_row(
            letter.id, wording.plain(letter.step), redact(wording.plain(letter.reason, 200)), wording.plain(wording.key_of(letter.item))
        )  # fmt: skip
    console = _console()
    console.print(table)
    console.print(
        f"{len(found):,} dead letters; --id, or --limit 3, for their tracebacks, --json for all of it"
    )


def items(batches: list[Any], opts: argparse.Namespace) -> None:
    found = (
        (batch, item)
        for batch in batches
        for item in standing.items(batch)
        if (opts.key or "") in wording.key_of(item.row)
    )
    limit = opts.limit if opts.limit is not None or opts.json else ROWS
    shown = [pair for pair, _ in zip(found, range(limit), strict=False)] if limit is not None else found
    if opts.json:
        for _, item in shown:
            print(_json(_facts(item)))
        return
    if not batches:
        print("nothing waits")
        return
    console = _console()
    table = _table("batch", ">items", ">bytes", "workers that died, by item", "in quarantine")
    for batch in batches[:ROWS]:
        died = ", ".join(f"{index}: {n}" for index, n in sorted(batch.attempts.items()))
        table.add_row(
            batch.id or "(not made yet)", f"{batch.n:,}", wording.size(batch.size), died or "-", ", ".join(map(str, batch.skip)) or "-"
        )  # fmt: skip
    console.print(table)
    table = _table("key", "url", ">bytes", "")
    for _, item in shown:
        row = item.row or {}
        note = "damaged" if item.row is None else "quarantined" if item.quarantined else ""
        note = note or (f"{wording.count(item.attempts, 'worker')} died over it" if item.attempts else "")
        table.add_row(
            wording.plain(wording.key_of(row)),
            wording.plain(row.get("_url") or ""),
            wording.size(item.size),
            note,
        )
    console.print(table)
    if opts.key and not table.row_count:
        console.print(f"no item's key holds {opts.key!r}", soft_wrap=True)
    total, parts = sum(batch.n for batch in batches), wording.count(len(batches), "batch")
    console.print(f"{wording.count(total, 'item')} in {parts}; --json for the items themselves")


def _facts(item: standing.Item) -> dict[str, Any]:
    return {
        "batch": item.batch, "index": item.index, "bytes": item.size, "attempts": item.attempts,
        "state": "damaged" if item.row is None else "quarantined" if item.quarantined else "waiting", "item": item.row,
    }  # fmt: skip


def answer(found: sql.Query, opts: argparse.Namespace) -> None:
    if opts.json:
        for row in found.rows():
            print(_json(dict(zip(found.columns, row, strict=True))))
    elif opts.csv:
        writer = csv.writer(sys.stdout, lineterminator="\r\n")
        writer.writerow(found.columns)
        for row in found.rows():
            writer.writerow(
                [
                    value if isinstance(value, str) else "" if value is None else _json(value).strip('"')
                    for value in row
                ]
            )
    else:
        limit = ROWS if opts.limit is None else opts.limit
        table = _table(*(wording.plain(name) for name in found.columns))
        n = 0
        for n, row in enumerate(found.rows(), 1):
            if n <= limit:
                table.add_row(*("" if value is None else wording.plain(value, 120) for value in row))
        console = _console()
        console.print(table)
        if n > limit:
            console.print(f"more than {limit} rows: --limit N, --json or --csv for all")


def _json(value: Any) -> str:
    return _ENCODER.encode(value).decode()
