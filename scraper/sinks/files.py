"""I/O. What the sinks that write files have in common: one part per batch, merged at the end, here or on another machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from scraper.sinks.contract import Row
from scraper.sinks.remote import parts_for


class FileSink:
    """Rows as files in ``out_dir``, or below ``to`` (remote.py). A format says what the bytes of a batch are (`encoded`), and how
    parts become few files (`merge`).
    """

    name = ""
    preload: tuple[str, ...] = ()

    def __init__(self, out_dir: str, suffix: str, to: str, storage: dict[str, Any] | None) -> None:
        self._parts = parts_for(out_dir, suffix, to, storage)
        self.folder = str(self._parts.folder)
        self.preload = (*self.preload, *self._parts.preload)

    def encoded(self, rows: list[Row]) -> Any:
        """The part that holds the rows: bytes, or something that can be written as bytes."""
        raise NotImplementedError

    def merge(self, files: list[Path], new_path: Callable[[], Path]) -> None:
        """Write all rows of ``files`` into files that ``new_path()`` names."""
        raise NotImplementedError

    def prepare(self) -> None:
        self._parts.prepare()

    def commit(self, batch_id: str, rows: list[Row]) -> None:
        def write(path: Path) -> None:
            path.write_bytes(self.encoded(rows))

        self._parts.add(batch_id, write)

    def finish(self) -> None:
        self._parts.merge(self.merge)

    def close(self) -> None:
        self._parts.close()
