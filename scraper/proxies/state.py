"""I/O. What was learnt about pools and sites, kept in one SQLite file between runs and shared by crawls at once.

Each crawl adds what it observed; nobody writes over what another one added. Counts are halved for every half-life that
passed, when they are added to and when they are read, and bounded, so that an old belief gives way to some new pages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from scraper.errors import ConfigError
from scraper.proxies.beliefs import HALF_LIFE_S, MEMORY, SITES_MAX, Row

CARRIED = 30.0  # observations of a pool at a site that a new run begins with at most: fewer pages than that turn it round
FORGET_AFTER = 30  # half-lives after which a row says nothing any more
BUSY_S = 5.0  # seconds to wait for another crawl that is writing

_COLUMNS = "kind, site, name, good, bad, page_bytes, block_bytes, at_s"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS beliefs (
    kind TEXT NOT NULL, site TEXT NOT NULL, name TEXT NOT NULL,
    good REAL NOT NULL, bad REAL NOT NULL, page_bytes REAL NOT NULL, block_bytes REAL NOT NULL,
    at_s REAL NOT NULL,
    PRIMARY KEY (kind, site, name)
) WITHOUT ROWID
"""


def open_file(path: Path) -> None:
    """Make the file if there is none. Raises ConfigError where it cannot be used."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(_connect(path)) as database, database:
            database.execute(_SCHEMA)
            database.execute(f"SELECT {_COLUMNS} FROM beliefs LIMIT 0")  # noqa: S608  # another table of that name
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> ConfigError:
    way_out = f'cannot be used: {error}; move it away, or set "none" to keep nothing'
    return ConfigError("PROXY_STATE_FILE", str(path), way_out)


def load(path: Path, wall_s: float, half_life_s: float = HALF_LIFE_S, site: str = "") -> list[Row]:
    """Return what is known, the latest last, discounted up to ``wall_s`` (Unix time); only of ``site``, where one is named."""
    query = f"SELECT {_COLUMNS} FROM beliefs"  # noqa: S608  # a constant
    query += " WHERE site IN (?, '')" if site else ""
    query += " ORDER BY at_s DESC LIMIT ?"
    rows = []
    try:
        with closing(_connect(path)) as database:
            database.execute(_SCHEMA)
            for kind, of, name, good, bad, page, block, at_s in database.execute(
                query, (site, 8 * SITES_MAX) if site else (8 * SITES_MAX,)
            ):
                factor = 0.5 ** (max(0.0, wall_s - at_s) / half_life_s)
                factor *= min(1.0, CARRIED / max(1e-9, (good + bad) * factor))
                counts = (good * factor, bad * factor, page, block)
                if all(0 <= count < float("inf") for count in counts):
                    rows.append(Row(kind, of, name, *counts))
    except (sqlite3.Error, TypeError) as error:
        raise _unusable(path, error) from error
    return rows[::-1]


def save(path: Path, news: Iterable[Row], wall_s: float, half_life_s: float = HALF_LIFE_S) -> None:
    """Add ``news`` to what is kept. Raises sqlite3.Error, and then nothing of it is kept."""
    with closing(_connect(path)) as database:
        database.execute(_SCHEMA)
        database.execute("BEGIN IMMEDIATE")
        try:
            for row in news:
                _add(database, row, wall_s, half_life_s)
            database.execute("DELETE FROM beliefs WHERE at_s < ?", (wall_s - FORGET_AFTER * half_life_s,))
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise


def _add(database: sqlite3.Connection, row: Row, wall_s: float, half_life_s: float) -> None:
    key = (row.kind, row.site, row.name)
    found = database.execute(
        "SELECT good, bad, page_bytes, block_bytes, at_s FROM beliefs WHERE kind = ? AND site = ? AND name = ?",
        key,
    ).fetchone()
    good, bad, page, block, at_s = found or (0.0, 0.0, 0.0, 0.0, wall_s)
    kept = 0.5 ** (max(0.0, wall_s - at_s) / half_life_s)
    good, bad = good * kept + row.good, bad * kept + row.bad
    shrink = min(1.0, MEMORY / max(1e-9, good + bad))
    page = _mean(page, good - row.good, row.page_bytes, row.good)
    block = _mean(block, bad - row.bad, row.block_bytes, row.bad)
    database.execute(
        "INSERT OR REPLACE INTO beliefs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*key, good * shrink, bad * shrink, page, block, max(wall_s, at_s)),
    )


def _mean(old: float, old_n: float, new: float, new_n: float) -> float:
    if not new or not old:
        return new or old
    return (old * old_n + new * new_n) / max(1e-9, old_n + new_n)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        database.close()
        raise
    return database
