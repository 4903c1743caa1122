"""I/O. Where puts wait for room in the spool: the first come first, and one at a time, who lets in the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Gate:
    """``count(seconds)``: how long anybody waited, told when nobody does any more. Its truth: somebody stands before it."""

    def __init__(self, count: Callable[[float], None]) -> None:
        self._count = count
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._inside = 0  # calls of `wait` that have not returned
        self._since_s = 0.0

    def __bool__(self) -> bool:
        return bool(self._waiters)

    async def wait(self, *, first: bool = False) -> None:
        """Until `open_once` gets to it; ``first`` stands before those that wait already."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        (self._waiters.appendleft if first else self._waiters.append)(waiter)
        if not self._inside:
            self._since_s = loop.time()
        self._inside += 1
        try:
            await waiter
        finally:
            self._inside -= 1
            if not self._inside:
                self._count(loop.time() - self._since_s)

    def open_once(self) -> None:
        """Let in the first: a thousand at once would hold the loop, and only one of them finds room."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():  # else it was cancelled
                waiter.set_result(None)
                return

    def open(self) -> None:
        """Let in everybody."""
        while self._waiters:
            self.open_once()
