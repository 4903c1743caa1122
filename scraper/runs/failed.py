"""I/O: failed.jsonl, one line per page given up, not asked for, or whose callback raised. It appears with the first line.

Each line is an object with ``url`` first, so that the file can be fed back as a list of urls.
"""

from __future__ import annotations

from io import BufferedWriter
from pathlib import Path

import msgspec


class FailedPage(msgspec.Struct):
    """A page that no attempt is left for; ``url`` carries no credentials. ``attempts``: those that were made."""

    url: str
    rule: str
    outcome: str
    attempts: int
    callback: str = ""
    evidence: str = ""


class FailedPages:
    """Appends pages to ``path``. Each line is handed to the system at once: a killed run keeps its list."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: BufferedWriter | None = None

    def add(self, page: FailedPage) -> None:
        """Append ``page``. Raises OSError."""
        self.count += 1
        if self._file is None:
            self._file = self.path.open("ab")
        self._file.write(msgspec.json.encode(page) + b"\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
