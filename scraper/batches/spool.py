"""I/O. The log on disk that is the transport: items are appended, batches are ranges, workers read them.

`append` is one write per item, so an item is safe from the death of any process when it returns; from a power cut when
a call that `synced` gives has returned after it. A record is magic, length, xxh3 of the payload, payload: reading finds
the next whole record after a damaged one. Segments are allocated in steps ahead of the writing, so a kill leaves zeros at
the end, which are no record. One process owns a spool (flock); the folder lives as long as the run's folder and starts
where it ended.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from scraper.batches import ledger
from scraper.batches.batcher import Limits
from scraper.batches.log import Batch
from scraper.errors import ConfigError

# A segment goes when all its batches are stored: disk is given back in these steps.
SEGMENT_BYTES = 64 << 20
# Zeros written ahead in one piece: the kernel makes large pages of it, and an item of 10 kB that is written over them costs
# 5 us, where it costs 9 in a file that grows, or in room from fallocate, which has no pages yet.
ALLOCATE_BYTES = 256 << 10
_ZEROS = bytes(ALLOCATE_BYTES)
KEPT = "segments"  # folder beside the spool's, for segments that are kept when they are not needed any more
_MAGIC = b"\xd7SP1"
_HEADER = struct.Struct("<4sIQ")
_datasync = getattr(os, "fdatasync", os.fsync)


class Spool:
    """The spool in ``folder``, made or taken over. ``recovered`` is what an earlier owner left; ``torn_bytes`` of it
    were a record that its death cut short. ``about`` is kept in spool.json for whoever delivers the rest.
    ``sync``: somebody runs what `synced` gives from time to time; ``keep``: settled segments are moved into the folder KEPT.
    ConfigError if another process owns it, OSError if it cannot be written.
    """

    def __init__(
        self, folder: Path, limits: Limits, about: dict[str, Any], segment_bytes: int = SEGMENT_BYTES,
        *, sync: bool = False, keep: bool = False,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._segment_bytes = segment_bytes
        self._sync, self._keep = sync, keep
        self._lock = _locked(folder)
        self._uuid = _introduce(folder / "spool.json", about)
        self.torn_bytes = 0
        self.recovered: list[Batch] = []
        self._unsettled: dict[int, set[int]] = defaultdict(set)  # segment -> starts of batches not stored
        records, self.damaged_records = ledger.read(folder / "ledger.jsonl")
        self._ledger = ledger.Ledger(folder / "ledger.jsonl")
        self._segment = 1 + max((record.segment for record in records), default=-1)
        self._full: list[int] = []  # files of full segments, to be synced once more and closed
        self._unneeded: list[Path] = []  # segments to remove, once the ledger's word for it is synced
        self._recover(records, limits)
        self._file = -1
        self._allocated = 0
        self._start = self._end = self._n = 0  # the open batch, in the current segment

    def append(self, payload: bytes) -> int:
        """Add one item; return its bytes on disk. OSError if the disk is full: then nothing was added."""
        if self._file < 0:
            self._file = os.open(self._path(self._segment), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        size = _HEADER.size + len(payload)
        if self._end + size > self._allocated and size < ALLOCATE_BYTES:
            self._allocate()
        header = _HEADER.pack(_MAGIC, len(payload), xxhash.xxh3_64_intdigest(payload))
        try:
            if os.pwritev(self._file, (header, payload), self._end) != size:
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
        """A worker died over the item; return how many have by now, over all starts."""
        self._ledger.write(ledger.Attempt(batch.segment, batch.start, index, why))
        batch.attempts[index] += 1
        return batch.attempts[index]

    def quarantine(self, batch: Batch, index: int) -> None:
        """The item is a dead letter (write that first): the batch goes on without it."""
        self._ledger.write(ledger.Quarantined(batch.segment, batch.start, index))
        batch.skip.append(index)

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
        return self._batch(segment, start, end, n)

    def _batch(self, segment: int, start: int, end: int, n: int) -> Batch:
        self._unsettled[segment].add(start)
        # n: should a power cut take the ledger's word, other batches are made of the same items, under other names.
        name = f"{self._uuid}-{segment:06d}-{start:010d}-{n}"
        return Batch(name, str(self._path(segment)), segment, start, end, n)

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

    def _recover(self, records: list[ledger.Record], limits: Limits) -> None:
        released = {r.segment for r in records if isinstance(r, ledger.Released)}
        done = {(r.segment, r.start): r for r in records if isinstance(r, ledger.Done)}
        cuts = {
            (r.segment, r.start): r for r in records if isinstance(r, ledger.Cut) if r.segment not in released
        }
        paths = {int(path.stem[4:]): path for path in self.folder.glob("seg-*.log")}
        self._segment = max([self._segment, *(number + 1 for number in paths)])
        for place, cut in cuts.items():
            if place not in done:
                self.recovered.append(self._batch(cut.segment, cut.start, cut.end, cut.n))
        for segment, path in sorted(paths.items()):
            if segment not in released:
                known = [(r.start, r.end) for r in cuts.values() if r.segment == segment]
                known += [(r.start, r.end) for r in done.values() if r.segment == segment]
                self.recovered += self._uncut(segment, path, sorted(known), limits)
            self._release(segment)
        known_batches = {(batch.segment, batch.start): batch for batch in self.recovered}
        for record in records:
            if isinstance(record, (ledger.Attempt, ledger.Quarantined)):
                batch = known_batches.get((record.segment, record.start))
                if batch and isinstance(record, ledger.Attempt):
                    batch.attempts[record.index] += 1
                elif batch:
                    batch.skip.append(record.index)

    def _uncut(
        self, segment: int, path: Path, known: list[tuple[int, int]], limits: Limits
    ) -> Iterator[Batch]:
        """Batches of the items that no record speaks of: those of the last half second before the owner died."""
        size = path.stat().st_size
        begin = 0
        for start, end in (*known, (size, size)):
            if begin < start:
                yield from self._cut_again(segment, path, begin, start, start == size, limits)
            begin = max(begin, end)

    def _cut_again(
        self, segment: int, path: Path, begin: int, end: int, is_tail: bool, limits: Limits
    ) -> Iterator[Batch]:
        data = _read(path, begin, end)
        found = list(_records(data))
        if is_tail and found and found[-1][1] is None:  # the record that the owner was writing, or just zeros
            whole = found[-2][0] if len(found) > 1 else 0
            self.torn_bytes += len(data[whole:].rstrip(b"\0"))
            os.truncate(path, begin + whole)
            found.pop()
        start, n, position = begin, 0, begin
        for offset, _payload in found:
            n, position = n + 1, begin + offset
            if n >= limits.items or position - start >= limits.size:
                yield self._cut(segment, start, position, n)
                start, n = position, 0
        if n:
            yield self._cut(segment, start, position, n)


def read_batch(path: str, start: int, end: int, n: int) -> list[bytes | None]:
    """The ``n`` payloads of a batch, None for each that is damaged or gone. OSError if the disk does not
    answer.
    """
    try:
        payloads = [payload for _end, payload in _records(_read(Path(path), start, end))]
    except FileNotFoundError:
        payloads = []
    return payloads[:n] + [None] * (n - len(payloads))


def about(folder: Path) -> dict[str, Any]:
    """What the spool's owner wrote about it. ConfigError if there is no spool."""
    try:
        known: dict[str, Any] = msgspec.json.decode((folder / "spool.json").read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(
            "RUN_DIR", str(folder.parent), "holds no spool (no spool/spool.json in it)"
        ) from error
    return known


def _locked(folder: Path) -> int:
    handle = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        way_out = "another process is delivering its spool"
        raise ConfigError("RUN_DIR", str(folder.parent), way_out) from error
    return handle


def _introduce(path: Path, what: dict[str, Any]) -> str:
    """Write spool.json, keeping the name that the spool has: a batch id must never come twice for other
    items.
    """
    name = about(path.parent)["uuid"] if path.exists() else uuid.uuid4().hex[:12]
    aside = path.with_suffix(".tmp")
    aside.write_bytes(msgspec.json.format(msgspec.json.encode({"uuid": name, **what})))
    aside.rename(path)
    return str(name)


def _read(path: Path, start: int, end: int) -> bytes:
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.pread(handle, end - start, start)
    finally:
        os.close(handle)


def _records(data: bytes) -> Iterator[tuple[int, bytes | None]]:
    """(end, payload) of each record in ``data``; one (end, None) for each damaged stretch."""
    position = 0
    while position < len(data):
        payload = _record_at(data, position)
        if payload is not None:
            position += _HEADER.size + len(payload)
        else:
            position = data.find(_MAGIC, position + 1)
            while position >= 0 and _record_at(data, position) is None:
                position = data.find(_MAGIC, position + 1)
            position = position if position >= 0 else len(data)
        yield position, payload


def _record_at(data: bytes, position: int) -> bytes | None:
    if position + _HEADER.size > len(data):
        return None
    magic, length, checksum = _HEADER.unpack_from(data, position)
    payload = data[position + _HEADER.size : position + _HEADER.size + length]
    whole = magic == _MAGIC and len(payload) == length and xxhash.xxh3_64_intdigest(payload) == checksum
    return payload if whole else None
