"""I/O. What is done while the store or the disk takes nothing: wait, try again, say so once, and give up in the end.

Nothing is dropped meanwhile: batches stay in the spool, and when that is full the crawl waits.
"""

from __future__ import annotations

import asyncio
import errno
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from scraper.batches.log import Batch
from scraper.batches.outage import Outage

_FULL = (errno.ENOSPC, errno.EDQUOT)  # somebody, or the batches that go, may make room


class Sender(Protocol):
    """What of a pool is needed here."""

    def submit(self, batch: Batch, *, first: bool = False) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def probe(self, batch: Batch | None) -> None: ...


@dataclass(slots=True)
class Patience:
    """How long there is a next try: ``outage_s``; once the crawl is ``stopping`` only ``drain_timeout_s`` more."""

    outage_s: float
    drain_timeout_s: float
    stopping: Callable[[], bool]
    _stopping_since_s: float = math.inf

    def stop_by_s(self, now_s: float) -> float:
        if self.stopping():
            self._stopping_since_s = min(self._stopping_since_s, now_s)
        return self._stopping_since_s + self.drain_timeout_s


@dataclass(frozen=True, slots=True)
class Told:
    """Whom to tell: the books, the log, and who ends the run."""

    count: Callable[[str, float], None]
    notice: Callable[[str], None]
    fail: Callable[[str], None]


class Store:
    """A sink that is down or full: batches are held, and one is tried from time to time."""

    def __init__(self, patience: Patience, pool: Sender, told: Told) -> None:
        self._loop = asyncio.get_running_loop()
        self._patience, self._pool, self._told = patience, pool, told
        self._outage = Outage(patience.outage_s)
        self._held: deque[Batch] = deque()
        self._retry: asyncio.TimerHandle | None = None

    @property
    def cause(self) -> str:
        """Why it takes nothing; "" if it does."""
        return self._outage.cause

    def refused(self, batch: Batch, why: str) -> None:
        self._held.append(batch)
        self._pool.pause()
        if not self._outage:
            self._told.count("batches/outages", 1)
            self._told.notice(f"the store takes nothing, what is scraped waits in the spool ({why})")
        if self._retry is None:
            self._try_later(why)

    def send(self, batch: Batch) -> None:
        """Have it delivered next, or when the store is back."""
        if self._outage:
            self._held.append(batch)
        else:
            self._pool.submit(batch, first=True)

    def took(self) -> None:
        """It has stored a batch."""
        if not self._outage:
            return
        self.stop()
        lasted_s = self._outage.end(self._loop.time())
        self._told.count("batches/outage_s", lasted_s)
        self._told.notice(f"the store takes batches again, after {lasted_s:.0f} s")
        while self._held:
            self._pool.submit(self._held.pop(), first=True)
        self._pool.resume()

    def stop(self) -> None:
        if self._retry:
            self._retry.cancel()
            self._retry = None

    def _try_later(self, why: str) -> None:
        now_s = self._loop.time()
        delay_s = self._outage.refused(now_s, why, self._patience.stop_by_s(now_s))
        if delay_s is None:
            self._told.count("batches/outage_s", self._outage.end(now_s))
            self._told.fail(why)
        else:
            self._retry = self._loop.call_later(delay_s, self._try)

    def _try(self) -> None:
        """Have one batch tried, and look again: the worker that tries it may die."""
        self._retry = None
        self._pool.probe(self._held.popleft() if self._held else None)
        self._try_later(self._outage.cause)


# Seconds between two looks whether a disk has room: a local write, no herd to fear, and the whole crawl stands still meanwhile.
_DISK_DELAY_S = 2.0


class Disk:
    """The disk of the spool, when it is full."""

    def __init__(self, patience: Patience, told: Told) -> None:
        self._loop = asyncio.get_running_loop()
        self._patience, self._told = patience, told
        self._outage = Outage(patience.outage_s, _DISK_DELAY_S)

    @property
    def cause(self) -> str:
        return self._outage.cause

    def refused(self, error: OSError, what: str) -> float | None:
        """Seconds until the next try; None: there is none, the run has failed."""
        why, now_s, delay_s = f"{what} ({error})", self._loop.time(), None
        if error.errno in _FULL:
            if not self._outage:
                self._told.count("batches/outages", 1)
                self._told.notice(f"the disk is full, the crawl waits for room: {why}")
            delay_s = self._outage.refused(now_s, why, self._patience.stop_by_s(now_s))
        if delay_s is None:
            self._told.count("batches/outage_s", self._outage.end(now_s))
            self._told.fail(why)
        return delay_s

    def again(self, error: OSError, what: str, call: Callable[..., None], *arguments: Any) -> None:
        """Call it again later, if there is a later."""
        delay_s = self.refused(error, what)
        if delay_s is not None:
            self._loop.call_later(delay_s, call, *arguments)

    def took(self) -> None:
        """Something was written."""
        if self._outage:
            lasted_s = self._outage.end(self._loop.time())
            self._told.count("batches/outage_s", lasted_s)
            self._told.notice(f"the disk has room again, after {lasted_s:.0f} s")
