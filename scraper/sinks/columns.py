"""RULE. Which kind of column holds these values, and which kind holds two kinds. Plain values in, names out.

Web records drift: a field is missing here, 3 there, 3.5 or "n/a" on the next page. Each batch takes the
narrowest kind that holds its values; at the end of the run the kinds of all batches are widened to one
(`widest`), along

    null < bool < text   null < int < float < text   int < bigint < text   null < time < text   null < bytes < text

so that a value is never changed, only spelled out. Lists, dicts and everything mixed are text: JSON if not
a string.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec

NULL, BOOL, INT, BIGINT = "null", "bool", "int", "bigint"
FLOAT, TIME, BYTES, TEXT = "float", "time", "bytes", "text"

EXACT_IN_FLOAT = 2**53  # integers up to here survive a column of floats; larger ones are "bigint"
_KINDS = {type(None): NULL, bool: BOOL, float: FLOAT, str: TEXT, bytes: BYTES}
_TEXTS = {type(None), str}
_WIDER = {frozenset((INT, FLOAT)): FLOAT, frozenset((INT, BIGINT)): BIGINT}


def kind_of(values: Collection[Any]) -> str:
    """The narrowest kind that holds all the values."""
    kind = NULL
    for type_ in set(map(type, values)):  # each type once: a look at every value costs more than to store it
        kind = widest(kind, _KINDS.get(type_) or _kind([value for value in values if type(value) is type_]))
    return kind


def widest(one: str, other: str) -> str:
    """The narrowest kind that holds values of both kinds."""
    if one == other or other == NULL:
        return one
    return other if one == NULL else _WIDER.get(frozenset((one, other)), TEXT)


def texts(values: list[Any]) -> list[str | None]:
    """Each value spelled out."""
    return values if set(map(type, values)) <= _TEXTS else [text(value) for value in values]


def text(value: Any) -> str | None:
    """The value spelled out: strings as they are, all else as JSON (bytes in it as base64). None, NaN and infinity: None."""
    if value is None or type(value) is str:
        return value
    spelled = msgspec.json.encode(value)
    if spelled == b"null":
        return None
    return msgspec.json.decode(spelled, type=str) if spelled[:1] == b'"' else spelled.decode()


def _kind(values: list[Any]) -> str:
    """Of values of one type."""
    if isinstance(values[0], int):
        return widest(_whole(min(values)), _whole(max(values)))
    if isinstance(values[0], datetime) and all(value.tzinfo is not None for value in values):
        return TIME
    return TEXT


def _whole(value: int) -> str:
    return INT if abs(value) <= EXACT_IN_FLOAT else BIGINT if -(2**63) <= value < 2**63 else TEXT
