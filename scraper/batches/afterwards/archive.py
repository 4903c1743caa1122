"""I/O. Segments that are there already, as a log: nothing is appended, each stretch of them is a batch, and a ledger of
its own says which are stored.

The files are read where they lie and are never changed. The folder looks like a spool's (spool.json, ledger.jsonl, lock),
so whoever reads one can read the other; spool.json also names the files.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scraper.batches import ledger, left, spool
from scraper.batches.log import Batch
from scraper.errors import ConfigError


def describe(folder: Path, files: Sequence[Path], about: dict[str, Any]) -> None:
    """Write down the archive of ``files`` in ``folder``, as spool.json. OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    named = [str(path.absolute()) for path in files]
    spool.describe(folder, {"uuid": uuid.uuid4().hex[:12], **about, "files": named})


def files_of(folder: Path) -> list[Path]:
    """The files of the archive in ``folder``; none if it is a run's own spool. ConfigError if it is neither."""
    return [Path(name) for name in spool.about(folder).get("files", ())]


class Archive:
    """The log that `describe` wrote down in ``folder``; see `log.Log`. ConfigError if another process has it, or a file is gone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.torn_bytes = 0
        self._lock = spool.locked(folder)
        records, _ = ledger.read(folder / "ledger.jsonl")
        self._ledger = ledger.Ledger(folder / "ledger.jsonl")
        try:
            files = dict(enumerate(files_of(folder)))
            known = left.known(records)
            for number, path in files.items():
                if not path.exists():
                    raise ConfigError("SEGMENTS", str(path), f"is gone; {folder.parent} still needs it")
                for start, end, n in left.uncut(path, known[number], torn=False).batches:
                    self._ledger.write(cut := ledger.Cut(number, start, end, n))
                    records.append(cut)
            self.recovered = left.unsettled(records, str(spool.about(folder)["uuid"]), files)
        except BaseException:
            self.close()
            raise

    def append(self, payload: bytes) -> int:
        raise NotImplementedError("nothing is added to an archive")

    def cut(self) -> Batch | None:
        return None

    def settle(self, batch: Batch) -> None:
        self._ledger.write(ledger.Done(batch.segment, batch.start, batch.end))

    def attempt(self, batch: Batch, index: int, why: str) -> int:
        return self._ledger.attempt(batch, index, why)

    def quarantine(self, batch: Batch, index: int) -> None:
        self._ledger.quarantine(batch, index)

    def synced(self) -> Callable[[], None]:
        file = os.dup(self._ledger.fileno())

        def sync() -> None:
            try:
                os.fsync(file)
            finally:
                os.close(file)

        return sync

    def close(self) -> None:
        self._ledger.close()
        os.close(self._lock)
