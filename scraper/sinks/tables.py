"""RULE. Which fields of a batch have a column of their own in a table of a database, and which share ``_rest``.

Names and numbers of fields are the web's, a database has rules for both. A field without a column of its own is kept
in ``_rest``, a JSON object by field name, so nothing is lost and no row is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from scraper.errors import ConfigError
from scraper.sinks import columns
from scraper.sinks.contract import Row

REST = "_rest"
SCRAPED_AT = "_scraped_at"
MAX_COLUMNS = 240  # a row of PostgreSQL must fit in 8,160 bytes, up to 32 of each value; SQLite ends at 2,000


@dataclass(frozen=True, slots=True)
class Names:
    """What a database takes as the name of a column."""

    max_bytes: int
    ignores_case: bool = False
    reserved: frozenset[str] = field(default_factory=frozenset)

    def fold(self, name: str) -> str:
        """Two names are the same column if this is the same. (SQLite folds ASCII alone.)"""
        return name.encode().lower().decode() if self.ignores_case else name

    def takes(self, name: str) -> bool:
        return 0 < len(name.encode()) <= self.max_bytes and "\0" not in name and name not in self.reserved


def place(fields: Iterable[str], have: Collection[str], names: Names) -> tuple[list[str], list[str]]:
    """(fields whose column is there, fields that get a new one); all others go to ``_rest``."""
    taken = {names.fold(name): name for name in have}
    own: list[str] = []
    new: list[str] = []
    for name in fields:
        there = taken.get(names.fold(name))
        if name == REST:
            continue
        if there == name:
            own.append(name)
        elif there is None and names.takes(name) and len(taken) < MAX_COLUMNS:
            new.append(name)
            taken[names.fold(name)] = name
    return own, new


def with_values(rows: Sequence[Row]) -> list[str]:
    """The fields that are not None in some row, in order of first sight."""
    found: dict[str, None] = {}
    for row in rows:
        if not row.keys() <= found.keys():  # most rows bring no new field
            found.update((name, None) for name, value in row.items() if value is not None)
    return list(found)


def rest(values: dict[str, Any]) -> str | None:
    """The text of ``_rest``."""
    return msgspec.json.encode(values).decode() if values else None


def key_of(row: Row, key: Sequence[str]) -> tuple[str, ...] | None:
    """The row's key, spelled out. None if a part of it is missing: such rows are added, they replace nothing."""
    parts = [columns.text(row.get(name)) for name in key]
    return None if None in parts else tuple(part for part in parts if part is not None)


def checked_key(sink: str, key: Iterable[Any], names: Names) -> tuple[str, ...]:
    """The option ``key``. ConfigError if it names no fields that can be columns."""
    found = tuple(key)
    for name in found:
        if not isinstance(name, str) or name == REST or not names.takes(name) or found.count(name) > 1:
            raise ConfigError("SINK", key, f"{sink}: key must list names of fields, each once")
    return found
