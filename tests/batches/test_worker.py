from __future__ import annotations

from pathlib import Path

import pytest

from scraper.batches import wire, worker
from scraper.batches.spool import Spool
from scraper.errors import ConfigError
from tests.batches.harness import Run, payload


def order(folder: Path, n: int, **changes: object) -> wire.Order:
    spool = Spool(folder / "run" / "spool", {})
    for number in range(n):
        spool.append(payload({"n": number}))
    batch = spool.cut()
    assert batch is not None
    spool.close()
    (folder / "out").mkdir()
    return wire.Order(
        **{
            "seq": 1,
            "batch": batch.id,
            "path": batch.path,
            "start": 0,
            "end": batch.end,
            "n": n,
            "skip": [],
            **changes,
        }
    )


def runner(folder: Path) -> worker.Runner:
    return worker.Runner(worker.Job(["tests.batches.poison.number"], "jsonl", str(folder / "out")))


def test_progress_is_marked_before_each_item_and_before_the_sink(tmp_path: Path) -> None:
    """The crawler can tell which item a dead worker was at; skipped ones are not touched."""
    marks: list[int] = []
    ack = runner(tmp_path).deliver(order(tmp_path, 4, skip=[1]), marks.append)
    assert marks == [0, *[0, 2, 3] * 2, wire.COMMITTING]  # the reading; the decoding, the step; the sink
    assert isinstance(ack, wire.Ack)
    assert (ack.stored, ack.dropped, ack.dead) == (3, {}, [])
    assert Run(tmp_path).numbers() == [0, 2, 3]


def test_a_damaged_item_is_a_dead_letter(tmp_path: Path) -> None:
    """Named as such, and the rest of its batch is stored."""
    given = order(tmp_path, 3)
    data = bytearray(Path(given.path).read_bytes())
    data[given.end // 2] ^= 1
    Path(given.path).write_bytes(data)
    ack = runner(tmp_path).deliver(given, lambda index: None)
    assert isinstance(ack, wire.Ack)
    assert [(dead.index, dead.step) for dead in ack.dead] == [(1, "spool")]
    assert Run(tmp_path).numbers() == [0, 2]


def test_a_batch_with_no_row_left_needs_no_sink(tmp_path: Path) -> None:
    """Nothing is committed, the batch is done."""
    ack = runner(tmp_path).deliver(order(tmp_path, 2, skip=[0, 1]), lambda index: None)
    assert isinstance(ack, wire.Ack)
    assert ack.stored == 0
    assert list((tmp_path / "out").iterdir()) == []


def test_what_does_not_load_is_an_error_at_once(tmp_path: Path) -> None:
    """A worker with a wrong step or sink does not start."""
    with pytest.raises(ConfigError):
        worker.Runner(worker.Job(["claen"], "jsonl", str(tmp_path)))
