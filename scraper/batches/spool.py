"""I/O. The log on disk that is the transport: items are appended, batches are ranges, workers read them.

`append` is one write per item, so an item is safe from the death of any process when it returns; from a power cut when
a call that `synced` gives has returned after it. Room is made ahead of the writing, so a kill leaves zeros at the end,
which are no record (segments.py). One process owns a spool (flock); the folder lives as long as the run's folder and
starts where it ended. The ledger can be lost: what is in the segments is delivered again then, in the same batches under the
same names, which the sinks know.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import uuid
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from scraper.batches import ledger, left, segments
from scraper.batches.log import Batch
from scraper.errors import ConfigError

# A segment goes when all its batches are stored: disk is given back in these steps.
SEGMENT_BYTES = 64 << 20
# Zeros written ahead in one piece: the kernel makes large pages of it, and an item of 10 kB that is written over them costs
# 5 us, where it costs 9 in a file that grows, or in room from fallocate, which has no pages yet.
ALLOCATE_BYTES = 256 << 10
_ZEROS = bytes(ALLOCATE_BYTES)
# Numbers of segments for each start: a power cut may take segments whose batches the sink has, and their names must not come
# again for other items. spool.json, which counts the starts, is on the disk before anything else is written.
_PER_START = 1_000_000
ABOUT, LEDGER = "spool.json", "ledger.jsonl"
KEPT = "segments"  # folder beside the spool's, for segments that are kept when they are not needed any more
_datasync = getattr(os, "fdatasync", os.fsync)


class Spool:
    """The spool in ``folder``, made or taken over. ``recovered`` is what an earlier owner left; ``torn_bytes`` of it
    were a record that its death cut short. ``about`` is kept in spool.json for whoever delivers the rest.
    ``sync``: somebody runs what `synced` gives from time to time; ``keep``: settled segments are moved into the folder KEPT.
    ConfigError if another process owns it, OSError if it cannot be written.
    """

    def __init__(
        self, folder: Path, about: dict[str, Any], segment_bytes: int = SEGMENT_BYTES,
        *, sync: bool = False, keep: bool = False,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._segment_bytes = segment_bytes
        self._sync, self._keep = sync, keep
        self._lock = locked(folder)
        records, self.damaged_records = ledger.read(folder / LEDGER)
        self._ledger = ledger.Ledger(folder / LEDGER)
        self._uuid, starts = _introduce(folder, about)
        self._ledger.write(ledger.Opened(self._uuid, {**about, "starts": starts}))
        self.torn_bytes = 0
        self._unsettled: dict[int, set[int]] = defaultdict(set)  # segment -> starts of batches not stored
        self._full: list[int] = []  # files of full segments, to be synced once more and closed
        self._unneeded: list[Path] = []  # segments to remove, once the ledger's word for it is synced
        self._segment = 0  # the current one
        self.recovered = self._recover(records)
        self._segment = max(self._segment, starts * _PER_START)
        self._file = -1
        self._allocated = 0
        self._start = self._end = self._n = 0  # the open batch, in the current segment

    def append(self, payload: bytes) -> int:
        """Add one item; return its bytes on disk. OSError if the disk is full: then nothing was added."""
        if self._file < 0:
            self._file = os.open(self._path(self._segment), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        size = segments.HEADER_BYTES + len(payload)
        if self._end + size > self._allocated and size < ALLOCATE_BYTES:
            self._allocate()
        try:
            if os.pwritev(self._file, (segments.header(self._n, payload), payload), self._end) != size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))
        except OSError:
            os.ftruncate(self._file, self._end)
            self._allocated = self._end
            raise
        self._end += size
        self._n += 1
        return size

    def cut(self) -> Batch | None:
        """Make a batch of what was appended since the last one; None if nothing was. OSError if the disk is
        full.
        """
        if not self._n:
            return None
        batch = self._cut(self._segment, self._start, self._end, self._n)
        self._start, self._n = self._end, 0
        if self._end >= self._segment_bytes:
            self._rotate()
        return batch

    def settle(self, batch: Batch) -> None:
        """The batch is stored: write that down, remove segments that nobody needs. OSError if the disk is
        full.
        """
        self._ledger.write(ledger.Done(batch.segment, batch.start, batch.end))
        self._unsettled[batch.segment].discard(batch.start)
        if batch.segment != self._segment:
            self._release(batch.segment)

    def attempt(self, batch: Batch, index: int, why: str) -> int:
        return self._ledger.attempt(batch, index, why)

    def quarantine(self, batch: Batch, index: int) -> None:
        self._ledger.quarantine(batch, index)

    def synced(self) -> Callable[[], None]:
        """See `log.Log`. Segments that nobody needs go with it: not before the ledger's word for it is on the disk, and in a
        thread, since it takes milliseconds.
        """
        files = [os.dup(self._ledger.fileno()), *self._full]
        if self._file >= 0:
            files.append(os.dup(self._file))
        folder = os.open(self.folder, os.O_RDONLY)
        unneeded, self._full, self._unneeded = self._unneeded, [], []

        def sync() -> None:
            try:
                for file in files:
                    _datasync(file)
                os.fsync(folder)
            finally:
                for file in (*files, folder):
                    os.close(file)
            for path in unneeded:
                self._remove(path)

        return sync

    def close(self) -> None:
        """Let go. What is not settled is delivered by the next owner."""
        if self._file >= 0 and self._n:
            self._end_segment()
        elif self._file >= 0:
            self._rotate()
        if self._sync:
            self.synced()()
        self._ledger.close()
        os.close(self._lock)

    def _allocate(self) -> None:
        """Room for the next items, where the disk has it; else the write of the item itself will tell."""
        try:
            self._allocated = self._end + os.pwrite(self._file, _ZEROS, self._end)
        except OSError:
            os.ftruncate(self._file, self._end)

    def _cut(self, segment: int, start: int, end: int, n: int) -> Batch:
        self._ledger.write(ledger.Cut(segment, start, end, n))
        self._unsettled[segment].add(start)
        return Batch(left.name(self._uuid, segment, start), str(self._path(segment)), segment, start, end, n)

    def _end_segment(self) -> None:
        os.ftruncate(self._file, self._end)  # what was allocated and not written is given back
        if self._sync:
            self._full.append(self._file)
        else:
            os.close(self._file)
        self._file, self._allocated = -1, 0

    def _rotate(self) -> None:
        self._end_segment()
        full, self._segment = self._segment, self._segment + 1
        self._start = self._end = 0
        self._release(full)

    def _release(self, segment: int) -> None:
        if not self._unsettled[segment]:
            self._ledger.write(ledger.Released(segment))
            del self._unsettled[segment]
            if self._sync:
                self._unneeded.append(self._path(segment))
            else:
                self._remove(self._path(segment))

    def _remove(self, path: Path) -> None:
        if self._keep and path.exists():
            kept = self.folder.parent / KEPT
            kept.mkdir(exist_ok=True)
            path.rename(kept / path.name)
        path.unlink(missing_ok=True)

    def _path(self, segment: int) -> Path:
        return self.folder / f"seg-{segment:06d}.log"

    def _recover(self, records: list[ledger.Record]) -> list[Batch]:
        """What was not stored: the batches that the ledger knows, and those that only the segments know."""
        paths = left.segments_of(self.folder, records)
        self._segment = 1 + max([-1, *paths, *(record.segment for record in left.about_segments(records))])
        found = left.unsettled(records, self._uuid, paths)
        for batch in found:
            self._unsettled[batch.segment].add(batch.start)
        known = left.known(records)
        for segment, path in paths.items():
            if path.exists():
                uncut = left.uncut(path, known[segment], torn=True)
                found += [self._cut(segment, start, end, n) for start, end, n in uncut.batches]
                if uncut.whole_bytes < path.stat().st_size:
                    self.torn_bytes += uncut.torn_bytes
                    os.truncate(path, uncut.whole_bytes)
        for segment in left.all_segments(self.folder):
            self._release(segment)
        return sorted(found, key=lambda batch: (batch.segment, batch.start))


def about(folder: Path) -> dict[str, Any]:
    """What the spool's owner wrote about it, from the ledger where spool.json is damaged. ConfigError if there is no spool."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        known = msgspec.json.decode((folder / ABOUT).read_bytes())
        if isinstance(known, dict) and "uuid" in known:
            return known
    for record in reversed(ledger.read(folder / LEDGER)[0]):
        if isinstance(record, ledger.Opened):
            return {"uuid": record.uuid, **record.about}
    way_out = f"holds no spool (no spool/{ABOUT} in it)"
    if (folder / ABOUT).exists():
        way_out = f"its spool/{ABOUT} and spool/{LEDGER} are damaged"
    raise ConfigError("RUN_DIR", str(folder.parent), way_out)


def describe(folder: Path, what: dict[str, Any]) -> None:
    """Write spool.json, whole or not at all, power cuts included. OSError."""
    aside = folder / "spool.tmp"
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(what)))
    for path in (aside, folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if path == aside:
            aside.rename(folder / ABOUT)


def locked(folder: Path) -> int:
    """The lock of the log in ``folder``, as a file to be closed. ConfigError if another process has it."""
    handle = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        way_out = "another process is delivering its spool"
        raise ConfigError("RUN_DIR", str(folder.parent), way_out) from error
    return handle


def _introduce(folder: Path, what: dict[str, Any]) -> tuple[str, int]:
    """Write spool.json, keeping the name that the spool has: a batch id must never come twice for other
    items, nor other ids for the same. Return the name, and how many starts there were before.
    """
    known: dict[str, Any] = {}
    with contextlib.suppress(ConfigError):
        known = about(folder)
    name, starts = str(known.get("uuid") or uuid.uuid4().hex[:12]), int(known.get("starts", -1)) + 1
    describe(folder, {**what, "uuid": name, "starts": starts})
    return name, starts
