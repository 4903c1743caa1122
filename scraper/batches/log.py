"""RULE. The log that items wait in: what a `Delivery` needs of it, whoever keeps it.

append -> cut -> (workers read) -> settle; what an earlier owner left comes back as ``recovered``. `spool.Spool` is the
log of a run, in local files; afterwards/archive.py reads segments that were kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(slots=True)
class Batch:
    """``n`` items in the bytes ``start`` to ``end`` of the file ``path``. ``attempts`` counts the workers that died over an
    item, ``skip`` are the items in quarantine.
    """

    id: str
    path: str
    segment: int
    start: int
    end: int
    n: int
    skip: list[int] = field(default_factory=list)
    attempts: Counter[int] = field(default_factory=Counter)

    @property
    def size(self) -> int:
        return self.end - self.start


class Log(Protocol):
    """Every method may raise OSError; then nothing has changed, and it can be called again."""

    folder: Path  # for what belongs to its owner: progress cells, traces
    recovered: list[Batch]  # that an earlier owner did not settle
    torn_bytes: int  # that its death cut off

    def append(self, payload: bytes) -> int:
        """Add one item to the open batch; return its bytes on disk."""

    def cut(self) -> Batch | None:
        """Close the open batch; None if it is empty."""

    def settle(self, batch: Batch) -> None:
        """The batch is stored, nobody needs it any more."""

    def attempt(self, batch: Batch, index: int, why: str) -> int:
        """A worker died over the item; return how many have by now, over all starts."""

    def quarantine(self, batch: Batch, index: int) -> None:
        """The item is a dead letter (write that first): the batch goes on without it."""

    def synced(self) -> Callable[[], None]:
        """A call, for any thread, that returns when all that was written before is safe from a power cut."""

    def close(self) -> None:
        """Let go. What is not settled is delivered by the next owner."""
