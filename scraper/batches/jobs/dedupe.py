"""I/O. Steps that drop what was seen before, in this run or, with an ``index`` of their own, in any run that used it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import xxhash

from scraper.batches.jobs import near
from scraper.batches.jobs.index import Index, owner_of
from scraper.batches.jobs.tidy import fed
from scraper.batches.steps import DUPLICATE, Place, Row, need
from scraper.errors import ConfigError

NEAR_DUPLICATE = "near_duplicate"
_COMPARED = 500  # texts at most for one: where all pages share half their words, thousands would meet


class DedupeExact(Index):
    """Drops rows whose ``fields``, by default all but our own, hold what those of an earlier row held. ``index``: a file that
    outlives the run; empty: only this run counts.
    """

    name = "dedupe_exact"
    tables = (
        "CREATE TABLE IF NOT EXISTS seen (hash BLOB PRIMARY KEY, owner BLOB NOT NULL, spool TEXT NOT NULL,"
        " stored INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID"
    )

    def __init__(self, place: Place, *, fields: Iterable[str] = (), index: str = "") -> None:
        self._fields = sorted(fields)
        super().__init__(place, index, {"fields": self._fields})

    def look(self, row: Row) -> tuple[bytes, bytes]:
        """(owner, hash)"""
        names = self._fields or sorted(name for name in row if name[0:1] != "_")
        return owner_of(row), fed(xxhash.xxh3_128(), row, names).digest()

    def sorted_out(self, spool: str, looks: Mapping[int, tuple[bytes, bytes]]) -> dict[int, str]:
        dropped = {}
        for index, (owner, content) in looks.items():
            found = self._db.execute(
                "SELECT owner, spool, stored FROM seen WHERE hash = ?", (content,)
            ).fetchone()
            if found and found[0] != owner and (found[1] == spool or found[2]):
                dropped[index] = DUPLICATE
            elif not found or found[0] != owner:
                self._db.execute("REPLACE INTO seen VALUES (?, ?, ?, 0)", (content, owner, spool))
        return dropped

    def confirm(self, look: tuple[bytes, bytes]) -> None:
        self._db.execute("UPDATE seen SET stored = 1 WHERE hash = ? AND owner = ?", (look[1], look[0]))


class DedupeNear(Index):
    """Drops rows whose text is nearly that of an earlier row: at least the share ``threshold`` of their runs of four words is the
    same. ``source``: the text is in the first of these fields that the row has; one of fewer than ``least_words`` words is never
    dropped. ``index``: as with dedupe_exact.
    """

    name = "dedupe_near"
    tables = (
        "CREATE TABLE IF NOT EXISTS doc (n INTEGER PRIMARY KEY, owner BLOB NOT NULL UNIQUE, spool TEXT NOT NULL,"
        " stored INTEGER NOT NULL DEFAULT 0, signature BLOB NOT NULL);"
        "CREATE TABLE IF NOT EXISTS band (hash INTEGER, doc INTEGER, PRIMARY KEY (hash, doc)) WITHOUT ROWID"
    )

    def __init__(
        self,
        place: Place,
        *,
        source: Iterable[str] = ("main_text", "text", "description"),
        threshold: float = 0.9,
        least_words: int = 30,
        index: str = "",
    ) -> None:
        if not near.LEAST_THRESHOLD <= threshold <= 1:
            least = near.LEAST_THRESHOLD
            raise ConfigError("BATCH_STEPS", threshold, f"dedupe_near: threshold is a share, {least} to 1")
        self._source, self._threshold = tuple(source), threshold
        self._least_words = max(least_words, near.SHINGLE)
        self.preload = need("dedupe_near", "rensa", "near")
        from rensa import RMinHash  # 1 ms

        self._signature = RMinHash
        super().__init__(
            place, index, {"minhash": RMinHash.ALGORITHM_VERSION, "values": near.VALUES, "bands": near.BANDS}
        )

    def look(self, row: Row) -> tuple[bytes, bytes | None]:
        """(owner, signature, None if the row has no text to compare)"""
        text = next((row[name] for name in self._source if row.get(name)), "")
        words = near.words_of(text) if isinstance(text, str) else []
        if len(words) < self._least_words:
            return owner_of(row), None
        made = self._signature(num_perm=near.VALUES, seed=1)
        made.update(near.shingles(words))
        return owner_of(row), near.signature_of(made.digest())

    def sorted_out(self, spool: str, looks: Mapping[int, tuple[bytes, bytes | None]]) -> dict[int, str]:
        dropped = {}
        for index, (owner, signature) in looks.items():
            if (
                signature is None
                or self._db.execute("SELECT 1 FROM doc WHERE owner = ?", (owner,)).fetchone()
            ):
                continue
            if self._is_known(spool, signature):
                dropped[index] = NEAR_DUPLICATE
            else:
                made = self._db.execute(
                    "INSERT INTO doc (owner, spool, signature) VALUES (?, ?, ?)", (owner, spool, signature)
                )
                entries = [(band, made.lastrowid) for band in near.bands(signature)]
                self._db.executemany("INSERT INTO band VALUES (?, ?)", entries)
        return dropped

    def confirm(self, look: tuple[bytes, bytes | None]) -> None:
        self._db.execute("UPDATE doc SET stored = 1 WHERE owner = ?", (look[0],))

    def _is_known(self, spool: str, signature: bytes) -> bool:
        for number, other, its_spool, is_stored in self._met(signature):
            if near.likeness(signature, other) >= self._threshold:
                if its_spool == spool or is_stored:
                    return True
                self._db.executemany(
                    "DELETE FROM band WHERE hash = ? AND doc = ?",
                    [(band, number) for band in near.bands(other)],
                )
                self._db.execute("DELETE FROM doc WHERE n = ?", (number,))
        return False

    def _met(self, signature: bytes) -> list[tuple[int, bytes, str, int]]:
        """The entries that share a band, oldest first in each."""
        numbers: dict[int, None] = {}
        for band in near.bands(signature):
            left = _COMPARED - len(numbers)
            found = self._db.execute("SELECT doc FROM band WHERE hash = ? LIMIT ?", (band, left))
            numbers.update(dict.fromkeys(number for (number,) in found))
        query = "SELECT n, signature, spool, stored FROM doc WHERE n = ?"
        return [self._db.execute(query, (number,)).fetchone() for number in numbers]
