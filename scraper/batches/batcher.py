"""RULE. When is a batch full enough to go? Counts, bytes and seconds in, the name of the reason out.

100 items or 1 MiB, whichever first: below that each batch costs the crawler 2-10 times more per item, above
it nothing is gained and encoding and decoding come in bursts of tens of milliseconds. Age bounds how long
an item waits.

A batch must never need more responses than Scrapy lets in at once (SCRAPER_SLOT_MAX_ACTIVE_SIZE), or a
crawl that waits for its items waits for ever. Items do not wait for their batch here, age closes every
batch, and while anybody is held back an idle worker gets whatever there is. An idle worker alone is no
reason: the items are safe in the spool already, and a file in the store for every few items costs more than
half a second is worth.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch closes: ``items`` >= 1, ``size`` in bytes, ``age_s`` in seconds since its first item."""

    items: int
    size: int
    age_s: float


class Batcher:
    """The open batch as numbers. Monotonic seconds are arguments."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.items = 0
        self.size = 0
        self._opened_s = 0.0

    def add(self, size: int, now_s: float) -> bool:
        """One item of ``size`` bytes joined the open batch; whether that is full now."""
        if not self.items:
            self._opened_s = now_s
        self.items += 1
        self.size += size
        return self.items >= self.limits.items or self.size >= self.limits.size

    def due(self, now_s: float, *, idle: bool = False, wanted: bool = False) -> str | None:
        """Why the batch must go now: "items", "bytes", "age", "idle"; None if it may wait or is empty.

        ``idle``: a worker has nothing to do; ``wanted``: somebody waits for room in the spool, or for the store.
        """
        if not self.items:
            return None
        if self.items >= self.limits.items:
            return "items"
        if self.size >= self.limits.size:
            return "bytes"
        if now_s - self._opened_s >= self.limits.age_s:
            return "age"
        return "idle" if idle and wanted else None

    def close(self) -> None:
        """The batch has gone; the next item opens a new one."""
        self.items = self.size = 0
