"""I/O. How a run's storage stands: what waits, what is damaged, what went to the dead letters, who is at it.

Reading takes no lock and changes no byte, so it may be done while the run goes on; then the figures are those of a moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from scraper.batches import dead_letters, ledger, left, segments, spool, wire
from scraper.batches.afterwards import archive
from scraper.batches.log import Batch

REPLAYS = "replays"  # folder in that of a run: one folder for each round of replay.py
SPOOL = "spool"
LETTERS = (
    "letters.json"  # in the folder of a round: the ids of the letters that it took, written before it counts
)


@dataclass(slots=True)
class Standing:
    """One run. ``waiting`` counts items in its spool, ``replaying`` those of replays that did not end. ``letters``: dead letters that
    no replay took, by step; ``unreplayable`` of them hold no payload. ``holder``: process that delivers it now, 0 for none.
    """

    run: str
    folder: Path
    waiting: int = 0
    waiting_bytes: int = 0
    batches: int = 0
    oldest: datetime | None = None
    damaged: int = 0
    quarantined: int = 0
    replaying: int = 0
    replaying_bytes: int = 0
    letters: Counter[str] = field(default_factory=Counter)
    unreplayable: int = 0
    holder: int = 0
    kept_segments: int = 0
    kept_bytes: int = 0

    @property
    def is_done(self) -> bool:
        """Nothing waits and nothing went wrong."""
        return not (self.waiting or self.replaying or self.letters)


@dataclass(frozen=True, slots=True)
class Item:
    """One item that waits. ``row`` None: it is damaged. ``attempts``: workers that died over it."""

    batch: str
    index: int
    size: int
    row: dict[str, Any] | None
    attempts: int
    quarantined: bool


def of(run_dir: Path) -> Standing:
    """Everything about the run in ``run_dir``. OSError if it cannot be read."""
    found = Standing(run_dir.name, run_dir)
    is_archive = False
    if (run_dir / SPOOL / "spool.json").exists():
        found.holder = holder(run_dir / SPOOL)
        is_archive = bool(archive.files_of(run_dir / SPOOL))
        for batch in waiting(run_dir / SPOOL):
            found.batches += 1
            found.waiting += batch.n - len(batch.skip)
            found.waiting_bytes += batch.size
            found.quarantined += len(batch.skip)
            if found.oldest is None or not is_archive:  # an archive is too big to be read for a look
                payloads = segments.read_batch(batch.path, batch.start, batch.end, batch.n)
                found.damaged += payloads.count(None)
                found.oldest = found.oldest or _scraped_at(payloads)
    for round_dir in rounds(run_dir):
        for batch in waiting(round_dir):
            found.replaying += batch.n - len(batch.skip)
            found.replaying_bytes += batch.size
    for letter in letters(run_dir):
        found.letters[letter.step] += 1
        found.unreplayable += letter.payload is None
    kept = list((run_dir / spool.KEPT).glob("seg-*.log"))
    found.kept_segments, found.kept_bytes = len(kept), sum(path.stat().st_size for path in kept)
    return found


def waiting(folder: Path) -> list[Batch]:
    """What waits in the log in ``folder``, a spool or an archive. A batch that nobody has made yet has the id ""."""
    records, _ = ledger.read(folder / "ledger.jsonl")
    files = archive.files_of(folder)
    paths = dict(enumerate(files)) if files else left.segments_of(folder, records)
    found = left.unsettled(records, str(spool.about(folder)["uuid"]), paths)
    known = left.known(records)
    for segment, path in paths.items():
        try:
            uncut = left.uncut(path, known[segment], torn=not files).batches
        except FileNotFoundError:  # released since we looked, or lost: then its batches tell
            continue
        found += [Batch("", str(path), segment, start, end, n) for start, end, n in uncut]
    return sorted(found, key=lambda batch: (batch.segment, batch.start))


def items(batch: Batch) -> Iterator[Item]:
    """The items of a batch that waits."""
    for index, payload in enumerate(segments.read_batch(batch.path, batch.start, batch.end, batch.n)):
        size = len(payload) if payload is not None else 0
        yield Item(batch.id, index, size, _row(payload), batch.attempts[index], index in batch.skip)


def letters(run_dir: Path) -> Iterator[dead_letters.Letter]:
    """The run's dead letters that no replay took."""
    taken = {
        id for round_dir in rounds(run_dir) for id in msgspec.json.decode((round_dir / LETTERS).read_bytes())
    }
    return (letter for letter in dead_letters.read(run_dir) if letter.id not in taken)


def rounds(run_dir: Path) -> list[Path]:
    """The folders of the run's replays, the first one first."""
    return sorted(path for path in (run_dir / REPLAYS).glob("[0-9]*") if (path / LETTERS).exists())


def holder(folder: Path) -> int:
    """Id of the process that holds the lock of the log in ``folder``; 0 if none does, or the system does not tell (not Linux)."""
    try:
        lock = (folder / "lock").stat()
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:  # 1: FLOCK  ADVISORY  WRITE 4711 fe:01:131077 0 EOF
        words = line.split()
        if "FLOCK" in words and words[-3].rpartition(":")[2] == str(lock.st_ino):
            pid = int(words[-4])
            if _has_open(pid, lock.st_dev, lock.st_ino):
                return pid
    return 0


def _has_open(pid: int, device: int, inode: int) -> bool:
    """Whether that is the file: two disks may have the same number. Yes, if we may not look."""
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found = link.stat()
            except OSError:
                continue
            if (found.st_dev, found.st_ino) == (device, inode):
                return True
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _row(payload: bytes | None) -> dict[str, Any] | None:
    try:
        return wire.decode_row(payload) if payload is not None else None
    except msgspec.DecodeError:
        return None


def _scraped_at(payloads: list[bytes | None]) -> datetime | None:
    for payload in payloads:
        if payload is not None:
            found = (_row(payload) or {}).get("_scraped_at")
            return found if isinstance(found, datetime) else None
    return None
