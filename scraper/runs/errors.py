"""Rule: errors grouped by what they were and where, so that ten thousand of one kind are one line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from traceback import FrameSummary
from typing import Any

from scraper.runs.redact import redact

MAX_GROUPS = 50  # more kinds of error than anyone reads; the rest is counted as "other"
MESSAGE_CHARS = 300


@dataclass(slots=True)
class ErrorGroup:
    kind: str  # callback, start, item
    error: str  # the exception's class
    place: str  # file:line function
    count: int
    message: str  # of the first one, redacted
    url: str  # of the first one, redacted


class ErrorGroups:
    """Counts errors by kind, class and place."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], ErrorGroup] = {}

    def add(self, kind: str, error: BaseException, frames: Iterable[FrameSummary], url: str) -> None:
        """Count ``error``; ``frames`` is its traceback, outermost first."""
        key = (kind, type(error).__name__, place(frames))
        if key not in self._groups and len(self._groups) >= MAX_GROUPS:
            key = (kind, "other", "")
        if (found := self._groups.get(key)) is not None:
            found.count += 1
            return
        self._groups[key] = ErrorGroup(*key, 1, redact(str(error))[:MESSAGE_CHARS], redact(url))

    def as_list(self) -> list[dict[str, Any]]:
        """The groups as plain dicts, the most frequent first."""
        return [asdict(group) for group in sorted(self._groups.values(), key=lambda group: -group.count)]


def place(frames: Iterable[FrameSummary]) -> str:
    """``books.py:41 parse``: the innermost line outside installed packages, or else the innermost."""
    listed = list(frames)
    own = [frame for frame in listed if "site-packages" not in frame.filename]
    if not listed:
        return "unknown"
    frame = (own or listed)[-1]
    return f"{frame.filename.replace(chr(92), '/').rpartition('/')[2]}:{frame.lineno} {frame.name}"
