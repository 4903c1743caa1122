"""Steps in real workers: what is counted, and what a kill in the middle does to steps that share an index."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from scraper.batches.steps import BatchStep, Place, Refuse, RowStep
from tests.batches.harness import POISON, Run

DEDUPE = {"dedupe_exact": {"fields": ["text"]}}


class Even(RowStep):
    """Refuses odd numbers."""

    def __init__(self, place: Place) -> None:
        pass

    def run(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["n"] % 2:
            raise Refuse(f"{row['n']} is odd")
        return row


class Undecided(BatchStep):
    """Cannot judge while the run's folder holds a file ``wait``."""

    def __init__(self, place: Place) -> None:
        self.flag = Path(place.run_dir) / "wait"

    def look(self, row: dict[str, Any]) -> None:
        if row.get("do") == "look badly":
            raise ValueError("no look")

    def judge(self, batch: str, looks: object) -> dict[int, str]:
        if self.flag.exists():
            raise OSError("not now")
        return {}


def row(n: int, text: int, do: str = "", **more: Any) -> dict[str, Any]:
    return {"n": n, "_key": f"r/{n}/0", "_scraped_at": n, "text": text, "do": do, **more}


@pytest.mark.parametrize("workers", [0, 1])
def test_steps_are_counted_in_the_books(tmp_path: Path, workers: int) -> None:
    """Seconds of each step; refusals are dead letters with their reason, without a traceback; what raises in a look is one too."""
    slow = {"tests.batches.poison.slow": {"ms": 5}}
    run = Run(
        tmp_path, steps=["clean", slow, f"{__name__}.Even", f"{__name__}.Undecided", DEDUPE], workers=workers
    )
    run.deliver([row(n, n // 4, do="look badly" if n == 8 else "") for n in range(20)])
    assert run.numbers() == [0, 4, 10, 12, 16]
    assert {name: run.count(name) for name in ("stored", "duplicate", "dead_letter")} == {
        "stored": 5, "duplicate": 4, "dead_letter": 11,
    }  # fmt: skip
    letters = {letter["item"]["n"]: letter for letter in run.letters()}
    assert (letters[3]["reason"], letters[3]["traceback"]) == ("3 is odd", "")
    assert letters[8]["reason"] == "ValueError: no look"
    assert 0.1 <= run.counts["batches/step_s/tests.batches.poison.slow"] < 1
    assert 0 < run.counts["batches/step_s/clean"] < 0.05
    assert 0 < run.counts["batches/step_s/dedupe_exact"] < 0.5


def test_no_duplicate_and_no_loss_over_kills(tmp_path: Path) -> None:
    """Workers die between the index and the sink, at an innocent and at poison, while others write the same contents."""
    flags = [{"do": "kill_once", "flag": str(tmp_path / str(n))} for n in range(6)]
    rows = [row(n, n % 150) for n in range(300)]
    for at, flag in zip((5, 60, 110, 200, 250, 299), flags, strict=True):
        rows[at] |= flag
    rows.append(row(300, 1000, do="kill"))
    run = Run(tmp_path, steps=[DEDUPE, POISON], workers=2)
    delivery = run.deliver(rows)
    assert not delivery.failure
    assert sorted(stored["text"] for stored in run.rows()) == list(range(150))
    assert [letter["item"]["n"] for letter in run.letters()] == [300]
    assert run.count("duplicate") == 150


def test_a_step_that_cannot_judge_holds_the_batch_back(tmp_path: Path) -> None:
    """As a sink that is down does: the run fails, everything waits in the spool, and the next start delivers it."""
    run = Run(tmp_path, steps=[f"{__name__}.Undecided", DEDUPE])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "wait").touch()
    delivery = run.deliver([row(n, n) for n in range(10)])
    assert "step tests.batches.test_steps_delivery.Undecided: batch" in delivery.failure
    assert "not now; 10 items wait in" in delivery.failure
    assert run.rows() == []
    (tmp_path / "run" / "wait").unlink()
    run.deliver([])
    assert run.numbers() == list(range(10))


def test_a_row_is_in_the_index_as_stored_when_it_is(tmp_path: Path) -> None:
    """A row that a later step refuses is not: a later run may have it."""
    run = Run(tmp_path, steps=[DEDUPE, f"{__name__}.Even"])
    run.deliver([row(0, 0), row(1, 1)])
    with sqlite3.connect(tmp_path / "run" / "dedupe_exact.sqlite") as db:
        assert sorted(db.execute("SELECT stored FROM seen")) == [(0,), (1,)]
    db.close()
