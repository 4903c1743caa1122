"""I/O. What became of each batch: a file of JSON lines, one write per record, read at the next start.

The record comes first, the deed second: a batch is written down before it is sent, its end before its bytes
are deleted. A line is the xxh3 of a record as hex, and the record. One that was cut by a kill, or damaged, is left out; every
record carries the range it speaks of, so that the segment can say what is missing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from scraper.batches.log import Batch


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """The spool ``uuid`` was taken over; ``about`` is what spool.json says, should that be lost."""

    uuid: str
    about: dict[str, Any]


class Cut(msgspec.Struct, frozen=True, tag="cut"):
    """The items in ``segment[start:end]`` are a batch of ``n``."""

    segment: int
    start: int
    end: int
    n: int


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The batch is in the store, its dead letters in their file."""

    segment: int
    start: int
    end: int


class Attempt(msgspec.Struct, frozen=True, tag="attempt"):
    """A worker died over this item of the batch (or over the batch, ``index`` = COMMITTING)."""

    segment: int
    start: int
    index: int
    why: str


class Quarantined(msgspec.Struct, frozen=True, tag="quarantined"):
    """The item is a dead letter now; the batch goes on without it."""

    segment: int
    start: int
    index: int


class Released(msgspec.Struct, frozen=True, tag="released"):
    """The segment is not needed any more."""

    segment: int


OfSegment = Cut | Done | Attempt | Quarantined | Released
Record = Opened | OfSegment
_decode = msgspec.json.Decoder(Record).decode


class Ledger:
    """The file, open for appending."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o644)
        size = os.fstat(self._file).st_size
        if (
            size and os.pread(self._file, 1, size - 1) != b"\n"
        ):  # a torn last line must not swallow the next record
            os.write(self._file, b"\n")

    def write(self, record: Record) -> None:
        """Append; OSError if the disk is full."""
        said = msgspec.json.encode(record)
        line = b"%s %s\n" % (_sum(said), said)
        if os.write(self._file, line) != len(line):
            os.write(self._file, b"\n")  # raises the reason
            raise OSError("ledger: short write")

    def attempt(self, batch: Batch, index: int, why: str) -> int:
        """A worker died over the item; return how many have by now, over all starts."""
        self.write(Attempt(batch.segment, batch.start, index, why))
        batch.attempts[index] += 1
        return batch.attempts[index]

    def quarantine(self, batch: Batch, index: int) -> None:
        """The item is a dead letter: the batch goes on without it."""
        self.write(Quarantined(batch.segment, batch.start, index))
        batch.skip.append(index)

    def fileno(self) -> int:
        return self._file

    def close(self) -> None:
        os.close(self._file)


def read(path: Path) -> tuple[list[Record], int]:
    """All records, and how many lines were unreadable."""
    if not path.exists():
        return [], 0
    records: list[Record] = []
    damaged = 0
    for line in path.read_bytes().split(b"\n"):
        checksum, _, said = line.partition(b" ")
        try:
            if checksum != _sum(said):
                raise ValueError(checksum)
            records.append(_decode(said))
        except ValueError:  # msgspec's own errors are some, text that is no UTF-8 is another
            damaged += bool(line)
    return records, damaged


def _sum(said: bytes) -> bytes:
    return xxhash.xxh3_64_hexdigest(said).encode()
