"""RULE. What every frontier store promises.

A page is PENDING, then LEASED, then DONE. It is leased only when its host may be asked: the host's delay has passed,
nobody told us to wait, and fewer than ``host_limit`` of its pages are in download; the first page of a host goes alone,
since its robots.txt is not known before. Times are seconds of one monotonic
clock, always given by the caller. Not thread-safe.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(slots=True)
class Page:
    """One page to fetch. ``request`` is what the scheduler gave; ``key`` its fingerprint; higher priority goes first."""

    key: bytes
    host: str
    priority: int
    request: Any
    not_before_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Counts:
    """How many pages are in each state now."""

    pending: int
    leased: int


class Store(Protocol):
    """Keeps pages and the gate of every host."""

    def put(self, page: Page, *, again: bool = False) -> bool:
        """Add a page. False, and nothing happens, when its key was put before, unless ``again``."""

    def lease(self, now_s: float) -> Page | None:
        """Hand out the next page that may be asked for now, highest priority first within a host."""

    def next_at_s(self) -> float | None:
        """The earliest time at which ``lease`` may find something; None when only an event can bring it."""

    def downloaded(self, page: Page, now_s: float) -> None:
        """The page is no longer in download; its lease goes on."""

    def not_sent(self, page: Page) -> None:
        """The leased page was not asked for: its host need not rest for it."""

    def ack(self, page: Page, now_s: float) -> None:
        """The page's callback has ended and its items are accepted: its lease ends."""

    def block_host(self, host: str, until_s: float) -> None:
        """Lease no page of this host before ``until_s``."""

    def set_pace(self, host: str, delay_s: float) -> None:
        """Leave at least ``delay_s`` between two leases of this host until the next call; 0: as usual."""

    def set_delay(self, host: str, delay_s: float, now_s: float) -> None:
        """From now on leave at least ``delay_s`` between two leases of this host (robots.txt's Crawl-delay)."""

    def pending(self) -> Iterator[Page]:
        """The pages that were not leased, in no order."""

    def counts(self) -> Counts:
        """How many pages are pending and leased."""
