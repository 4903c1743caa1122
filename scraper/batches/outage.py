"""RULE. A place that takes nothing for a while: when to try it again, and when to give up. Monotonic seconds are arguments.

One try at a time, later and later: a server that comes back must not meet a herd. How long the crawl lives on meanwhile
is bounded by the spool, which holds it back when it is full.
"""

from __future__ import annotations

import math

FIRST_DELAY_S = 1.0
MAX_DELAY_S = 30.0  # a place that is back is noticed within that


class Outage:
    """``patience_s``: seconds without one success after which it is over for good; ``max_delay_s`` between two tries."""

    def __init__(self, patience_s: float, max_delay_s: float = MAX_DELAY_S) -> None:
        self.patience_s, self.max_delay_s = patience_s, max_delay_s
        self.cause = ""
        self._began_s: float | None = None
        self._next_s = -math.inf
        self._refusals = 0

    def __bool__(self) -> bool:
        """Whether one is going on."""
        return self._began_s is not None

    def refused(self, now_s: float, cause: str, stop_by_s: float = math.inf) -> float | None:
        """Note it; return the seconds until the next try, or None if there is none any more; none after ``stop_by_s``."""
        if self._began_s is None:
            self._began_s = now_s
        self.cause = cause
        left_s = min(self._began_s + self.patience_s, stop_by_s) - now_s
        if left_s <= 0:
            return None
        if now_s >= self._next_s:  # else several are at it, who wait for the same try
            self._next_s = now_s + min(FIRST_DELAY_S * 2.0 ** min(self._refusals, 10), self.max_delay_s)
            self._refusals += 1
        return min(self._next_s - now_s, max(left_s, 0.1))

    def lasted_s(self, now_s: float) -> float:
        """Seconds since it began; 0 while there is none."""
        return 0.0 if self._began_s is None else now_s - self._began_s

    def end(self, now_s: float) -> float:
        """The place takes things again; return how long it did not."""
        lasted_s = self.lasted_s(now_s)
        self._began_s, self._next_s, self._refusals, self.cause = None, -math.inf, 0, ""
        return lasted_s
