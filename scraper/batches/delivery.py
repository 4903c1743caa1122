"""I/O. From bytes to the store: spool, batcher and workers together. The pipeline and the commands use it.

Books: what was put in = stored + dropped + duplicate + dead letters + what is still in the spool. The last
is 0 unless `failure` says why it is not and what to do next. Counts go to ``count(name, by)`` with the
names of docs/stats.md.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scraper.batches import assembly, steps, wire
from scraper.batches.assembly import Options
from scraper.batches.batcher import Batcher
from scraper.batches.dead_letters import DeadLetters
from scraper.batches.gate import Gate
from scraper.batches.log import Batch, Log
from scraper.batches.refusals import Disk, Patience, Store, Told
from scraper.batches.segments import read_batch
from scraper.batches.syncer import Syncer
from scraper.errors import SinkError

MAX_DEATHS = (
    2  # of workers over one item, before it goes to quarantine: the second shows that it was not bad luck
)
MAX_COMMIT_DEATHS = 3  # of workers while the sink wrote one batch, before the run gives up
_TICK_S = 0.001  # a timer may fire a clock tick early, and then the batch would not be old enough


@dataclass(frozen=True, slots=True)
class Standing:
    """What waits: items and bytes in the spool, most bytes so far, seconds that the oldest item has waited, and that the
    longest waiting one of those stored had. ``trouble``: "store" or "disk" where one takes nothing now.
    """

    items: int
    size: int
    size_max: int
    oldest_s: float
    wait_max_s: float
    trouble: str


class Delivery:
    """``on_failure(text)`` is called once, when the store or the spool has given up; ``notice(text)`` when one of them refuses
    or is well again. ``log``: another one than a spool in the run's folder.
    """

    def __init__(
        self,
        options: Options,
        count: Callable[[str, float], None],
        on_failure: Callable[[str], None],
        *,
        notice: Callable[[str], None] = lambda text: None,
        stopping: Callable[[], bool] = lambda: False,
        log: Log | None = None,
    ) -> None:
        self._options = options
        self._count = count
        self._on_failure = on_failure
        self._notice = notice
        self._patience = Patience(options.outage_s, options.drain_timeout_s, stopping)
        self._given_log = log
        self.failure = ""
        self.finish_failure = ""  # why the sink could not merge: all records are stored, but in many files
        self._opened = False
        self.unfinished = 0  # items in the spool that are not settled
        self.backlog = 0  # bytes of them
        self._backlog_max = 0
        self._wait_max_s = 0.0
        self._batcher = Batcher(options.limits)
        self._timer: asyncio.TimerHandle | None = None
        self._gate = Gate(functools.partial(count, "batches/held_back_s"))
        self._cutting_later = False  # the disk was full, it is tried again
        self._empty: asyncio.Future[None] | None = None
        self._born_s: dict[str, float] = {}  # batch -> when its first item came; in that order
        self._first_s = 0.0  # the same of the open batch
        # Batch, "" the open one -> who waits for it.
        self._acks: dict[str, list[asyncio.Future[None]]] = {"": []}
        self._syncer: Syncer | None = None

    async def open(self) -> None:
        """Make the store ready, take over what an earlier start left, start the workers.

        ConfigError if a step or the sink is unknown or the spool is in use; SinkError if the store is not ready.
        """
        options = self._options
        self._loop = asyncio.get_running_loop()
        log, pool = self._given_log, None
        try:
            job, preload = assembly.prepared(options)
            log = self._log = log or assembly.spool_of(options)
            self._dead_letters = DeadLetters(options.run_dir)
            pool = self._pool = assembly.pool_of(self._loop, job, options, self._log.folder, self, preload)
            told = Told(self._count, self._notice, self._fail)
            self._store, self._disk = Store(self._patience, self._pool, told), Disk(self._patience, told)
            await pool.start()
            self._take_over()
        except BaseException:
            if pool is not None:
                await pool.stop()
            if log is not None:
                log.close()
            raise
        if options.sync_every_s is not None:
            self._syncer = Syncer(
                self._log,
                options.sync_every_s,
                lambda error: self._fail(f"the spool cannot be synced ({error})"),
            )
        self._opened = True

    def _take_over(self) -> None:
        """What an earlier start left."""
        if self._log.torn_bytes:
            self._count("batches/torn_bytes", self._log.torn_bytes)
        for batch in self._log.recovered:
            self._count("batches/recovered", batch.n)
            self.unfinished += batch.n - len(batch.skip)
            self._count("batches/dead_letter", len(batch.skip))
            self._born_s[batch.id] = self._loop.time()
            self._grow(batch.size)
            for index, deaths in batch.attempts.items():  # it was killed before it could act on the last
                if index != wire.COMMITTING and deaths >= MAX_DEATHS and index not in batch.skip:
                    self._quarantine(batch, index, "in an earlier start")
            self._pool.submit(batch)

    @property
    def standing(self) -> Standing:
        born_s = next(iter(self._born_s.values()), self._first_s if self._batcher.items else 0.0)
        oldest_s = self._loop.time() - born_s if born_s else 0.0
        trouble = "store" if self._store.cause else "disk" if self._disk.cause else ""
        return Standing(self.unfinished, self.backlog, self._backlog_max, oldest_s, self._wait_max_s, trouble)

    async def put(self, payload: bytes) -> None:
        """Add an item; returns when it is as safe as ``ack`` asks for. Waits while the backlog is too big or the disk is full.

        SinkError if that does not come to be. If the spool could not take it, the item is nowhere.
        """
        if self.backlog > self._options.backlog_bytes or self._gate or self._disk.cause:
            await self._room()
        try:
            size = self._log.append(payload)
        except OSError as error:
            size = await self._append_later(payload, error)
        self.unfinished += 1
        self._grow(size)
        now_s = self._loop.time()
        if not self._batcher.items:
            self._first_s = now_s
        is_full = self._batcher.add(size, now_s)
        safe = self._promise()
        if self._timer is None:
            self._timer = self._loop.call_later(self._options.limits.age_s + _TICK_S, self._cut_if_due)
        if is_full or safe is not None or self._gate:  # its age is the timer's business
            self._cut_if_due()
            self._let_in()
        if safe is not None:
            await safe

    def dead_letter(self, id: str, step: str, reason: str, item: Any) -> None:
        """An item that never became bytes. OSError makes the run fail: the letter is the only trace of the
        item.
        """
        try:
            self._dead_letters.add(self._dead_letters.free(id), step, reason, item)
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
                why = self._store.cause or self._disk.cause or self._pool.trouble
                told = f": {why}" if why else ""
                self._fail(f"workers did not deliver everything within {timeout_s:g} s of the end{told}")
            if not self.failure:
                self.finish_failure = await self._pool.finish() or ""
        finally:
            if self._timer:
                self._timer.cancel()
            self._store.stop()
            if self._syncer:
                await self._syncer.stop()
            await self._pool.stop()
            try:
                await self._loop.run_in_executor(None, self._log.close)
            except OSError as error:
                self._fail(f"the spool cannot be closed ({error})")

    # --- events of the pool --------------------------------------------------------------------------------

    def acked(self, batch: Batch, ack: wire.Ack) -> None:
        """The batch is stored: dead letters to their file, then the ledger, then the books."""
        if ack.stored:  # else the sink was not asked
            self._store.took()
        try:
            self._write_letters(batch, ack.dead)
            self._log.settle(batch)
        except OSError as error:
            self._disk.again(
                error, f"the end of batch {batch.id} cannot be written down", self.acked, batch, ack
            )
            return
        self._disk.took()
        if self._syncer:
            self._syncer.written()  # segments that nobody needs go with a sync
        self._count("batches/written", 1)
        self._count("batches/stored", ack.stored)
        if ack.dead:
            self._count("batches/dead_letter", len(ack.dead))
        for reason, n in ack.dropped.items():
            self._count("batches/duplicate" if reason == steps.DUPLICATE else "batches/dropped", n)
            self._count(f"batches/dropped/{reason}", n)
        for name, ns in ack.step_ns.items():
            self._count(f"batches/step_s/{name}", ns / 1e9)
        self._count(f"batches/worker_busy_s/{ack.worker}", ack.ns / 1e9)
        waited_s = self._loop.time() - self._born_s.pop(batch.id)
        self._wait_max_s = max(self._wait_max_s, waited_s)
        self._count("batches/wait_s", waited_s * batch.n)
        self.unfinished -= batch.n - len(batch.skip)
        self.backlog -= batch.size
        for safe in self._acks.pop(batch.id, ()):
            self._keep(safe)
        self._let_in()
        self._check_empty()

    def died(self, batch: Batch | None, index: int, why: str) -> None:
        """A worker died, over an item of ``batch`` if one is given. Twice over the same: quarantine."""
        self._count("batches/worker_deaths", 1)
        if batch is not None:
            self._died_over(batch, index, why)

    def refused(self, batch: Batch, why: str) -> None:
        """The store is down or full: the batch, and all others, wait for it."""
        self._store.refused(batch, why)

    def failed(self, why: str) -> None:
        """The store has given up."""
        self._fail(why)

    def recycled(self) -> None:
        self._count("batches/worker_recycled", 1)

    def rested(self) -> None:
        """A worker has nothing to do: if somebody is held back, it gets what there is."""
        self._cut_if_due()

    # --- inside --------------------------------------------------------------------------------------------

    async def _append_later(self, payload: bytes, error: OSError) -> int:
        """Add the item when the disk has room again."""
        while True:
            delay_s = self._disk.refused(error, "the spool cannot be written")
            if delay_s is None:
                raise SinkError("spool", "(open)", str(error)) from error
            self._loop.call_later(delay_s, self._gate.open_once)
            await self._room(first=True)
            try:
                size = self._log.append(payload)
            except OSError as again:
                error = again
            else:
                self._disk.took()
                return size

    def _promise(self) -> asyncio.Future[None] | None:
        """What the item that was just appended has to wait for. SinkError if that will not come."""
        ack = self._options.ack
        if self._syncer and ack != "fsync":
            self._syncer.written()
        if ack == "spool":
            return None
        if self.failure:
            raise SinkError("spool", "(open)", self.failure)
        safe: asyncio.Future[None] = self._loop.create_future()
        self._acks[""].append(safe)
        if ack == "fsync" and self._syncer:
            self._syncer.written(functools.partial(self._keep, safe))
        return safe

    def _keep(self, safe: asyncio.Future[None]) -> None:
        if not safe.done():  # whoever waited may have been cancelled
            safe.set_result(None)

    def _grow(self, size: int) -> None:
        self.backlog += size
        self._backlog_max = max(self._backlog_max, self.backlog)

    async def _room(self, *, first: bool = False) -> None:
        if not self.failure:
            self._loop.call_soon(self._cut_if_due)  # once it waits: an idle worker gets what there is
            await self._gate.wait(first=first)

    def _let_in(self) -> None:
        """The first that waits, if there is room; it lets in the next when its item is in. Everybody, when the run has failed."""
        if self.failure:
            self._gate.open()
        elif not self._disk.cause and self.backlog <= self._options.backlog_bytes:
            self._gate.open_once()

    def _cut_if_due(self) -> None:
        wanted = bool(self._gate) or self._options.ack == "commit"
        idle = wanted and self._pool.idle  # which looks at every worker
        if not self._cutting_later and self._batcher.due(self._loop.time(), idle=idle, wanted=wanted):
            self._cut()

    def _cut(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        try:
            batch = self._log.cut()
        except OSError as error:
            self._cutting_later = True
            self._disk.again(error, "the ledger cannot be written", self._cut)
            return
        self._cutting_later = False
        was_full = bool(self._disk.cause)
        self._disk.took()
        self._batcher.close()
        if batch:
            self._count("batches/bytes", batch.size)
            self._born_s[batch.id] = self._first_s
            if self._acks[""]:
                self._acks[batch.id] = self._acks[""]
                self._acks[""] = []
            if self._options.ack == "fsync" and self._syncer:
                # A power cut must not change what is in a batch.
                self._syncer.written(functools.partial(self._submit, batch))
            else:
                self._submit(batch)
        if was_full:
            self._let_in()

    def _submit(self, batch: Batch) -> None:
        if not self.failure:
            self._pool.submit(batch)

    def _died_over(self, batch: Batch, index: int, why: str) -> None:
        try:
            deaths = self._log.attempt(batch, index, why)
            if index == wire.COMMITTING and deaths >= MAX_COMMIT_DEATHS:
                self._fail(f"{deaths} workers died while the sink wrote batch {batch.id}: {why}")
            elif index != wire.COMMITTING and deaths >= MAX_DEATHS:
                self._quarantine(batch, index, why)
        except OSError as error:
            self._disk.again(
                error, "a dead worker cannot be written down", self._died_over, batch, index, why
            )
            return
        if not self.failure:
            self._store.send(batch)

    def _quarantine(self, batch: Batch, index: int, why: str) -> None:
        reason = f"{batch.attempts[index]} workers died over it: {why}"
        self._write_letters(batch, [wire.Dead(index, "worker", reason)])
        self._log.quarantine(batch, index)
        self.unfinished -= 1
        self._count("batches/quarantined", 1)
        self._count("batches/dead_letter", 1)

    def _write_letters(self, batch: Batch, dead: list[wire.Dead]) -> None:
        if not dead:
            return
        payloads = read_batch(batch.path, batch.start, batch.end, batch.n)
        for letter in dead:
            id = f"{batch.id}-{letter.index}"
            payload = payloads[letter.index]
            self._dead_letters.add(id, letter.step, letter.reason, None, letter.traceback, payload)
        if self._options.ack != "spool":
            self._dead_letters.sync()

    def _check_empty(self) -> None:
        if self._empty and not self._empty.done() and (self.failure or not self.unfinished):
            self._empty.set_result(None)

    def _fail(self, why: str) -> None:
        if not self.failure:
            self.failure = (
                f"{why}; {self.unfinished} items wait in {self._log.folder}: put it right, then "
                f"scrapy batches drain {self._options.run_dir}"
            )
            self._let_in()
            self._check_empty()
            for safe in (safe for some in self._acks.values() for safe in some):
                if not safe.done():
                    safe.set_exception(SinkError("spool", "(waiting)", why))
            self._on_failure(self.failure)
