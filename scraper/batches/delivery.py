"""I/O. From bytes to the store: spool, batcher and workers together. The pipeline and `drain` use it.

Books: what was put in = stored + dropped + duplicate + dead letters + what is still in the spool. The last
is 0 unless `failure` says why it is not and what to do next. Counts go to ``count(name, by)`` with the
names of docs/stats.md.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from scraper.batches import steps, wire, worker
from scraper.batches.batcher import Batcher, Limits
from scraper.batches.dead_letters import DeadLetters
from scraper.batches.inline import InlinePool
from scraper.batches.pool import Pool
from scraper.batches.spool import Batch, Spool, read_batch
from scraper.errors import SinkError
from scraper.sinks import contract

MAX_DEATHS = (
    2  # of workers over one item, before it goes to quarantine: the second shows that it was not bad luck
)
_TICK_S = 0.001  # a timer may fire a clock tick early, and then the batch would not be old enough
MAX_COMMIT_DEATHS = 3  # of workers while the sink wrote one batch, before the run gives up


@dataclass(frozen=True, slots=True)
class Options:
    """``workers`` 0 = inline, in a thread. ``backlog_bytes`` may wait on disk before `put` waits."""

    run_dir: Path
    job: worker.Job
    workers: int
    limits: Limits
    backlog_bytes: int
    drain_timeout_s: float
    item_deadline_s: float = 30.0


class Delivery:
    """``on_failure(text)`` is called once, when the store or the spool has given up."""

    def __init__(
        self, options: Options, count: Callable[[str, float], None], on_failure: Callable[[str], None]
    ) -> None:
        self._options = options
        self._count = count
        self._on_failure = on_failure
        self.failure = ""
        self._opened = False
        self.unfinished = 0  # items in the spool that are not settled
        self.backlog = 0  # bytes of them
        self._batcher = Batcher(options.limits)
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._empty: asyncio.Future[None] | None = None
        self.finish_failure = ""  # why the sink could not merge: all records are stored, but in many files

    async def open(self) -> None:
        """Make the store ready, take over what an earlier start left, start the workers.

        ConfigError if a step or the sink is unknown or the spool is in use; SinkError if the store is not ready.
        """
        options = self._options
        self._loop = asyncio.get_running_loop()
        job = dataclasses.replace(options.job, run_dir=str(options.run_dir))
        loaded = worker.steps_of(job)
        for one in loaded:
            one.step.prepare()
        sink = contract.load(job.sink, job.out_dir, os.environ)
        try:
            sink.prepare()
        except OSError as error:
            raise SinkError(sink.name, "(none yet)", f"{options.job.out_dir}: {error}") from error
        sink.close()
        self._spool = Spool(
            options.run_dir / "spool", options.limits, {"job": msgspec.to_builtins(options.job)}
        )
        self._dead_letters = DeadLetters(options.run_dir)
        if options.workers:
            self._pool: Pool | InlinePool = Pool(
                self._loop,
                job,
                options.workers,
                self._spool.folder,
                self,
                (*sink.preload, *steps.preloads(loaded)),
                options.item_deadline_s,
            )
        else:
            self._pool = InlinePool(self._loop, job, self)
        await self._pool.start()
        if self._spool.torn_bytes:
            self._count("batches/torn_bytes", self._spool.torn_bytes)
        for batch in self._spool.recovered:
            self._count("batches/recovered", batch.n)
            self.unfinished += batch.n - len(batch.skip)
            self._count("batches/dead_letter", len(batch.skip))
            self.backlog += batch.size
            self._pool.submit(batch)
        self._opened = True

    async def put(self, payload: bytes) -> None:
        """Add an item; returns when it is safe from the death of any process. Waits while the backlog is too big.

        SinkError if the spool cannot take it: then it is nowhere.
        """
        if self.backlog > self._options.backlog_bytes or self._waiters:
            await self._room()
        try:
            size = self._spool.append(payload)
        except OSError as error:
            self._fail(f"the spool cannot be written ({error})")
            raise SinkError("spool", "(open)", str(error)) from error
        self.unfinished += 1
        self.backlog += size
        now_s = self._loop.time()
        self._batcher.add(size, now_s)
        if self._timer is None:
            self._timer = self._loop.call_later(self._options.limits.age_s + _TICK_S, self._cut_if_due)
        self._cut_if_due()
        self._let_in()

    def dead_letter(self, id: str, step: str, reason: str, item: Any) -> None:
        """An item that never became bytes. OSError makes the run fail: the letter is the only trace of the
        item.
        """
        try:
            self._dead_letters.add(id, step, reason, item)
            self._count("batches/dead_letter", 1)
        except OSError as error:
            self._fail(f"dead_letters.jsonl cannot be written ({error})")

    async def close(self) -> None:
        """Deliver what there is, within the drain timeout, let the sink finish, end the workers."""
        if not self._opened:
            return
        timeout_s = self._options.drain_timeout_s
        try:
            self._cut()
            if self.unfinished and not self.failure:
                self._empty = self._loop.create_future()
                await asyncio.wait([self._empty], timeout=timeout_s)
            if self.unfinished and not self.failure:
                self._fail(f"workers did not deliver everything within {timeout_s:g} s of the end")
            if not self.failure:
                self.finish_failure = await self._pool.finish() or ""
        finally:
            if self._timer:
                self._timer.cancel()
            await self._pool.stop()
            try:
                self._spool.close()
            except OSError as error:
                self._fail(f"the spool cannot be closed ({error})")

    # --- events of the pool --------------------------------------------------------------------------------

    def acked(self, batch: Batch, ack: wire.Ack) -> None:
        """The batch is stored: dead letters to their file, then the ledger, then the books."""
        try:
            self._write_letters(batch, ack.dead)
            self._spool.settle(batch)
        except OSError as error:
            self._fail(f"the end of batch {batch.id} cannot be written down ({error})")
            return
        self._count("batches/written", 1)
        self._count("batches/stored", ack.stored)
        if ack.dead:
            self._count("batches/dead_letter", len(ack.dead))
        for reason, n in ack.dropped.items():
            self._count("batches/duplicate" if reason == steps.DUPLICATE else "batches/dropped", n)
            self._count(f"batches/dropped/{reason}", n)
        for name, ns in ack.step_ns.items():
            self._count(f"batches/step_s/{name}", ns / 1e9)
        self.unfinished -= batch.n - len(batch.skip)
        self.backlog -= batch.size
        self._let_in()
        self._check_empty()

    def died(self, batch: Batch | None, index: int, why: str) -> None:
        """A worker died, over an item of ``batch`` if one is given. Twice over the same: quarantine."""
        self._count("batches/worker_deaths", 1)
        if batch is None:
            return
        try:
            deaths = self._spool.attempt(batch, index, why)
            if index == wire.COMMITTING and deaths >= MAX_COMMIT_DEATHS:
                self._fail(f"{deaths} workers died while the sink wrote batch {batch.id}: {why}")
            elif index != wire.COMMITTING and deaths >= MAX_DEATHS:
                self._write_letters(
                    batch, [wire.Dead(index, "worker", f"{deaths} workers died over it: {why}")]
                )
                self._spool.quarantine(batch, index)
                self.unfinished -= 1
                self._count("batches/dead_letter", 1)
        except OSError as error:
            self._fail(f"a dead worker cannot be written down ({error})")
        if not self.failure:
            self._pool.submit(batch, first=True)

    def failed(self, why: str) -> None:
        """The store has given up."""
        self._fail(why)

    def rested(self) -> None:
        """A worker has nothing to do: if somebody is held back, it gets what there is."""
        self._cut_if_due()

    # --- inside --------------------------------------------------------------------------------------------

    async def _room(self) -> None:
        if self.failure:
            return
        began_s = self._loop.time()
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        self._cut_if_due()
        await waiter
        self._count("batches/held_back_s", self._loop.time() - began_s)

    def _let_in(self) -> None:
        """Wake the first that waits, if there is room; it wakes the next when its item is in."""
        while self._waiters and (self.failure or self.backlog <= self._options.backlog_bytes):
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                if not self.failure:
                    return

    def _cut_if_due(self) -> None:
        if self._batcher.due(self._loop.time(), idle=self._pool.idle, held_back=bool(self._waiters)):
            self._cut()

    def _cut(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._batcher.close()
        try:
            batch = self._spool.cut()
        except OSError as error:
            self._fail(f"the ledger cannot be written ({error})")
            return
        if batch and not self.failure:
            self._pool.submit(batch)

    def _write_letters(self, batch: Batch, dead: list[wire.Dead]) -> None:
        if dead:
            payloads = read_batch(batch.path, batch.start, batch.end, batch.n)
            for letter in dead:
                payload = payloads[letter.index]
                item = wire.decode_row(payload) if payload is not None else None
                self._dead_letters.add(
                    f"{batch.id}-{letter.index}", letter.step, letter.reason, item, letter.traceback
                )

    def _check_empty(self) -> None:
        if self._empty and not self._empty.done() and (self.failure or not self.unfinished):
            self._empty.set_result(None)

    def _fail(self, why: str) -> None:
        if not self.failure:
            self.failure = (
                f"{why}; {self.unfinished} items wait in {self._options.run_dir / 'spool'}: put it right, then "
                f"python -m scraper.batches.drain {self._options.run_dir}"
            )
            self._let_in()
            self._check_empty()
            self._on_failure(self.failure)
