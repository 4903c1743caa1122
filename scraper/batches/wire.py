"""RULE. What the crawler and a worker say to each other: small messages, positions and never data.

Imported by workers, so nothing here or below imports Scrapy, not even through itemadapter.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

_LENGTH = struct.Struct("<I")


class Dead(msgspec.Struct, frozen=True):
    """An item of the batch that could not be made a row: its index, the step, the exception whole."""

    index: int
    step: str
    reason: str
    traceback: str = ""


class Order(msgspec.Struct, frozen=True, tag=True):
    """To a worker: deliver the ``n`` items in ``path[start:end]``, but for the indexes in ``skip``."""

    seq: int  # the worker's own count of orders, for the progress cell
    batch: str
    path: str
    start: int
    end: int
    n: int
    skip: list[int]


class Finish(msgspec.Struct, frozen=True, tag=True):
    """To a worker: every batch is stored, let the sink finish."""


class Hello(msgspec.Struct, frozen=True, tag=True):
    """From a worker: steps and sink are loaded."""


class Ack(msgspec.Struct, frozen=True, tag=True):
    """From a worker: the batch is in the store. stored + dropped + dead = n - skipped."""

    batch: str
    stored: int
    dropped: dict[str, int]  # reason -> items
    dead: list[Dead]
    step_ns: dict[str, int] = {}  # nanoseconds in each step, by its name
    worker: str = ""  # its number
    ns: int = 0  # nanoseconds from order to answer
    rss: int = 0  # bytes of memory that the worker holds now; 0: not known


class Failed(msgspec.Struct, frozen=True, tag=True):
    """From a worker: the sink did not take the batch, not on the last try either. ``passing``: the place is at fault (down,
    full), so the same batch may be taken later.
    """

    batch: str
    cause: str
    passing: bool = True


class Unfit(msgspec.Struct, frozen=True, tag=True):
    """From a worker that cannot work at all, its last word: a step or the sink does not load."""

    cause: str


class Finished(msgspec.Struct, frozen=True, tag=True):
    """From a worker: the sink has finished, or why not."""

    cause: str | None


FromWorker = Hello | Ack | Failed | Unfit | Finished
ToWorker = Order | Finish

decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode


def sayable(said: object) -> str:
    """What a step or a library said, as text that any message and file can hold: a lone surrogate becomes "?"."""
    try:
        text = str(said)
    except Exception:  # noqa: BLE001  # the code of a step's own class
        text = f"(a {type(said).__name__} that cannot be shown)"
    return text.encode("utf-8", "replace").decode()


def cause_of(error: BaseException) -> str:
    """``ValueError: no price``."""
    return f"{type(error).__name__}: {sayable(error)}"


def decode_row(payload: bytes) -> dict[str, Any]:
    """The row that the spool keeps as ``payload``: what a worker makes of an item (see encode.py)."""
    row: dict[str, Any] = msgspec.msgpack.decode(payload)
    return row


def frame(message: FromWorker | ToWorker) -> bytes:
    """The message with its length before it."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Bytes as they come from a stream -> whole messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies of the messages that ``data`` completes."""
        self._bytes += data
        bodies = []
        while len(self._bytes) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._bytes)[0]
            if len(self._bytes) < end:
                break
            bodies.append(bytes(self._bytes[_LENGTH.size : end]))
            del self._bytes[:end]
        return bodies


# --- the progress cell: 8 bytes of shared memory, written before each item, read when the worker is dead ------

IDLE = 0
COMMITTING = 0xFFFF  # as an index: the sink is at work
MAX_ITEMS = COMMITTING  # of a batch, so that an index fits in 16 bits
_CELL = struct.Struct("<Q")
CELL_BYTES = _CELL.size


def mark(cell: object, seq: int, index: int) -> None:
    """Say that item ``index`` of order ``seq`` (>= 1) is being worked on; ``mark(cell, 0, 0)`` is IDLE."""
    _CELL.pack_into(cell, 0, seq << 16 | index)  # type: ignore[arg-type]  # a mmap is a buffer


def marked(cell: object) -> tuple[int, int]:
    """(order, index) of the last mark."""
    value = _CELL.unpack_from(cell, 0)[0]  # type: ignore[arg-type]  # a mmap is a buffer
    return value >> 16, value & 0xFFFF
