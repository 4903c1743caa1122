from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.sinks import columns
from scraper.sinks.columns import BIGINT, BOOL, BYTES, FLOAT, INT, NULL, TEXT, TIME

ALL = (NULL, BOOL, INT, BIGINT, FLOAT, TIME, BYTES, TEXT)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], NULL),
        ([None, None], NULL),
        ([None, True], BOOL),
        ([1, 2**53, -(2**53)], INT),
        ([1, 2**53 + 1], BIGINT),
        ([2**63 - 1, -(2**63)], BIGINT),
        ([2**63], TEXT),
        ([1, 1.5], FLOAT),
        ([2**53 + 1, 1.5], TEXT),
        ([True, 1], TEXT),
        ([datetime(2026, 1, 1, tzinfo=UTC), None], TIME),
        ([datetime(2026, 1, 1)], TEXT),  # noqa: DTZ001  # naive on purpose
        ([b"x"], BYTES),
        ([b"x", "x"], TEXT),
        ([[1], {"a": 1}], TEXT),
    ],
)
def test_the_narrowest_kind(values: list[Any], kind: str) -> None:
    """A list of values has the narrowest kind that holds them all."""
    assert columns.kind_of(values) == kind


@given(
    st.lists(
        st.none()
        | st.booleans()
        | st.integers(-(2**65), 2**65)
        | st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1])
        | st.floats()
        | st.datetimes(timezones=st.none() | st.just(UTC))
        | st.text(max_size=2)
        | st.binary(max_size=2)
    )
)
def test_a_column_holds_each_of_its_values(values: list[Any]) -> None:
    """The kind of many values is the widest of their kinds one by one."""
    one_by_one = [columns.kind_of([value]) for value in values]
    assert columns.kind_of(values) == functools.reduce(columns.widest, one_by_one, NULL)


@given(st.sampled_from(ALL), st.sampled_from(ALL), st.sampled_from(ALL))
def test_widening_does_not_depend_on_order(a: str, b: str, c: str) -> None:
    """In whatever order batches are merged, a column ends with the same kind."""
    widest = columns.widest
    assert widest(a, b) == widest(b, a)
    assert widest(a, a) == a
    assert widest(widest(a, b), c) == widest(a, widest(b, c))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("x", "x"),
        ("", ""),
        (1, "1"),
        (1.5, "1.5"),
        (True, "true"),
        (b"\xff", "/w=="),
        ([1, "a"], '[1,"a"]'),
    ],
)
def test_spelled_out(value: Any, text: str | None) -> None:
    """Strings stay as they are, all else is JSON."""
    assert columns.text(value) == text
