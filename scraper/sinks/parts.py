"""I/O. One file per batch in one folder: the storage that file sinks share.

A part is written aside (a dot file), fsynced and renamed, so a reader sees whole parts or none, workers
need no lock, and a batch that is delivered again finds its part there. `merge` replaces all parts by few
files; a journal makes that all-or-nothing over kills: once it is written, the next `prepare` or `merge`
completes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec


class _Journal(msgspec.Struct):
    files: dict[str, str]  # name written aside -> final name
    replaced: list[str]


class Parts:
    """The files ``part-<batch id>.<suffix>`` and, once merged, ``data-<generation>-<n>.<suffix>``."""

    def __init__(self, folder: str, suffix: str) -> None:
        self.folder = Path(folder)
        self.suffix = suffix
        self._journal = self.folder / ".merge.json"

    def prepare(self) -> None:
        """Make the folder, complete a merge that was cut off, remove what killed workers left half written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._settle()
        for left in self.folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)

    def files(self) -> list[Path]:
        """All files that hold rows, the merged ones of an earlier merge first."""
        return sorted(self.folder.glob(f"data-*.{self.suffix}")) + sorted(
            self.folder.glob(f"part-*.{self.suffix}")
        )

    def add(self, batch_id: str, write: Callable[[Path], None]) -> None:
        """Store the part that ``write(path)`` writes, unless the batch has one. OSError if it cannot be
        stored.
        """
        final = self.folder / f"part-{batch_id}.{self.suffix}"
        if final.exists():
            return
        aside = self.folder / f".{final.name}.{os.getpid()}.tmp"
        try:
            write(aside)
            _fsync(aside)
            aside.rename(final)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        _fsync(self.folder)

    def merge(self, write: Callable[[list[Path], Callable[[], Path]], None]) -> None:
        """Replace all files by those that ``write(files, new_path)`` writes, calling ``new_path()`` for each."""
        self._settle()
        old = self.files()
        if not any(path.name.startswith("part-") for path in old):
            return
        generation = 1 + max(
            (int(path.name.split("-")[1]) for path in old if path.name.startswith("data-")), default=0
        )
        new: dict[str, str] = {}

        def new_path() -> Path:
            name = f"data-{generation:03d}-{len(new):05d}.{self.suffix}"
            new[f".{name}.tmp"] = name
            return self.folder / f".{name}.tmp"

        write(old, new_path)
        for aside in new:
            _fsync(self.folder / aside)
        journal = self.folder / ".merge.json.tmp"
        journal.write_bytes(msgspec.json.encode(_Journal(new, [path.name for path in old])))
        _fsync(journal)
        journal.rename(self._journal)
        self._settle()

    def _settle(self) -> None:
        if not self._journal.exists():
            return
        journal = msgspec.json.decode(self._journal.read_bytes(), type=_Journal)
        for aside, final in journal.files.items():
            if (self.folder / aside).exists():
                (self.folder / aside).rename(self.folder / final)
        for name in journal.replaced:
            (self.folder / name).unlink(missing_ok=True)
        _fsync(self.folder)
        self._journal.unlink()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
