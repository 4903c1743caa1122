"""Steps that misbehave as the row's "do" says; workers import them by path."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

from scraper.batches.steps import DUPLICATE, Drop, Refuse

Row = dict[str, Any]
_TAKEN: list[bytes] = []  # memory that is never given back


class Hostile(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("\ud83d")


def number(row: Row) -> Row | None:
    """Do what the row asks for."""
    deed = row.get("do")
    if deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif deed == "exit":
        sys.exit(3)
    elif deed == "raise":
        raise ValueError(f"cannot do {row['n']}")
    elif deed == "hang":
        time.sleep(3600)
    elif deed == "hang_with_lock":
        re.match(r"(a+)+$", "a" * 60 + "b")  # holds the interpreter lock for years
    elif deed == "raise_hostile":
        raise Hostile
    elif deed == "refuse_hostile":
        raise Refuse("no price in \ud83d")
    elif deed == "drop_hostile":
        raise Drop(404)
    elif deed == "drop":
        return None
    elif deed == "drop_for":
        raise Drop("too_old")
    elif deed == "duplicate":
        raise Drop(DUPLICATE)
    elif deed == "unstorable":
        row["object"] = object()
    elif deed == "not_a_row":
        return ["a list"]
    elif deed == "take":
        _TAKEN.append(b"x" * row["bytes"])
    elif deed == "take_and_wait":
        taken = b"x" * row["bytes"]
        time.sleep(30)
        del taken
    elif deed == "kill_once":
        flag = Path(row["flag"])
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return row


def slow(row: Row, *, ms: float = 5.0) -> Row:
    """Work that takes time but no CPU."""
    time.sleep(ms / 1000)
    return row


def modules(row: Row) -> Row:
    """What this worker has imported, its niceness, its process id."""
    row["modules"] = sorted(name for name in sys.modules if "." not in name)
    row["main"] = repr(sys.modules["__main__"])
    row["nice"] = os.nice(0)
    row["pid"] = os.getpid()
    return row
