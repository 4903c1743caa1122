"""I/O. Has a log synced to the disk, in a thread, one sync after the other: all that is written during one goes with the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from scraper.batches.log import Log


class Syncer:
    """Syncs after something was `written`, ``every_s`` seconds later (0: at once). ``on_failure(error)``: the disk did not; then
    nothing is synced any more.
    """

    def __init__(self, log: Log, every_s: float, on_failure: Callable[[OSError], None]) -> None:
        self._log, self._every_s, self._on_failure = log, every_s, on_failure
        self._loop = asyncio.get_running_loop()
        self._wanted = asyncio.Event()
        self._after: list[Callable[[], None]] = []
        self._running: asyncio.Future[None] | None = None
        self._task = self._loop.create_task(self._go())

    def written(self, then: Callable[[], None] | None = None) -> None:
        """Something was written; call ``then`` when it is safe from a power cut."""
        if then:
            self._after.append(then)
        self._wanted.set()

    async def stop(self) -> None:
        """End the sync that is going on, start none any more."""
        self._task.cancel()
        if self._running:
            await asyncio.wait([self._running])

    async def _go(self) -> None:
        while True:
            await self._wanted.wait()
            await asyncio.sleep(self._every_s)
            self._wanted.clear()
            after, self._after = self._after, []
            try:
                self._running = self._loop.run_in_executor(None, self._log.synced())
                await self._running
            except OSError as error:
                self._on_failure(error)
                return
            for call in after:
                call()
