"""I/O. Workers = 0, for debugging: one thread of the crawler does what a worker process does.

A step that crashes or hangs takes the crawl with it, and the sink's libraries are imported here.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from scraper.batches import wire, worker
from scraper.batches.pool import Events
from scraper.batches.spool import Batch


class InlinePool:
    """What `Pool` does, without processes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, job: worker.Job, events: Events) -> None:
        self._loop, self._events = loop, events
        self._runner = worker.Runner(job)
        self._thread = ThreadPoolExecutor(1, "batch-inline")
        self._undone = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        return not self._undone

    async def start(self) -> None:
        """Nothing to start."""

    def submit(self, batch: Batch, *, first: bool = False) -> None:
        self._undone += 1
        task = self._loop.create_task(self._deliver(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> str | None:
        return await self._loop.run_in_executor(self._thread, self._runner.finish)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._runner.close()

    async def _deliver(self, batch: Batch) -> None:
        order = wire.Order(1, batch.id, batch.path, batch.start, batch.end, batch.n, batch.skip)
        answer = await self._loop.run_in_executor(self._thread, self._runner.deliver, order, _no_mark)
        self._undone -= 1
        if isinstance(answer, wire.Ack):
            self._events.acked(batch, answer)
        else:
            self._events.failed(answer.cause)
        if self.idle:
            self._events.rested()


def _no_mark(index: int) -> None:
    """There is nobody to read a progress cell."""
