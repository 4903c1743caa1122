"""I/O. The store of a run that is not resumed: everything in memory, every operation O(log n)."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from scraper.frontier.contract import Counts, Page


@dataclass(slots=True)
class _Host:
    ready: list[tuple[int, int, Page]] = field(default_factory=list)  # heap: -priority, order of arrival
    delayed: list[tuple[float, int, Page]] = field(default_factory=list)  # heap: not before
    least_s: float = 0.0  # between two leases, whatever chance says: what the site asked for
    pace_s: float = 0.0  # the same, while the site cannot bear more
    free_at_s: float = 0.0
    free_before: tuple[Page, float, float] | None = (
        None  # the last lease: its page, free_at_s before and after it
    )
    downloading: int = 0
    known: bool = False  # a page of it has been downloaded
    listed_at_s: float | None = None  # the time of its one valid entry in the agenda


class MemoryStore:
    """``delay_s`` between two leases of a host, varied by the share ``jitter``, but never below what the host itself asked
    for; ``host_limit`` pages in download."""

    def __init__(self, delay_s: float, jitter: float, host_limit: int, chance: random.Random) -> None:
        self._delay_s = delay_s
        self._jitter = jitter
        self._host_limit = host_limit
        self._chance = chance
        self._hosts: dict[str, _Host] = {}
        self._agenda: list[tuple[float, int, str]] = []  # heap: when a host may be asked next
        self._order = count()
        self._seen: set[bytes] = set()
        self._leased: dict[int, Page] = {}
        self._in_download: set[int] = set()
        self._pending = 0

    def put(self, page: Page, *, again: bool = False) -> bool:
        if not again and page.key in self._seen:
            return False
        self._seen.add(page.key)
        host = self._hosts.setdefault(page.host, _Host())
        if page.not_before_s:
            heapq.heappush(host.delayed, (page.not_before_s, next(self._order), page))
        else:
            heapq.heappush(host.ready, (-page.priority, next(self._order), page))
        self._pending += 1
        self._list(page.host, host)
        return True

    def lease(self, now_s: float) -> Page | None:
        while self._agenda and self._agenda[0][0] <= now_s:
            at_s, _, name = heapq.heappop(self._agenda)
            host = self._hosts[name]
            if host.listed_at_s != at_s:
                continue  # a later entry took its place
            host.listed_at_s = None
            while host.delayed and host.delayed[0][0] <= now_s:
                _, order, page = heapq.heappop(host.delayed)
                heapq.heappush(host.ready, (-page.priority, order, page))
            if not host.ready or host.free_at_s > now_s or self._is_full(host):
                self._list(name, host)
                continue
            _, _, page = heapq.heappop(host.ready)
            vary = 1 + self._jitter * (2 * self._chance.random() - 1)
            before_s = host.free_at_s
            host.free_at_s = now_s + max(self._delay_s * vary, host.least_s, host.pace_s * vary)
            host.free_before = (page, before_s, host.free_at_s)
            host.downloading += 1
            self._pending -= 1
            self._leased[id(page)] = page
            self._in_download.add(id(page))
            self._list(name, host)
            return page
        return None

    def next_at_s(self) -> float | None:
        return self._agenda[0][0] if self._agenda else None

    def downloaded(self, page: Page, now_s: float) -> None:
        if id(page) in self._in_download:
            self._in_download.remove(id(page))
            host = self._hosts[page.host]
            host.downloading -= 1
            host.known = True
            self._list(page.host, host)

    def not_sent(self, page: Page) -> None:
        host = self._hosts[page.host]
        if (
            host.free_before is not None
            and host.free_before[0] is page
            and host.free_before[2] == host.free_at_s
        ):
            host.free_at_s = host.free_before[1]
            self._list(page.host, host)

    def ack(self, page: Page, now_s: float) -> None:
        self.downloaded(page, now_s)
        self._leased.pop(id(page), None)

    def block_host(self, host: str, until_s: float) -> None:
        entry = self._hosts.setdefault(host, _Host())
        entry.free_at_s = max(entry.free_at_s, until_s)
        self._list(host, entry)

    def set_delay(self, host: str, delay_s: float, now_s: float) -> None:
        entry = self._hosts.setdefault(host, _Host())
        entry.least_s = max(entry.least_s, delay_s)
        entry.free_at_s = max(entry.free_at_s, now_s + delay_s)
        self._list(host, entry)

    def set_pace(self, host: str, delay_s: float) -> None:
        self._hosts.setdefault(host, _Host()).pace_s = delay_s

    def pending(self) -> Iterator[Page]:
        for host in self._hosts.values():
            for heap in (host.ready, host.delayed):
                yield from (page for _, _, page in heap)

    def counts(self) -> Counts:
        return Counts(self._pending, len(self._leased))

    def _list(self, name: str, host: _Host) -> None:
        """Put the host on the agenda for when it can next give a page; not at all while only an event can help."""
        if self._is_full(host):
            return
        if host.ready:
            at_s = host.free_at_s
        elif host.delayed:
            at_s = max(host.free_at_s, host.delayed[0][0])
        else:
            return
        if host.listed_at_s != at_s:
            host.listed_at_s = at_s
            heapq.heappush(self._agenda, (at_s, next(self._order), name))

    def _is_full(self, host: _Host) -> bool:
        return host.downloading >= (self._host_limit if host.known else 1)
