"""RULE. What a sink promises, and how one is found by the name in the setting ``SINK``.

A batch may be delivered again after any crash, to another process, so `commit` is atomic (all rows of the
batch or none) and idempotent by batch id (a second commit of an id changes nothing).
"""

from __future__ import annotations

import difflib
import importlib
from typing import Any, Protocol, runtime_checkable

import msgspec

from scraper.errors import ConfigError

Row = dict[str, Any]  # whatever JSON can hold, and bytes, datetime, date, Decimal, UUID; see `check`

KNOWN = {
    "parquet": "scraper.sinks.parquet.ParquetSink",
    "jsonl": "scraper.sinks.jsonl.JsonlSink",
    "memory": "scraper.sinks.memory.MemorySink",
}


@runtime_checkable
class Sink(Protocol):
    """A place for rows. Built as ``Class(out_dir: str)`` in the crawler and every worker; cheap to build."""

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


def load(spec: str, out_dir: str) -> Sink:
    """The sink for ``SINK`` = a known name or ``package.module.Class``; ConfigError names the known ones."""
    path = KNOWN.get(spec, spec)
    module_name, _, class_name = path.rpartition(".")
    if not module_name:
        close = difflib.get_close_matches(spec, KNOWN, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError("SINK", spec, f"{hint}known: {', '.join(KNOWN)}, or the import path of a class")
    try:
        factory = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError("SINK", spec, f"cannot be imported: {error}") from error
    sink = factory(out_dir)
    if not isinstance(sink, Sink):
        raise ConfigError("SINK", spec, "is not a sink: see scraper/sinks/contract.py for what it must have")
    return sink
