"""I/O. Workers = 0, for debugging: one thread of the crawler does what a worker process does.

A step that crashes or hangs takes the crawl with it, and the sink's libraries are imported here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from scraper.batches import wire, worker
from scraper.batches.log import Batch
from scraper.batches.pool import Events


class InlinePool:
    """What `Pool` does, without processes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, job: worker.Job, events: Events) -> None:
        self._loop, self._events = loop, events
        self._runner = worker.Runner(job)
        self._thread = ThreadPoolExecutor(1, "batch-inline")
        self._undone = 0
        self._paused = False
        self._waiting: deque[Batch] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    trouble = ""

    @property
    def idle(self) -> bool:
        return not self._undone and not self._waiting

    async def start(self) -> None:
        """Nothing to start."""

    def submit(self, batch: Batch, *, first: bool = False) -> None:
        (self._waiting.appendleft if first else self._waiting.append)(batch)
        self._pump()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._pump()

    def probe(self, batch: Batch | None) -> None:
        if batch or self._waiting:
            self._start(batch or self._waiting.popleft())

    async def finish(self) -> str | None:
        return await self._loop.run_in_executor(self._thread, self._runner.finish)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._runner.close()

    def _pump(self) -> None:
        while self._waiting and not self._paused:
            self._start(self._waiting.popleft())

    def _start(self, batch: Batch) -> None:
        self._undone += 1
        task = self._loop.create_task(self._deliver(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, batch: Batch) -> None:
        order = wire.Order(1, batch.id, batch.path, batch.start, batch.end, batch.n, batch.skip)
        try:
            answer = await self._loop.run_in_executor(self._thread, self._runner.deliver, order, _no_mark)
        except Exception as error:  # noqa: BLE001  # a step may raise what it likes; the run must hear of it
            self._events.failed(f"{type(error).__name__}: {error}")
            return
        self._undone -= 1
        if isinstance(answer, wire.Ack):
            self._events.acked(batch, answer)
        elif answer.passing:
            self._events.refused(batch, answer.cause)
        else:
            self._events.failed(answer.cause)
        if self.idle:
            self._events.rested()


def _no_mark(index: int) -> None:
    """There is nobody to read a progress cell."""
