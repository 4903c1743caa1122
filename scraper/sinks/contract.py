"""RULE. What a sink promises, and how one is found by the name in the setting ``SINK``.

A batch may be delivered again after any crash, to another process, so `commit` is atomic (all rows of the
batch or none) and idempotent by batch id (a second commit of an id changes nothing).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from scraper import named
from scraper.errors import ConfigError

Row = dict[str, Any]  # whatever JSON can hold, and bytes, datetime, date, Decimal, UUID; see `check`

KNOWN = {
    "parquet": "scraper.sinks.parquet.ParquetSink",
    "jsonl": "scraper.sinks.jsonl.JsonlSink",
    "csv": "scraper.sinks.csv.CsvSink",
    "sqlite": "scraper.sinks.sqlite.SqliteSink",
    "postgres": "scraper.sinks.postgres.PostgresSink",
    "memory": "scraper.sinks.memory.MemorySink",
}
_PASSWORD = re.compile(
    r"://[^/?#@\s]*:[^@\s]+@|password\s*=", re.IGNORECASE
)  # in an address or a libpq string


@runtime_checkable
class Sink(Protocol):
    """A place for rows. Built as ``Class(out_dir: str, **options)`` in the crawler and every worker; cheap to build.

    One that writes elsewhere than into ``out_dir`` says so by an attribute ``folder``: a path, an address, or "" for none.
    """

    name: str
    preload: tuple[str, ...]  # modules that a worker needs: imported once, before workers are forked

    def prepare(self) -> None:
        """Make the place ready. Called once per start, in the crawler, before any worker; OSError or
        SinkError.
        """

    def commit(self, batch_id: str, rows: list[Row]) -> None:
        """Store all rows or none, durably; nothing happens if ``batch_id`` is stored already. OSError or
        SinkError.
        """

    def finish(self) -> None:
        """Called in one worker when every batch is stored; may merge. May be killed and called again."""

    def close(self) -> None:
        """Let go of files and connections."""


def check(row: Row) -> None:
    """Raise TypeError, ValueError (UnicodeEncodeError too) or RecursionError if no sink need be able to store
    the row.
    """
    for name in row:
        if type(name) is not str:
            raise TypeError(f"field name {name!r} is not a str")
    msgspec.json.encode(row)


def load(specs: Any, out_dir: str, environment: Mapping[str, str]) -> Sink:
    """The sink for ``SINK``: a name, an import path, ``{"name": {"option": value}}``, or a list of those (each gets every
    row). ConfigError names what is wrong. ``environment``: for options "env:NAME".
    """
    listed = specs if isinstance(specs, list) else [specs]
    if not listed:
        raise ConfigError("SINK", specs, f"names no sink; known: {', '.join(KNOWN)}")
    sinks = [_load(spec, out_dir, environment) for spec in listed]
    return sinks[0] if len(sinks) == 1 else Several(sinks)


def _load(spec: Any, out_dir: str, environment: Mapping[str, str]) -> Sink:
    if _PASSWORD.search(str(spec)):
        raise ConfigError(
            "SINK", None, 'holds a password: put it into a variable and write {"url": "env:STORE_URL"}'
        )
    found = named.find("SINK", spec, KNOWN, "sink", out_dir)
    sink = found.factory(out_dir, **named.with_env("SINK", found.options, environment))
    if not isinstance(sink, Sink):
        raise ConfigError(
            "SINK", found.name, "is not a sink: see scraper/sinks/contract.py for what it must have"
        )
    return sink


class Several:
    """Every row into each of them, in their order. A batch that one of them could not take is delivered to all again, which
    those that have it notice by its id.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.sinks = sinks
        self.name = "+".join(sink.name for sink in sinks)
        self.preload = tuple(dict.fromkeys(module for sink in sinks for module in sink.preload))

    def prepare(self) -> None:
        for sink in self.sinks:
            sink.prepare()

    def commit(self, batch_id: str, rows: list[Row]) -> None:
        for sink in self.sinks:
            sink.commit(batch_id, rows)

    def finish(self) -> None:
        for sink in self.sinks:
            sink.finish()

    def close(self) -> None:
        for sink in self.sinks:
            sink.close()
