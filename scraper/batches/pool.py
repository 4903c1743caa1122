"""I/O. Starts, watches and restarts the worker processes, on an asyncio loop, with no shared queues.

Each worker has one private socket: a worker that is killed at any instruction can spoil nothing but its
own. It gets at most PREFETCH batches; when its socket ends it is reaped, its batches go back to the front,
the progress cell tells which item it was at, and a new worker starts, later and later if they die without
delivering anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from pathlib import Path
from typing import Protocol

from scraper.batches import children, wire, worker
from scraper.batches.children import Child, Nursery
from scraper.batches.log import Batch

PREFETCH = (
    2  # batches per worker: the next one is there when the first is done; more would only wait elsewhere
)
COMMIT_DEADLINE_S = 120.0  # of a sink for one batch, with its retries; a merge has FINISH_DEADLINE_S
FINISH_DEADLINE_S = 600.0  # merging 10 GB at 20 MB/s
START_DEADLINE_S = 60.0  # to import the sink's libraries on a machine that swaps
MAX_START_DEATHS = (
    5  # workers in a row that died before their first word: something is wrong with all of them
)
MAX_RESTART_DELAY_S = 5.0
# Batches that a worker does at least before it is replaced for its size: steps that need more than the bound from the start
# must not cost a start for each batch.
MIN_BATCHES = 20


class Events(Protocol):
    """What the pool tells its owner; the owner submits a batch again after `died` if it should be tried
    again.
    """

    def acked(self, batch: Batch, ack: wire.Ack) -> None: ...
    def died(self, batch: Batch | None, index: int, why: str) -> None: ...
    def refused(self, batch: Batch, why: str) -> None: ...  # the sink is down or full
    def failed(self, why: str) -> None: ...  # for good
    def recycled(self) -> None: ...  # a worker that had grown too large was replaced
    def rested(self) -> None: ...  # a worker has nothing to do


class Pool:
    """``workers`` >= 1 processes doing ``job``; ``folder`` is for their progress cells and crash traces.

    A worker that holds more than ``max_bytes`` after a batch is replaced; one that holds twice as much in the middle of an
    item is killed, and the item is to blame.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, job: worker.Job, workers: int, folder: Path, events: Events,
        preload: tuple[str, ...] = (), item_deadline_s: float = 30.0, max_bytes: int = 1 << 30,
    ) -> None:  # fmt: skip
        self._loop, self._workers, self._events = loop, workers, events
        self._item_deadline_s, self._max_bytes = item_deadline_s, max_bytes
        self._allowed: int | None = None  # batches that may still be sent while the pool is paused
        self._nursery = Nursery(job, folder, preload)
        self._children: list[Child] = []
        self._waiting: deque[Batch] = deque()
        self._finished: asyncio.Future[str | None] | None = None
        self._start_deaths = 0  # in a row
        self._deaths = 0  # in a row, without a delivery between them
        self._closing = False
        self._unfit = False  # no worker can work: do not start any more
        self._timer: asyncio.TimerHandle | None = None

    trouble = ""  # why nobody works, where that is known

    @property
    def idle(self) -> bool:
        """A worker is ready and has nothing to do."""
        return not self._waiting and any(
            child.ready and not child.inflight and not child.retiring for child in self._children
        )

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that live."""
        return [child.process.pid for child in self._children]

    async def start(self) -> None:
        """Start the workers. In a thread, this once: the fork server imports the sink's libraries before it
        answers.
        """
        for number in range(self._workers):
            child = await self._loop.run_in_executor(None, self._nursery.launch, number, self._loop.time())
            self._watch(child)
        self._tick()

    def submit(self, batch: Batch, *, first: bool = False) -> None:
        """Have the batch delivered; ``first`` puts it before those that wait."""
        (self._waiting.appendleft if first else self._waiting.append)(batch)
        self._pump()

    def pause(self) -> None:
        """Send no batches but those of `probe`, until `resume`."""
        self._allowed = self._allowed or 0

    def resume(self) -> None:
        self._allowed = None
        self._pump()

    def probe(self, batch: Batch | None) -> None:
        """Have this one, or the first that waits, delivered though the pool is paused."""
        if self._allowed is not None:
            self._allowed += 1
        if batch:
            self._waiting.appendleft(batch)
        self._pump()

    async def finish(self) -> str | None:
        """Let the sink finish, in one worker, when all batches are delivered. Returns why it could not."""
        self._finished = self._loop.create_future()
        self._pump()
        try:
            return await asyncio.wait_for(self._finished, FINISH_DEADLINE_S)
        except TimeoutError:
            return f"the sink did not finish within {FINISH_DEADLINE_S:.0f} s"

    async def stop(self) -> None:
        """End the workers; one that does not leave within 2 s is killed. Undelivered batches are simply
        forgotten.
        """
        self._closing = True
        if self._timer:
            self._timer.cancel()
        for child in self._children:
            self._loop.remove_reader(child.process.sentinel)
            if child.sock.fileno() >= 0:
                self._loop.remove_reader(child.sock.fileno())
                child.sock.close()
            if child.inflight or not child.ready:
                child.process.kill()
        give_up = self._loop.time() + 2
        for child in self._children:
            while child.process.exitcode is None and self._loop.time() < give_up:
                await asyncio.sleep(0.005)
            child.process.kill()
            child.process.join()
            self._nursery.bury(child)
        self._children.clear()

    # --- from start to death -------------------------------------------------------------------------------

    def _watch(self, child: Child) -> None:
        self._children.append(child)
        self._loop.add_reader(child.sock.fileno(), self._readable, child)

    def _readable(self, child: Child) -> None:
        try:
            data = child.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        for body in child.frames.feed(data):
            try:
                message = wire.decode_from_worker(body)
            except ValueError as error:  # its memory is in ruins, by a library of a step
                child.why = f"said what nobody understands ({error})"
                child.process.kill()
                break
            self._heard(child, message)
        if not data and not self._closing:
            self._loop.remove_reader(child.sock.fileno())
            child.sock.close()
            child.process.kill()  # it may be on its way out, or in a state where only its socket is gone
            self._loop.add_reader(child.process.sentinel, self._reap, child)

    def _reap(self, child: Child) -> None:
        self._loop.remove_reader(child.process.sentinel)
        child.process.join()  # the sentinel says that it is over
        seq, index = wire.marked(child.cell)
        why, was_terminated = children.cause_of_death(child), children.was_terminated(child)
        self._children.remove(child)
        self._nursery.bury(child)
        if child.retiring and not child.inflight:
            self._events.recycled()
            self._restart(child.number)
            return
        self._deaths += 1
        self._start_deaths = 0 if child.ready else self._start_deaths + 1
        at = child.inflight.pop(seq, None)
        self._waiting.extendleft(reversed(child.inflight.values()))
        if at and was_terminated:
            self._waiting.appendleft(at)
            at = None
        self._events.died(at, index, why)
        if child.finishing and self._finished and not self._finished.done() and self._deaths > 2:
            self._finished.set_result(f"the worker that finished the sink died: {why}")
        if self._start_deaths >= MAX_START_DEATHS:
            self._unfit = True
            self._events.failed(f"{MAX_START_DEATHS} batch workers in a row died while starting: {why}")
        elif not self._closing and not self._unfit:
            delay_s = (
                min(MAX_RESTART_DELAY_S, 0.025 * 2 ** min(self._deaths, 10)) if self._deaths > 1 else 0.0
            )
            self._loop.call_later(delay_s, self._restart, child.number)

    def _restart(self, number: int) -> None:
        if self._closing or self._unfit:
            return
        try:
            self._watch(self._nursery.launch(number, self._loop.time()))
        except (
            OSError,
            EOFError,
        ) as error:  # the fork server may just have been killed: the next try starts another
            self._start_deaths += 1
            if self._start_deaths >= MAX_START_DEATHS:
                self._unfit = True
                self._events.failed(f"a batch worker cannot be started: {wire.cause_of(error)}")
            else:
                delay_s = min(MAX_RESTART_DELAY_S, 0.1 * 2**self._start_deaths)
                self._loop.call_later(delay_s, self._restart, number)

    # --- work ----------------------------------------------------------------------------------------------

    def _heard(self, child: Child, message: wire.FromWorker) -> None:
        if isinstance(message, wire.Hello):
            child.ready = True
            self._start_deaths = 0
        elif isinstance(message, wire.Unfit):
            self._unfit = True
            self._events.failed(f"batch workers cannot work: {message.cause}")
        elif isinstance(message, wire.Finished):
            child.finishing = False
            if self._finished and not self._finished.done():
                self._finished.set_result(message.cause)
        else:
            seq = next(seq for seq, batch in child.inflight.items() if batch.id == message.batch)
            batch = child.inflight.pop(seq)
            if isinstance(message, wire.Ack):
                self._deaths = 0
                child.done += 1
                child.retiring |= child.done >= MIN_BATCHES and message.rss > self._max_bytes
                self._events.acked(batch, message)
            elif message.passing:
                self._events.refused(batch, message.cause)
            else:
                self._events.failed(message.cause)
        if child.retiring and not child.inflight and not child.finishing:
            self._part(child)
        self._pump()

    def _part(self, child: Child) -> None:
        """Let it go: it reads the end of its socket, closes what it has open, and leaves."""
        self._loop.remove_reader(child.sock.fileno())
        child.sock.close()
        self._loop.add_reader(child.process.sentinel, self._reap, child)
        self._loop.call_later(5.0, children.kill, child.process)

    def _pump(self) -> None:
        """Give waiting batches to the workers that have the fewest."""
        while self._waiting and self._allowed != 0 and (child := self._freest()):
            batch = self._waiting.popleft()
            if self._allowed is not None:
                self._allowed -= 1
            child.orders += 1
            child.inflight[child.orders] = batch
            order = wire.Order(
                child.orders, batch.id, batch.path, batch.start, batch.end, batch.n, batch.skip
            )
            self._send(child, order)
        wanted = self._finished is not None and not self._finished.done()
        if wanted and not any(child.finishing for child in self._children) and (child := self._freest()):
            child.finishing = True
            self._send(child, wire.Finish())
        if self.idle:
            self._events.rested()

    def _freest(self) -> Child | None:
        ready = [
            child
            for child in self._children
            if child.ready and not child.retiring and len(child.inflight) < PREFETCH
        ]
        return min(ready, key=lambda child: len(child.inflight), default=None)

    def _send(self, child: Child, message: wire.ToWorker) -> None:
        with contextlib.suppress(OSError):  # it is dead or dying: its socket's end says so in a moment
            child.sock.sendall(wire.frame(message))

    def _tick(self) -> None:
        """Every second: end workers that are at one thing for longer than it may take, or with more than it may."""
        now_s = self._loop.time()
        for child in self._children:
            mark = wire.marked(child.cell)
            if mark != child.seen or (child.ready and not child.inflight and not child.finishing):
                child.seen, child.seen_s = mark, now_s
            deadline_s = self._item_deadline_s if mark[1] != wire.COMMITTING else COMMIT_DEADLINE_S
            deadline_s = deadline_s if child.ready else START_DEADLINE_S
            if child.finishing or child.why:
                continue
            if now_s - child.seen_s > deadline_s:
                child.why = f"hung for more than {deadline_s:g} s"
                with contextlib.suppress(ProcessLookupError):
                    os.kill(
                        child.process.pid, signal.SIGABRT
                    )  # faulthandler writes where it is, then it ends
                self._loop.call_later(1.0, children.kill, child.process)
            elif child.inflight and worker.rss(child.process.pid) > 2 * self._max_bytes:
                child.why = f"took more than {2 * self._max_bytes >> 20} MB of memory"
                child.process.kill()
        self._timer = self._loop.call_later(min(1.0, self._item_deadline_s / 4), self._tick)
