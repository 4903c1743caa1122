from __future__ import annotations

import dataclasses
import enum
import uuid
from collections import OrderedDict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import attrs
import pydantic
import pytest
import scrapy
from hypothesis import given
from hypothesis import strategies as st

from scraper.batches import encode, wire

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OURS = {"_key": "r/p/0", "_url": "http://x/", "_scraped_at": AT}


@dataclasses.dataclass
class Dataclass:
    value: Any


@dataclasses.dataclass(slots=True, frozen=True)
class Slotted:
    value: Any


@attrs.define
class Attrs:
    value: Any


class Pydantic(pydantic.BaseModel):
    value: Any


class Item(scrapy.Item):
    value = scrapy.Field()


class Colour(enum.Enum):
    RED = "red"


class Text(str):
    pass


KINDS = (Dataclass, Slotted, Attrs, Pydantic, Item, dict)


def there_and_back(item: Any) -> dict[str, Any]:
    return wire.decode_row(encode.encode(encode.row_of(item, key="r/p/0", url="http://x/", scraped_at=AT)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inner", KINDS)
def test_every_kind_of_item_in_every_other(kind: Any, inner: Any) -> None:
    """An item of any kind, with items of any kind in it, becomes a row of plain values and our columns."""
    row = there_and_back(kind(value=[inner(value=b"\xff"), {"deep": inner(value=1)}]))
    assert row == {"value": [{"value": b"\xff"}, {"deep": {"value": 1}}], "_type": kind.__name__, **OURS}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (AT, AT),
        (AT.astimezone(timezone(timedelta(hours=5))), AT),
        (datetime(2026, 1, 2), "2026-01-02T00:00:00"),  # noqa: DTZ001  # naive on purpose
        (date(2026, 1, 2), "2026-01-02"),
        (Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        ({1}, [1]),
        ((1, 2), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (Text("x"), "x"),
        (bytearray(b"\x00"), b"\x00"),
        (2**64 - 1, 2**64 - 1),
        ("\x00\U0001f577", "\x00\U0001f577"),
        ("a\ud800b", "a\ufffdb"),
        ({"k\udfff": ["\ud800"]}, {"k\ufffd": ["\ufffd"]}),
        (Dataclass("\ud800"), {"value": "\ufffd"}),
        (None, None),
    ],
)
def test_values_as_documented(value: Any, kept: Any) -> None:
    """Bytes and aware datetimes stay, the rest becomes what the docstring says; lone surrogates become
    U+FFFD.
    """
    assert there_and_back({"value": value})["value"] == kept


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**64 - 1)
            | st.floats(allow_nan=False)
            | st.text()
            | st.binary(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=10,
        ),
        max_size=5,
    )
)
def test_plain_values_come_back_equal(fields: dict[str, Any]) -> None:
    """Whatever JSON-like values and bytes an item holds, the worker sees the same."""
    row = there_and_back(fields)
    assert {**fields, **{name: row[name] for name in (*OURS, "_type")}} == row


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("text", "str is not an item"),
        ({"good": 1, "bad": object()}, "field 'bad': a object cannot be stored"),
        ({"bad": {"deep": [lambda: 1]}}, "field 'bad': a function cannot be stored"),
        ({"bad": object(), "text": "\ud800"}, "field 'bad'"),
    ],
)
def test_what_cannot_be_encoded_is_named(item: Any, words: str) -> None:
    """NotEncodable names the field and what is in it."""
    with pytest.raises(encode.NotEncodable, match=words.replace("(", r"\(")):
        there_and_back(item)


def test_endless_items_are_refused() -> None:
    """An item that holds itself is a dead letter, not a hang."""
    item: dict[str, Any] = {}
    item["self"] = item
    with pytest.raises(encode.NotEncodable, match="self"):
        there_and_back(item)


def test_our_columns_are_ours() -> None:
    """An item's own field never replaces the key."""
    assert there_and_back({"_key": "mine", "_url": "mine"})["_key"] == "r/p/0"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (2**64, "18446744073709551616"),
        (-(2**63) - 1, "-9223372036854775809"),
        (2**64 - 1, 2**64 - 1),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "0001-01-01T00:00:00+14:00"),
        (datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=12))), "9999-12-31T23:00:00-12:00"),
    ],
)
def test_what_no_format_has_room_for_is_spelled_out(value: Any, kept: Any) -> None:
    """Also deep inside, beside a lone surrogate."""
    row = there_and_back({"value": [{"deep": value}], "text": "\ud83d"})
    assert row["value"] == [{"deep": kept}]
