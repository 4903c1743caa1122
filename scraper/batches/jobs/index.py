"""I/O. The file of what was seen: one SQLite database that all workers of a run, and of later runs, share.

SQLite is its one owner: a batch is judged in one transaction, which takes a millisecond. An entry is made before the sink has the
row, and it says of which spool it is and whether the row has been stored since:

- **A batch that is delivered again** finds its own entries: they carry the row's ``owner``, a hash of its key and of the
  moment it was scraped, which no other delivery has, whatever batch it comes in. So no row is its own duplicate. A page
  that was fetched again after a kill has another owner: its rows are duplicates.
- **An entry of another spool that was not stored** (its run failed and was thrown away, or its row became a dead letter)
  counts for nothing: whoever comes next takes it over. An entry of the same spool does count, since its row is on its way.

A power cut may cost the last entries, then a row is kept twice; none is ever dropped for a row that nobody has.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from scraper.batches.steps import BatchStep, Place, Row
from scraper.errors import ConfigError

_WAIT_S = 30.0  # for the other workers; a batch takes them a few milliseconds


class Index(BatchStep):
    """``path`` empty: ``<name>.sqlite`` in the folder of the run, so that only this run counts. ``about``: what the entries depend
    on; a file made with other values is refused.
    """

    name: str
    tables: str  # CREATE TABLE IF NOT EXISTS ...

    def __init__(self, place: Place, path: str, about: dict[str, Any]) -> None:
        self._path = Path(path or Path(place.run_dir) / f"{self.name}.sqlite").absolute()
        self._about = msgspec.json.encode({"step": self.name, **about}, order="sorted").decode()
        self._looks: Mapping[int, Any] = {}

    def prepare(self) -> None:
        """Make the file, or look whether it fits; only the crawler does: two that switch to WAL at once lock each other out."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(self._connected()) as db:
                db.execute("PRAGMA journal_mode = WAL")
                db.executescript(f"CREATE TABLE IF NOT EXISTS about (text TEXT NOT NULL); {self.tables}")
                db.execute(
                    "INSERT INTO about SELECT ? WHERE NOT EXISTS (SELECT * FROM about)", (self._about,)
                )
                found = db.execute("SELECT text FROM about").fetchone()[0]
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(
                "BATCH_STEPS", str(self._path), f"{self.name}: cannot be its index: {error}"
            ) from error
        if found != self._about:
            wrong = f"{self.name}: its entries were made with {found}, now it would be {self._about}; name another file"
            raise ConfigError("BATCH_STEPS", str(self._path), wrong)

    def open(self) -> None:
        self._db = self._connected()

    def close(self) -> None:
        self._db.close()

    def judge(self, batch: str, looks: Mapping[int, Any]) -> dict[int, str]:
        self._looks = looks
        with self._transaction():
            return self.sorted_out(batch.partition("-")[0], looks)

    def stored(self, batch: str, kept: Collection[int]) -> None:
        with self._transaction():
            for index in kept:
                self.confirm(self._looks[index])

    def sorted_out(self, spool: str, looks: Mapping[int, Any]) -> dict[int, str]:
        """Inside a transaction: the rows to drop; entries are made for the others."""
        raise NotImplementedError

    def confirm(self, look: Any) -> None:
        """Inside a transaction: the row of this look is in the sink."""
        raise NotImplementedError

    def _connected(self) -> sqlite3.Connection:
        # Without workers the crawler's thread opens it and another one works with it, one at a time.
        db = sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA synchronous = NORMAL")
        return db

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.rollback()
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise OSError(f"index {self._path}: {error}") from error


def owner_of(row: Row) -> bytes:
    """Which delivery the row is, in 8 bytes."""
    return xxhash.xxh3_64_digest(f"{row.get('_key')} {row.get('_scraped_at')}".encode())
