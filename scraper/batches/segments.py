"""I/O. What stands in a segment of the spool, and how it is found again, whatever was damaged.

A record is magic, length and index, checksum (xxh3 of the payload, seeded with length and index), payload. The index is the
item's place in its batch: it tells how many items a damaged stretch has cost, and where a batch begins, with no other
file. Zeros at the end are room that was not written to.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

MAGIC = b"\xd7SP2"
_HEADER = struct.Struct("<4sIIQ")
HEADER_BYTES = _HEADER.size


@dataclass(frozen=True, slots=True)
class Record:
    """The bytes ``start`` to ``end``. ``payload`` None: they are damaged, one record or several."""

    start: int
    end: int
    index: int
    payload: bytes | None


def header(index: int, payload: bytes) -> bytes:
    """What stands before the item with this place in its batch."""
    length = len(payload)
    return _HEADER.pack(MAGIC, length, index, xxhash.xxh3_64_intdigest(payload, length << 32 | index))


def records(data: bytes) -> Iterator[Record]:
    """Everything in ``data``, zeros at the end left out."""
    position = 0
    while position < len(data):
        found = _record_at(data, position)
        if found is None:
            end = _next(data, position + 1)
            if end == len(data) and not data[position:].strip(b"\0"):
                return
            found = Record(position, end, -1, None)
        yield found
        position = found.end


def read(path: str | Path, start: int, end: int) -> bytes:
    """The bytes, fewer where the file ends. OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.pread(handle, end - start, start)
    finally:
        os.close(handle)


def read_batch(path: str, start: int, end: int, n: int) -> list[bytes | None]:
    """The ``n`` payloads of a batch by their index, None for each that is damaged or gone. OSError if the disk does not
    answer.
    """
    payloads: list[bytes | None] = [None] * n
    try:
        data = read(path, start, end)
    except FileNotFoundError:
        return payloads
    for record in records(data):
        if record.payload is not None and record.index < n:
            payloads[record.index] = record.payload
    return payloads


def batches(data: bytes, *, torn: bool) -> Iterator[tuple[int, int, int]]:
    """(start, end, items) of the batches that ``data`` holds whole: each begins with index 0. ``torn``: what is damaged at the very
    end is no item, its writer died over it.
    """
    start = end = n = 0
    damaged: Record | None = None
    for record in records(data):
        if record.payload is None:
            damaged = record  # the next index tells what it was
            continue
        if record.index < n or (damaged and record.index == 0):
            if damaged and record.index == 0:  # of the last batch, then; how many there were is not known
                end, n = damaged.end, n + 1
            yield start, end, n
            start = end
        end, n, damaged = record.end, record.index + 1, None
    if damaged and not torn:
        end, n = damaged.end, n + 1
    if n:
        yield start, end, n


def _next(data: bytes, position: int) -> int:
    """Where the next whole record begins, at ``position`` or later; the end of ``data`` if there is none."""
    position = data.find(MAGIC, position)
    while position >= 0 and _record_at(data, position) is None:
        position = data.find(MAGIC, position + 1)
    return position if position >= 0 else len(data)


def _record_at(data: bytes, position: int) -> Record | None:
    begin = position + _HEADER.size
    if begin > len(data):
        return None
    magic, length, index, checksum = _HEADER.unpack_from(data, position)
    payload = data[begin : begin + length]
    if magic != MAGIC or len(payload) != length or _checksum(index, payload) != checksum:
        return None
    return Record(position, begin + length, index, payload)


def _checksum(index: int, payload: bytes) -> int:
    return xxhash.xxh3_64_intdigest(payload, len(payload) << 32 | index)
