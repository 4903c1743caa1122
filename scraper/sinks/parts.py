"""I/O. One file per batch in one folder: the storage that file sinks share.

A part is written aside (a dot file), fsynced and renamed, so a reader sees whole parts or none, workers
need no lock, and a batch that is delivered again finds its part there. `merge` replaces all parts by few
files; a journal makes that all-or-nothing over kills: once it is written, the next `prepare` or `merge`
completes it. The manifest beside the folder (in it, polars would take it for data) says what was merged: a
batch that comes again even then changes nothing.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec


class _Journal(msgspec.Struct):
    files: dict[str, str]  # name written aside -> final name
    replaced: list[str]


class Manifest(msgspec.Struct):
    """``<folder>.<suffix>.manifest.json``, once the run has ended."""

    files: dict[str, int]  # name -> bytes
    batches: list[str]  # that are in them


class Parts:
    """The files ``part-<batch id>.<suffix>`` and, once merged, ``data-<generation>-<n>.<suffix>``."""

    preload: tuple[str, ...] = ()  # modules, as in a `Sink`

    def __init__(self, folder: str, suffix: str) -> None:
        self.folder = Path(folder)
        self.suffix = suffix
        self.manifest = self.folder.with_name(f"{self.folder.name}.{suffix}.manifest.json")
        self._journal = self.folder / ".merge.json"
        self._merged: tuple[int, set[str]] = (0, set())  # the manifest's time of change (ns) and its batches

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
        if final.exists() or batch_id in self._batches_merged():
            return
        aside = (
            self.folder / f".{final.name}.{uuid.uuid4().hex}.tmp"
        )  # machines that share a folder have equal pids
        try:
            write(aside)
            _fsync(aside)
            aside.rename(final)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        _fsync(self.folder)
        if batch_id in self._batches_merged():  # by another machine, while this one was frozen in `write`
            final.unlink(missing_ok=True)

    def merge(self, write: Callable[[list[Path], Callable[[], Path]], None]) -> None:
        """Replace all files by those that ``write(files, new_path)`` writes, calling ``new_path()`` for each."""
        self._settle()
        for left in self.folder.glob(
            f".part-*.{self.suffix}.*.tmp"
        ):  # of workers that died; all others are done
            left.unlink(missing_ok=True)
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

        try:
            write(old, new_path)
            for aside in new:
                _fsync(self.folder / aside)
            sizes = {final: (self.folder / aside).stat().st_size for aside, final in new.items()}
            parts = [path.name for path in old if path.name.startswith("part-")]
            ids = {name.removeprefix("part-").removesuffix(f".{self.suffix}") for name in parts}
            self._write(self.manifest, Manifest(sizes, sorted(self._batches_merged() | ids)))
        except BaseException:
            for aside in new:  # a disk that is full stays usable for the next try
                (self.folder / aside).unlink(missing_ok=True)
            raise
        self._write(self._journal, _Journal(new, [path.name for path in old]))
        self._settle()

    def close(self) -> None:
        """Nothing is open."""

    def _batches_merged(self) -> set[str]:
        try:
            changed_ns = self.manifest.stat().st_mtime_ns
        except FileNotFoundError:
            return set()
        if self._merged[0] != changed_ns:
            self._merged = (changed_ns, set(_read(self.manifest).batches))
        return self._merged[1]

    def _write(self, path: Path, what: Manifest | _Journal) -> None:
        aside = path.with_name(f"{path.name}.tmp")
        aside.write_bytes(msgspec.json.encode(what))
        _fsync(aside)
        aside.rename(path)
        _fsync(path.parent)

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


def _read(path: Path) -> Manifest:
    return msgspec.json.decode(path.read_bytes(), type=Manifest)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
