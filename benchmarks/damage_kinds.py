"""The kinds of damage that damage.py does to what a killed run left: each gives one case after the other."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scraper.batches import ledger, segments

BATCH = 8  # items
LEDGER = "ledger.jsonl"
Damage = Callable[[Path], int]  # the spool's folder, to be damaged -> items that this destroyed


@dataclass(frozen=True)
class Left:
    """What a killed run left in ``folder``; ``tail``: its last items are in no batch."""

    folder: Path
    tail: bool

    @property
    def spool(self) -> Path:
        return self.folder / "data" / "run" / "spool"

    def segment(self) -> Path:
        """The last one."""
        return max(self.spool.glob("seg-*.log"))

    def records(self) -> list[tuple[int, int]]:
        """(start, end) of each item in it."""
        return [(record.start, record.end) for record in segments.records(self.segment().read_bytes())]

    def done(self) -> list[tuple[int, int]]:
        """The ranges of the batches that are stored."""
        found, _ = ledger.read(self.spool / LEDGER)
        return [(r.start, r.end) for r in found if isinstance(r, ledger.Done)]

    def waiting(self, begin: int, end: int) -> int:
        """How many items that are not stored have a byte there."""
        done = self.done()
        waiting = [(a, b) for a, b in self.records() if not any(start <= a < stop for start, stop in done)]
        return sum(a < end and begin < b for a, b in waiting)


@dataclass(frozen=True)
class Case:
    name: str
    damage: Damage
    unsynced: bool = False
    batch: int = BATCH  # items of a batch at the next start


def last_record(left: Left, seed: int, n: int) -> Iterator[Case]:
    """The segment ends at every byte of its last record; or there are zeros from there on."""
    start, end = left.records()[-1]
    for at in range(start, end + 1):
        gone = left.tail and at == start  # not a byte of it is left
        yield Case(f"cut at {at}", _segment(left, _cut(at), int(at < end)), gone)
        yield Case(f"zeros from {at}", _segment(left, _zeros(at), int(at < end)), gone)


def flips(left: Left, seed: int, n: int) -> Iterator[Case]:
    """Single bits of the segment."""
    chance = random.Random(f"{seed} {left.tail}")
    size = left.records()[-1][1]
    for _ in range(n):
        at, bit = chance.randrange(size + 200), chance.randrange(8)  # also the zeros behind the end
        yield Case(f"bit {bit} of byte {at}", _segment(left, _flip(at, bit), left.waiting(at, at + 1)))


def pages(left: Left, seed: int, n: int) -> Iterator[Case]:
    """A block of zeros in the segment, at every 512 bytes: one block, or from there to the end."""
    size = left.records()[-1][1]
    for at in range(0, size, 512):
        is_end = left.tail and at + 512 >= size
        yield Case(f"block {at}", _segment(left, _zeros(at, at + 512), left.waiting(at, at + 512)), is_end)
        yield Case(f"zeros from {at}", _segment(left, _zeros(at), left.waiting(at, size)), left.tail)


def ledger_flips(left: Left, seed: int, n: int) -> Iterator[Case]:
    """Single bits of the ledger."""
    chance = random.Random(f"{seed} {left.tail}")
    size = (left.spool / LEDGER).stat().st_size
    for _ in range(n):
        at, bit = chance.randrange(size), chance.randrange(8)
        yield Case(f"bit {bit} of byte {at}", _edited(LEDGER, _flip(at, bit)))


def ledger_ends(left: Left, seed: int, n: int) -> Iterator[Case]:
    """The ledger ends at every byte of its last two lines; or there are zeros from there on."""
    data = (left.spool / LEDGER).read_bytes()
    for at in range(len(b"".join(data.splitlines(keepends=True)[:-2])), len(data)):
        yield Case(f"cut at {at}", _edited(LEDGER, _cut(at)))
        yield Case(f"zeros from {at}", _edited(LEDGER, _zeros(at)))


def missing(left: Left, seed: int, n: int) -> Iterator[Case]:
    """Whole files that are lost, emptied or nothing but zeros."""
    waiting = left.waiting(0, left.records()[-1][1])

    def lose(name: str, way: str) -> Damage:
        def damage(spool: Path) -> int:
            for path in spool.glob(name):
                data = path.read_bytes()
                path.unlink()
                if way != "lost":
                    path.write_bytes(b"" if way == "emptied" else bytes(len(data)))
            return waiting if name.startswith("seg") else 0

        return damage

    for way in ("lost", "emptied", "zeros"):
        yield Case(f"segment {way}", lose("seg-*.log", way), unsynced=left.tail)
        yield Case(f"ledger {way}", lose(LEDGER, way))
        yield Case(f"ledger {way}, other batches", lose(LEDGER, way), batch=BATCH - 3)
        yield Case(f"spool.json {way}", lose("spool.json", way))


KINDS = {
    "last-record": last_record, "flips": flips, "pages": pages, "ledger-flips": ledger_flips, "ledger-ends": ledger_ends,
    "missing": missing,
}  # fmt: skip


Change = Callable[[bytes], bytes]


def _flip(at: int, bit: int) -> Change:
    return lambda data: data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def _cut(at: int) -> Change:
    return lambda data: data[:at]


def _zeros(begin: int, end: int | None = None) -> Change:
    """From ``begin`` to ``end``, or to the file's."""
    return lambda data: data[:begin] + bytes(len(data[begin:end])) + data[begin:][len(data[begin:end]) :]


def _segment(left: Left, change: Change, destroyed: int) -> Damage:
    return _edited(left.segment().name, change, destroyed)


def _edited(name: str, change: Change, destroyed: int = 0) -> Damage:
    def damage(spool: Path) -> int:
        (spool / name).write_bytes(change((spool / name).read_bytes()))
        return destroyed

    return damage
