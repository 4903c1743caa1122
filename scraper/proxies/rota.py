"""RULE. In which order the proxies of a list pool are taken, and which of them rest: at one site, or everywhere.

A proxy is its index in the list, ``0 <= index < size``. What cannot be taken stands as bits in words of WORD proxies,
and only words that were touched exist: a site costs memory for what it refused, whatever the size of the list. A
word that is busy through and through is passed over, so nothing here walks the list. Cool-downs lie on a wheel.

======================= ==========================================================================================
take                    O(1) amortised: every word found busy is noted and not looked at until something in it ends
cool, cool_everywhere   O(1), and O(log of the ticks on the wheel) where a tick is new
soonest_s, soonest      O(1): at most LOOK entries of the wheel
======================= ==========================================================================================

``round_robin`` walks the list in its own order from a random start at each site. ``random`` is all but uniform while
at most half of the list rests; beyond that, uniform over the free ones of the word at, or next after, a random place.
``least_used`` takes two at random and of them the one used less, counted over all sites: the exact least would need an
order of its own at every site, and two choices already keep the most used within a few uses of the mean.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import ceil, floor

ORDERS = ("round_robin", "random", "least_used")
WORD = 1024  # proxies; a list of 1e6 is 977 words, so that one word and the set of all words cost the same
TICKS_A_SECOND = 8  # a power of two: rounding up is exact, a rest ends up to 0.125 s late and never early
RELEASED_AT_ONCE = 8  # rests ended in one take, about 4 us: a million that end together stall nothing
LOOK = 256  # entries of the wheel that soonest looks at, about 40 us
DRAWS = 4  # at random before the words are asked, while at most half of the list rests: 1 of 16 gets there

_WORD_BITS = WORD.bit_length() - 1
_ALL = (1 << WORD) - 1
_NEVER = 1 << 62
_HALVES = [(1 << n, (1 << (1 << n)) - 1) for n in reversed(range(_WORD_BITS))]  # widths of halves, and masks
_SHELF_BITS = 16  # 65,536 to a dict: to grow one of 1e6 stops everything for 28 ms, one of these for 1.5


@dataclass(slots=True)
class _Cooling:
    """What rests, and until which tick. An entry of the wheel whose tick is not that of the shelf was overtaken."""

    count: int = 0
    shelves: dict[int, dict[int, int]] = field(default_factory=dict)  # index >> _SHELF_BITS -> index -> tick
    wheel: dict[int, array[int]] = field(default_factory=dict)  # tick -> indices
    ticks: list[int] = field(default_factory=lambda: [_NEVER])  # heap of the wheel's, and one more
    busy: dict[int, int] = field(default_factory=dict)  # word -> its resting ones, as bits
    full: int = 0  # words of which all WORD rest, as bits

    def add(self, index: int, tick: int) -> None:
        """Let ``index`` rest until ``tick``, or as long as it does already if that is longer."""
        if (shelf := self.shelves.get(index >> _SHELF_BITS)) is None:
            shelf = self.shelves[index >> _SHELF_BITS] = {}
        before = shelf.get(index)
        if before is not None and before >= tick:
            return
        shelf[index] = tick
        if before is None:
            self.count += 1
            word = index >> _WORD_BITS
            self.busy[word] = bits = self.busy.get(word, 0) | 1 << (index & WORD - 1)
            if bits == _ALL:
                self.full |= 1 << word
        if (bucket := self.wheel.get(tick)) is None:
            self.wheel[tick] = bucket = array("I")
            heappush(self.ticks, tick)
        bucket.append(index)

    def until(self, index: int) -> int | None:
        shelf = self.shelves.get(index >> _SHELF_BITS)
        return shelf.get(index) if shelf else None

    def release(self, now: int) -> list[int]:
        """End what is due at tick ``now``, up to RELEASED_AT_ONCE; the words in which something ended."""
        words: list[int] = []
        left = RELEASED_AT_ONCE
        while left and self.ticks[0] <= now:
            tick = self.ticks[0]
            bucket = self.wheel[tick]
            while bucket and left:
                left -= 1
                index = bucket.pop()
                if self.until(index) == tick:
                    words.append(self._end(index))
            if not bucket:
                del self.wheel[heappop(self.ticks)]
        return words

    def first(self, other: _Cooling) -> tuple[int, int] | None:
        """(tick, index) of what ends first and does not rest longer in ``other``; None if nothing does.

        After LOOK entries that do, the one reached: nothing ends before that.
        """
        looked = 0
        for tick in _ascending(self.ticks):
            for index in self.wheel.get(tick, ()):
                looked += 1
                if looked == LOOK:
                    return tick, index
                if self.until(index) == tick and (other.until(index) or tick) <= tick:
                    return tick, index
        return None

    def _end(self, index: int) -> int:
        self.count -= 1
        del self.shelves[index >> _SHELF_BITS][index]
        word = index >> _WORD_BITS
        self.full &= ~(1 << word)
        if bits := self.busy[word] ^ 1 << (index & WORD - 1):
            self.busy[word] = bits
        else:
            del self.busy[word]
        return word


@dataclass(slots=True)
class _Site:
    cursor: int  # where round_robin goes on
    cooling: _Cooling = field(default_factory=_Cooling)
    mixed: int = 0  # words seen busy, part by this site's cool-downs and part by those everywhere, as bits


class Rota:
    """Which proxy of a list is taken next. ``now_s`` and ``until_s``: seconds of one clock that never goes back."""

    def __init__(self, size: int, chance: random.Random, order: str = "round_robin") -> None:
        if size < 1 or order not in ORDERS:
            raise ValueError(f"size {size} must be 1 or more and order {order!r} one of {', '.join(ORDERS)}")
        self._size = size
        self._chance = chance
        self._order = order
        self._last = (size - 1) >> _WORD_BITS  # the last word, and the bits that stand for proxies in it
        self._last_bits = (1 << (size - (self._last << _WORD_BITS))) - 1
        self._words = (1 << self._last + 1) - 1
        self._sites: dict[str, _Site] = {}
        self._everywhere = _Cooling()
        self._mixed_at: dict[int, set[str]] = {}  # word -> the sites that noted it as mixed
        self._uses = array("I", bytes(4 * size)) if order == "least_used" else array("I")

    def take(self, site: str, now_s: float) -> int | None:
        """The next that rests neither at ``site`` nor everywhere; None: all do."""
        place = self._place(site)
        here, everywhere = place.cooling.ticks, self._everywhere.ticks
        now = floor(now_s * TICKS_A_SECOND)
        while True:
            due = here[0] <= now or everywhere[0] <= now
            if due:
                self._release(place, now)
            index = self._choose(site, place)
            if index is not None or not due:
                return index

    def cool(self, site: str, index: int, until_s: float) -> None:
        """Let it rest at ``site`` until ``until_s`` (finite), or as it does already if that is longer."""
        self._check(index)
        self._place(site).cooling.add(index, ceil(until_s * TICKS_A_SECOND))

    def cool_everywhere(self, index: int, until_s: float) -> None:
        """Let it rest for all sites, also those not seen yet; as ``cool`` else."""
        self._check(index)
        self._everywhere.add(index, ceil(until_s * TICKS_A_SECOND))

    def soonest_s(self, site: str) -> float | None:
        """When the first is free again; None: one is free now.

        Too early, never too late, where LOOK or more end before it and rest longer in the other way.
        """
        place = self._place(site)
        if self._next(site, place, 0) is not None:
            return None
        return self._first(place)[0] / TICKS_A_SECOND

    def soonest(self, site: str) -> int:
        """The one that is free now, or else first."""
        place = self._place(site)
        free = self._next(site, place, place.cursor)
        return self._first(place)[1] if free is None else free

    def cooling(self, site: str) -> int:
        """How many rest at this very site, as of the last ``take`` there; those that rest everywhere do not count."""
        place = self._sites.get(site)
        return place.cooling.count if place else 0

    def forget(self, site: str) -> None:
        """Drop all that is known of ``site``."""
        self._sites.pop(site, None)

    def _place(self, site: str) -> _Site:
        place = self._sites.get(site)
        if place is None:
            place = self._sites[site] = _Site(self._chance.randrange(self._size))
        return place

    def _check(self, index: int) -> None:
        if not 0 <= index < self._size:
            raise IndexError(f"proxy {index} of {self._size}")

    def _release(self, place: _Site, now: int) -> None:
        for word in place.cooling.release(now):
            place.mixed &= ~(1 << word)
        for word in self._everywhere.release(now):
            for site in self._mixed_at.pop(word, ()):
                if site in self._sites:
                    self._sites[site].mixed &= ~(1 << word)

    def _choose(self, site: str, place: _Site) -> int | None:
        if self._order == "round_robin":
            index = self._next(site, place, place.cursor)
            if index is not None:
                place.cursor = index + 1 if index + 1 < self._size else 0
            return index
        index = self._draw(site, place)
        if index is not None and self._order == "least_used":
            other = self._draw(site, place)
            if other is not None and self._uses[other] < self._uses[index]:
                index = other
            self._uses[index] += 1
        return index

    def _draw(self, site: str, place: _Site) -> int | None:
        size, here, everywhere = self._size, place.cooling, self._everywhere
        index = int(self._chance.random() * size)
        if here.count + everywhere.count <= size // 2:
            for _ in range(DRAWS):
                if here.until(index) is None and everywhere.until(index) is None:
                    return index
                index = int(self._chance.random() * size)
        word = index >> _WORD_BITS
        if not (free := self._free(place, word)):
            near = self._next(site, place, index)
            if near is None:
                return None
            word = near >> _WORD_BITS
            free = self._free(place, word)
        return (word << _WORD_BITS) + _nth_bit(free, int(self._chance.random() * free.bit_count()))

    def _next(self, site: str, place: _Site, start: int) -> int | None:
        """The first free one from ``start`` on, round the end of the list; None if none is."""
        word, bit = start >> _WORD_BITS, start & WORD - 1
        if free := self._free(place, word) >> bit:
            return start + _low_bit(free)
        open_words = self._words & ~(place.cooling.full | self._everywhere.full | place.mixed)
        ahead = open_words >> word + 1 << word + 1
        while open_words:
            word = _low_bit(ahead or open_words)
            if free := self._free(place, word):
                return (word << _WORD_BITS) + _low_bit(free)
            place.mixed |= 1 << word
            self._mixed_at.setdefault(word, set()).add(site)
            open_words &= ~(1 << word)
            ahead &= ~(1 << word)
        return None

    def _free(self, place: _Site, word: int) -> int:
        taken = place.cooling.busy.get(word, 0) | self._everywhere.busy.get(word, 0)
        return (_ALL if word < self._last else self._last_bits) & ~taken

    def _first(self, place: _Site) -> tuple[int, int]:
        found = (place.cooling.first(self._everywhere), self._everywhere.first(place.cooling))
        return min(one for one in found if one is not None)


def _low_bit(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def _nth_bit(bits: int, n: int) -> int:
    """The position of the set bit that has ``n`` set ones below it, by halving."""
    position = 0
    for width, mask in _HALVES:
        low = bits & mask
        if n >= (count := low.bit_count()):
            n -= count
            bits >>= width
            position += width
        else:
            bits = low
    return position


def _ascending(heap: list[int]) -> Iterator[int]:
    """The values of a heap in order, as far as they are asked for."""
    frontier = [(heap[0], 0)]
    while frontier:
        value, at = heappop(frontier)
        yield value
        for child in (2 * at + 1, 2 * at + 2):
            if child < len(heap):
                heappush(frontier, (heap[child], child))
