"""RULE. Which type of PostgreSQL a field gets, and which values fit a column of it.

A column has the type that its first batch asks for. Later values that do not fit go to ``_rest``; text and jsonb take
anything (spelled out), and a column of whole numbers is widened to numeric when the first fraction comes: both exactly.
Text and jsonb cannot hold NUL here: it becomes U+FFFD.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from scraper.sinks import columns, tables
from scraper.sinks.contract import Row

NAMES = tables.Names(
    max_bytes=63,  # longer ones would be cut without a word
    reserved=frozenset(("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid")),
)
KEY_BYTES = 2_000  # of a row's key: an entry of an index holds 2,704
WHOLE, NUMERIC, TEXT, JSON = "bigint", "numeric", "text", "jsonb"
MOMENT = "timestamp with time zone"
_TYPES = {
    columns.BOOL: "boolean",
    columns.INT: WHOLE,
    columns.BIGINT: WHOLE,
    columns.FLOAT: "double precision",
    columns.TIME: MOMENT,
    columns.BYTES: "bytea",
    columns.TEXT: TEXT,
}
_MISFIT = object()


def type_for(values: Sequence[Any]) -> str:
    """For a new column. Lists and dicts alone are jsonb; what is mixed is text."""
    if all(isinstance(value, (dict, list)) for value in values):
        return JSON
    return _TYPES[columns.kind_of(values)]


def changes(
    rows: Sequence[Row], own: Sequence[str], new: Sequence[str], have: dict[str, str]
) -> dict[str, str]:
    """Field -> the type that its column must get before the rows can go in. ``have``: name -> type of what is there."""
    found = {name: type_for([value for row in rows if (value := row.get(name)) is not None]) for name in new}
    for name in own:
        if have[name] == WHOLE and any(type(row.get(name)) is float for row in rows):
            found[name] = NUMERIC
    return found


def records(
    rows: Sequence[Row], own: Sequence[str], have: dict[str, str], key: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """For each row the values of the columns ``own`` and of ``_rest``, as COPY takes them. One row at a time: the server works
    on those that it has while the next are made ready.
    """
    mine, limit = set(own), KEY_BYTES // max(1, len(key))
    fits = [(name, FITS[have[name]]) for name in own]
    keys = [(at, name) for at, name in enumerate(own) if name in key]
    for row in rows:
        left: dict[str, Any] = {}  # what goes to ``_rest``
        if not row.keys() <= mine:
            left = {name: value for name, value in row.items() if name not in mine and value is not None}
        record: list[Any] = [None if (value := row.get(name)) is None else fit(value) for name, fit in fits]
        if _MISFIT in record:
            for at, name in enumerate(own):
                if record[at] is _MISFIT:
                    record[at], left[name] = None, row[name]
        for at, name in keys:
            if record[at] is not None and len(record[at].encode()) > limit:
                record[at], left[name] = _shortened(record[at]), row[name]
        yield (*record, _jsonb(left) if left else None)


def last_of_each_key(rows: Sequence[Row], key: Sequence[str]) -> list[Row]:
    """One statement cannot replace a row twice. In the order of keys, so that two workers wait for each other in one way."""
    keyed: dict[tuple[str, ...], Row] = {}
    without = []
    for row in rows:
        parts = tables.key_of(row, key)
        if parts is None:
            without.append(row)
        else:
            keyed[tuple(map(_text, parts))] = row
    return [keyed[parts] for parts in sorted(keyed)] + without


def _bool(value: Any) -> Any:
    return value if type(value) is bool else _MISFIT


def _whole(value: Any) -> Any:
    return value if type(value) is int and -(2**63) <= value < 2**63 else _MISFIT


def _float(value: Any) -> Any:
    if type(value) is float:
        return value
    return float(value) if type(value) is int and abs(value) <= columns.EXACT_IN_FLOAT else _MISFIT


def _numeric(value: Any) -> Any:
    if type(value) is int:
        return Decimal(value)
    return Decimal(repr(value)) if type(value) is float else _MISFIT


def _moment(value: Any) -> Any:
    return value if isinstance(value, datetime) and value.tzinfo is not None else _MISFIT


def _bytes(value: Any) -> Any:
    return value if type(value) is bytes else _MISFIT


def _text(value: Any) -> Any:
    if type(value) is str and "\0" not in value:
        return value
    text = columns.text(value)
    return text.replace("\0", "\ufffd") if text and "\0" in text else text


def _jsonb(value: Any) -> Any:
    """The JSON; `postgres.py` tells psycopg that it is encoded already."""
    encoded = msgspec.json.encode(value)
    if b"\\u0000" in encoded:
        encoded = msgspec.json.encode(_without_nul(msgspec.json.decode(encoded)))
    return encoded


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_without_nul(inner) for inner in value]
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(inner) for name, inner in value.items()}
    return value


def _shortened(value: str) -> str:
    """For an index: the beginning and a hash of the whole, which stands in ``_rest``."""
    return f"{value[:100]}#{hashlib.sha256(value.encode()).hexdigest()}"


FITS: dict[str, Callable[[Any], Any]] = {  # columns of other types are never written
    "boolean": _bool,
    WHOLE: _whole,
    "double precision": _float,
    NUMERIC: _numeric,
    MOMENT: _moment,
    "bytea": _bytes,
    TEXT: _text,
    JSON: _jsonb,
}
