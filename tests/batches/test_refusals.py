"""A store or a disk that takes nothing for a while."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from scraper.batches import worker
from scraper.batches.delivery import Delivery
from scraper.batches.outage import MAX_DELAY_S, Outage
from tests.batches.harness import Run, payload, pool_of, until


@pytest.mark.parametrize("workers", [0, 2])
def test_an_outage_holds_the_crawl_back_and_then_everything_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """The spool fills to its bound and no further, put waits, and when the store is back all goes on; it is told and counted
    once.
    """
    monkeypatch.setattr(worker, "BACKOFF_S", 0.01)
    flag = tmp_path / "full"
    flag.touch()
    run = Run(
        tmp_path, sink="tests.batches.misbehaving.Full", workers=workers, outage_s=60, backlog_bytes=20_000
    )
    most = 0

    async def go(delivery: Delivery) -> None:
        nonlocal most

        async def feed() -> None:
            nonlocal most
            for number in range(200):
                await delivery.put(payload({"n": number, "x": bytes(900)}))
                most = max(most, delivery.backlog)

        feeding = asyncio.create_task(feed())
        await until(lambda: delivery.backlog > 20_000)
        await until(lambda: bool(run.notices))
        await asyncio.sleep(1.2)
        assert not feeding.done()
        assert delivery.standing.oldest_s > 1
        flag.unlink()
        await feeding

    delivery = run.deliver([], go)
    assert delivery.failure == ""
    assert run.numbers() == list(range(200))
    assert most <= 20_000 + 1000
    assert run.count("outages") == 1
    assert run.count("outage_s") > 1
    assert len(run.notices) == 2
    assert "No space left" in run.notices[0]
    assert "takes batches again" in run.notices[1]


def test_an_outage_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After BATCH_OUTAGE_S the run has failed, with everything in the spool; held items are let into it."""
    monkeypatch.setattr(worker, "BACKOFF_S", 0.01)
    (tmp_path / "full").touch()
    run = Run(tmp_path, sink="tests.batches.misbehaving.Full", outage_s=1.5, backlog_bytes=5000)
    began_s = time.monotonic()
    delivery = run.deliver({"x": bytes(900)} for _ in range(50))
    assert 1.4 < time.monotonic() - began_s < 8
    assert "No space left" in delivery.failure
    assert delivery.unfinished == 50


def test_batches_without_a_row_left_are_no_sign_of_a_store_that_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They never ask the sink: the outage goes on, is told once, and has its end."""
    monkeypatch.setattr(worker, "BACKOFF_S", 0.01)
    (tmp_path / "full").touch()
    run = Run(tmp_path, sink="tests.batches.misbehaving.Full", outage_s=2.0, items=1)
    delivery = run.deliver({"do": "drop" if n % 2 else None} for n in range(40))
    assert "No space left" in delivery.failure
    assert run.count("outages") == 1
    assert run.count("outage_s") >= 2
    assert len(run.notices) == 1


def test_a_crawl_that_is_told_to_stop_waits_no_longer_than_for_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop during an outage ends within the drain timeout, not within that of an outage."""
    monkeypatch.setattr(worker, "BACKOFF_S", 0.01)
    (tmp_path / "full").touch()
    run = Run(
        tmp_path, sink="tests.batches.misbehaving.Full", outage_s=600, drain_timeout_s=0.5, backlog_bytes=0
    )

    async def go(delivery: Delivery) -> None:
        putting = asyncio.create_task(delivery.put(payload({"n": 1})))
        await until(lambda: bool(run.notices))
        run.stopping = True
        await putting
        assert delivery.failure

    delivery = run.deliver([{}], go)
    assert delivery.unfinished == 2


def test_a_worker_that_is_killed_during_an_outage_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch that it was trying is tried again by the next."""
    flag = tmp_path / "full"
    flag.touch()
    run = Run(tmp_path, sink="tests.batches.misbehaving.Full", outage_s=60)

    async def go(delivery: Delivery) -> None:
        await until(lambda: bool(run.notices))
        for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            await asyncio.sleep(0.4)
            for pid in pool_of(delivery).pids:
                os.kill(pid, how)
        flag.unlink()

    delivery = run.deliver(({} for _ in range(40)), go)
    assert delivery.failure == ""
    assert run.numbers() == list(range(40))


def test_tries_come_later_and_later_and_end() -> None:
    """1, 2, 4, ... 30 s; none after the patience or when the crawl stops."""
    outage = Outage(100)
    now, delays = 50.0, []
    while (delay := outage.refused(now, "down")) is not None:
        assert outage.refused(now + delay / 2, "down") == delay / 2  # one of many who wait for the same try
        delays.append(delay)
        now += delay
    assert delays == [1, 2, 4, 8, 16, 30, 30, 9]
    assert max(delays) <= MAX_DELAY_S
    assert outage.lasted_s(now) == outage.end(now) == 100
    assert not outage
    assert outage.refused(200, "down", stop_by_s=200.5) == 0.5
    assert outage.refused(200.5, "down", stop_by_s=200.5) is None
