"""I/O. Items that no step or sink could take: a file of JSON lines, each with its reason and the item.

A line is written before the batch is settled. If the crawler is killed between the two, the batch is
delivered again: a letter's id (batch and index) tells that it is in the file already.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec


class _Id(msgspec.Struct):
    id: str = ""


class DeadLetters:
    """``dead_letters.jsonl`` in ``folder``, made with the first letter."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "dead_letters.jsonl"
        self._known = _ids(self._path)

    def add(self, id: str, step: str, reason: str, item: Any, traceback: str = "") -> None:
        """Append a letter unless ``id`` is known; bytes in it as base64. OSError if the disk is full."""
        if id in self._known:
            return
        letter = {
            "id": id,
            "at": datetime.now(UTC),
            "step": step,
            "reason": reason,
            "traceback": traceback,
            "item": _readable(item),
        }
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


def _readable(item: Any) -> Any:
    """The item itself if JSON can hold it, else its repr, cut at 10,000 characters."""
    try:
        msgspec.json.encode(item)
    except Exception:  # noqa: BLE001  # whatever the item does, its letter is written
        return repr(item)[:10_000].encode("utf-8", "replace").decode()
    return item


def _ids(path: Path) -> set[str]:
    found = set()
    if path.exists():
        for line in path.read_bytes().splitlines():
            try:
                found.add(msgspec.json.decode(line, type=_Id).id)
            except msgspec.DecodeError:  # torn by a kill, or not ours
                continue
    return found
