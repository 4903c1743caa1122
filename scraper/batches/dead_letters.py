"""I/O. Items that no step or sink could take: a file of JSON lines, each with its reason and the item.

A line is written before the batch is settled. If the crawler is killed between the two, the batch is
delivered again: a letter's id (batch and index) tells that it is in the file already.

``item`` is for people: bytes are base64 in it, as a time is text. ``payload`` is what the spool held, so that replay.py can send
it through the steps again. A letter of an item that never was in the spool (step "encode"), or was damaged there, has none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from scraper.batches import wire

FILE = "dead_letters.jsonl"


class Letter(msgspec.Struct, kw_only=True):
    """One line. ``payload`` None: it cannot be replayed."""

    id: str
    at: datetime
    step: str
    reason: str
    traceback: str = ""
    item: Any = None
    payload: bytes | None = None


class _Id(msgspec.Struct):
    id: str


_decode = msgspec.json.Decoder(Letter).decode
_decode_id = msgspec.json.Decoder(_Id).decode


class DeadLetters:
    """``dead_letters.jsonl`` in ``folder``, made with the first letter."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._known = _ids(self._path)

    def add(
        self, id: str, step: str, reason: str, item: Any, traceback: str = "", payload: bytes | None = None
    ) -> None:
        """Append a letter unless ``id`` is known. ``payload``: the item as the spool holds it; then ``item`` need not be given.
        OSError if the disk is full.
        """
        if id in self._known:
            return
        if payload is not None:
            item = _row(payload)
        letter = Letter(
            id=wire.sayable(id), at=datetime.now(UTC), step=step, reason=wire.sayable(reason),
            traceback=wire.sayable(traceback), item=_readable(item), payload=payload,
        )  # fmt: skip
        line = msgspec.json.encode(letter) + b"\n"
        handle = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o644)
        try:
            before = os.fstat(handle).st_size
            if (
                before and os.pread(handle, 1, before - 1) != b"\n"
            ):  # a torn last line must not swallow this one
                line = b"\n" + line
            if os.write(handle, line) != len(line):
                os.ftruncate(handle, before)
                raise OSError(f"{self._path}: short write, is the disk full?")
        finally:
            os.close(handle)
        self._known.add(id)

    def free(self, id: str) -> str:
        """``id``, or one like it that no letter has: for what comes once and is never delivered again."""
        found, n = id, 1
        while found in self._known:
            n += 1
            found = f"{id}~{n}"
        return found

    def sync(self) -> None:
        """Make the letters safe from a power cut. OSError."""
        if self._path.exists():
            handle = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def read(folder: Path) -> Iterator[Letter]:
    """The letters of the run in ``folder``, in the order they came; what a kill has torn is left out."""
    for line in _lines(folder / FILE):
        try:
            yield _decode(line)
        except msgspec.DecodeError:
            continue


def _row(payload: bytes) -> Any:
    try:
        return wire.decode_row(payload)
    except msgspec.DecodeError:
        return None


def _readable(item: Any) -> Any:
    """The item itself if JSON can hold it, else its repr, cut at 10,000 characters."""
    try:
        msgspec.json.encode(item)
    except Exception:  # noqa: BLE001  # whatever the item does, its letter is written
        return repr(item)[:10_000].encode("utf-8", "replace").decode()
    return item


def _ids(path: Path) -> set[str]:
    found = set()
    for line in _lines(path):
        try:
            found.add(_decode_id(line).id)
        except msgspec.DecodeError:  # torn by a kill, or not ours
            continue
    return found


def _lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with path.open("rb") as file:
            yield from file
