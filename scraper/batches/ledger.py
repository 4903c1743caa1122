"""I/O. What became of each batch: a file of JSON lines, one write per record, read at the next start.

The record comes first, the deed second: a batch is written down before it is sent, its end before its bytes
are deleted. A line that was cut by a kill, or damaged, is left out; every record carries the range it
speaks of, so that the segment can say what is missing.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


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


Record = Cut | Done | Attempt | Quarantined | Released
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
        line = msgspec.json.encode(record) + b"\n"
        if os.write(self._file, line) != len(line):
            os.write(self._file, b"\n")  # raises the reason
            raise OSError("ledger: short write")

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
    for line in path.read_bytes().splitlines():
        try:
            records.append(_decode(line))
        except msgspec.DecodeError:
            damaged += bool(line)
    return records, damaged
