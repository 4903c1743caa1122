"""I/O. One way to a server that may go away: says so once, says once that it is back, and how long to wait until the next try."""

from __future__ import annotations

import asyncio
import logging

FIRST_S = 0.1  # before the second try, twice as long before each next
MAX_S = 2.0

logger = logging.getLogger(__name__)


class Line:
    """``what`` is the server's name for people, without secrets; ``meanwhile``: what that means for them."""

    def __init__(self, what: str, meanwhile: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._what, self._meanwhile = what, meanwhile
        self._failures = 0
        self._since_s = 0.0

    @property
    def is_broken(self) -> bool:
        return self._failures > 0

    @property
    def broken_s(self) -> float:
        """Seconds since the first of the failures in a row."""
        return self._loop.time() - self._since_s if self._failures else 0.0

    async def broken(self, error: BaseException) -> None:
        """It failed; returns when it may be tried again."""
        if not self._failures:
            self._since_s = self._loop.time()
            logger.warning("%s cannot be used, %s (%s)", self._what, self._meanwhile, error)
        self._failures += 1
        await asyncio.sleep(min(MAX_S, FIRST_S * 2.0 ** min(self._failures - 1, 10)))

    def works(self) -> None:
        if self._failures:
            logger.info("%s can be used again, after %.0f s", self._what, self.broken_s)
            self._failures = 0
