"""benchmarks/kills.py in small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.campaign import Place, balanced, read_jsonl
from benchmarks.kills import campaign
from tests.sinks.postgres_server import running


def test_kills_at_random_moments_lose_and_double_nothing(tmp_path: Path) -> None:
    """Of crawler and workers, with items that crash, raise in, or hang their worker; no child outlives its crawler by 2 s."""
    figures = campaign(tmp_path, "jsonl", 6, seed=1)
    assert figures.held, figures
    assert figures.kills.total() >= 6
    assert figures.books.accepted > 100
    assert figures.books.letters > 0


@pytest.mark.service
def test_kills_and_a_database_that_restarts(tmp_path: Path) -> None:
    """The same with PostgreSQL, restarted as after a crash, too."""
    with running() as server:
        figures = campaign(tmp_path, "postgres", 8, seed=1, server=server)
    assert figures.held, figures
    assert figures.kills["store"] > 0


def test_the_books_see_what_is_wrong(tmp_path: Path) -> None:
    """Lost, doubled and misplaced items are found, so that a campaign that holds means something."""
    for folder in ("data/out", "data/run"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "accepted").write_text("0/0/fine\n0/1/fine\n0/2/drop\n0/3/drop\n0/4/raise\n0/5/fine\n")
    (tmp_path / "deeds").write_text("0/2/drop\n")
    stored = ["0/0/fine", "0/0/fine", "0/4/raise"]
    (tmp_path / "data/out/part-1.jsonl").write_text("".join(f'{{"key": "{key}"}}\n' for key in stored))
    letter = json.dumps({"item": {"key": "0/5/fine"}, "reason": "x"})
    (tmp_path / "data/run/dead_letters.jsonl").write_text(f"{letter}\n{letter}\n")
    books = Place(tmp_path, read_jsonl).books()
    assert books.lost == ["0/1/fine", "0/3/drop"]
    assert books.doubled == ["0/0/fine", "0/5/fine"]
    assert books.misplaced == ["0/5/fine", "0/4/raise"]
    assert not books.right
    assert not balanced({"put": 3, "batches/stored": 2})
