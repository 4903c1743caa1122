"""benchmarks/damage.py in small: every n-th case of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.damage import campaign


@pytest.mark.parametrize(
    ("kind", "n", "stride"),
    [
        ("last-record", 0, 50),
        ("flips", 60, 1),
        ("pages", 0, 2),
        ("ledger-flips", 60, 1),
        ("ledger-ends", 0, 15),
        ("missing", 0, 1),
    ],
)
def test_what_is_whole_is_delivered_once_and_what_is_not_is_named(
    tmp_path: Path, kind: str, n: int, stride: int
) -> None:
    """A killed run's segment or ledger is cut, flipped in a bit, zeroed or lost: the next start neither fails nor hangs."""
    figures = campaign(tmp_path, kind, n=n, stride=stride)
    assert figures.wrong == []
    assert figures.cases >= 10
