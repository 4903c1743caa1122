"""When `put` returns: in the spool, on the disk, in the store."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from scraper.batches import segments, wire
from scraper.batches import spool as spools
from scraper.batches.delivery import Delivery
from scraper.errors import SinkError
from tests.batches.harness import Run, payload, until


@pytest.mark.parametrize("workers", [0, 1])
def test_commit_returns_when_the_item_is_in_the_store(tmp_path: Path, workers: int) -> None:
    """Each put finds its own item stored, without waiting for a full batch or for its age."""
    run = Run(tmp_path, ack="commit", items=1000, age_s=60, workers=workers)

    async def go(delivery: Delivery) -> None:
        async def one(number: int) -> None:
            await delivery.put(payload({"n": number}))
            assert number in run.numbers()

        await asyncio.gather(*(one(number) for number in range(50)))
        assert delivery.unfinished == 0

    run.deliver([], go)
    assert run.numbers() == list(range(50))
    assert run.count("written") < 50  # those that wait go together


def test_commit_counts_what_becomes_of_the_item_otherwise(tmp_path: Path) -> None:
    """Dropped, dead and quarantined items end their wait as well."""
    run = Run(tmp_path, ack="commit")
    deeds = [{}, {"do": "drop"}, {"do": "raise"}, {"do": "exit"}]
    run.deliver(deeds)
    assert run.numbers() == [0]
    assert run.count("dead_letter") == 2
    assert run.count("quarantined") == 1


@pytest.mark.parametrize("ack", ["commit", "fsync"])
def test_an_item_that_will_not_be_as_safe_as_asked_raises(tmp_path: Path, ack: str) -> None:
    """When the run fails, those that wait and those that come are told; the items are in the spool."""
    (tmp_path / "full").touch()
    run = Run(tmp_path, ack=ack, sink="tests.batches.misbehaving.Full", workers=0, outage_s=0)

    async def go(delivery: Delivery) -> None:
        if ack == "commit":
            with pytest.raises(SinkError, match="No space left"):
                await delivery.put(payload({"n": 0}))
        else:
            await delivery.put(payload({"n": 0}))
            await until(lambda: bool(delivery.failure))
        with pytest.raises(SinkError, match="No space left"):
            await delivery.put(payload({"n": 1}))

    run.deliver([], go)
    (tmp_path / "full").unlink()
    Run(tmp_path).deliver([])
    assert run.numbers() == [0, 1]


def test_fsync_returns_after_a_sync_of_segment_and_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No put returns before a sync that began after its write; many share one; a batch goes to a worker after its own."""
    synced: list[int] = []  # sizes of segments at the end of each sync
    real = spools._datasync

    def slow(file: int) -> None:
        size = os.fstat(file).st_ino
        real(file)
        synced.append(size)

    monkeypatch.setattr(spools, "_datasync", slow)
    run = Run(tmp_path, ack="fsync", items=50, workers=0)

    async def go(delivery: Delivery) -> None:
        async def one(number: int) -> None:
            before = len(synced)
            await delivery.put(payload({"n": number}))
            assert len(synced) > before

        await asyncio.gather(*(one(number) for number in range(200)))

    run.deliver([], go)
    assert run.numbers() == list(range(200))
    assert len(synced) < 100


def test_a_disk_that_cannot_sync_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error of fsync nobody knows what is on the disk: nothing more is promised."""

    def broken(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(spools, "_datasync", broken)
    run = Run(tmp_path, ack="fsync", workers=0)

    async def go(delivery: Delivery) -> None:
        with pytest.raises(SinkError, match="Input/output error"):
            await delivery.put(payload({"n": 0}))

    delivery = run.deliver([], go)
    assert "cannot be synced" in delivery.failure


def test_settled_segments_go_after_the_sync_or_are_kept(tmp_path: Path) -> None:
    """With syncs, too, nothing is left in the spool; kept segments hold every item in their order."""
    run = Run(tmp_path, ack="fsync", keep_segments=True)
    run.deliver({} for _ in range(30))
    assert list((tmp_path / "run" / "spool").glob("seg-*")) == []
    (kept,) = (tmp_path / "run" / "segments").iterdir()
    found = [wire.decode_row(record.payload or b"") for record in segments.records(kept.read_bytes())]
    assert [row["n"] for row in found] == list(range(30))


@pytest.mark.parametrize("ack", ["spool", "fsync", "commit"])
def test_segments_are_given_back_while_the_crawl_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ack: str
) -> None:
    """Also where nothing is appended any more, and no file of theirs stays open."""
    monkeypatch.setattr(spools.Spool.__init__, "__defaults__", (5000,))
    run = Run(tmp_path, ack=ack, sync_s=0.05)

    async def go(delivery: Delivery) -> None:
        await asyncio.gather(*(delivery.put(payload({"n": n, "x": bytes(900)})) for n in range(100)))
        await until(lambda: len(list((tmp_path / "run" / "spool").glob("seg-*"))) <= 1)
        open_files = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
        assert len([path for path in open_files if "/spool/seg-" in path]) <= 1

    run.deliver([], go)
    assert run.numbers() == list(range(100))


def test_the_name_of_a_batch_never_comes_twice_though_a_power_cut_took_its_segment(tmp_path: Path) -> None:
    """The sink has the batch, ledger and segment were never synced: new items get other names, or they would be taken for it."""
    for start in range(3):
        run = Run(tmp_path, ack="commit")
        run.deliver({"n": 10 * start + n} for n in range(10))
        for path in (tmp_path / "run" / "spool").iterdir():
            if path.name != "spool.json":
                path.unlink()
    assert run.numbers() == list(range(30))
