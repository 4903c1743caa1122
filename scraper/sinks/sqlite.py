"""I/O. SQLite: one file, one table; a batch's rows and its id in one transaction.

Columns have no declared type: each value is stored by its own (see `_value`), so nothing is converted when a field
drifts. Several workers write in turn. Not for a folder on a network: WAL needs shared memory.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scraper.errors import ConfigError, SinkError
from scraper.sinks import columns, tables
from scraper.sinks.contract import Row

BUSY_S = 30.0  # wait for other writers; a commit of 1 MB takes about 10 ms
_SYNCHRONOUS = ("FULL", "NORMAL", "EXTRA")
_NAMES = tables.Names(max_bytes=200, ignores_case=True)
_AS_IS = {str, bytes, float, bool, type(None)}  # NaN becomes NULL: SQLite has none


class SqliteSink:
    """Rows in the table ``table`` of ``file`` (in ``out_dir`` unless absolute).

    ``key``: fields; of rows with the same key the table keeps the one scraped last. For a table that several runs share, with
    an absolute ``file``. ``synchronous``: FULL survives a power cut; NORMAL may then lose the last batches.
    """

    name = "sqlite"
    preload: tuple[str, ...] = ()

    def __init__(
        self,
        out_dir: str,
        *,
        file: str = "records.sqlite",
        table: str = "records",
        key: tuple[str, ...] = (),
        synchronous: str = "FULL",
    ) -> None:
        if not _NAMES.takes(table) or table.startswith("sqlite_"):
            raise ConfigError("SINK", table, "sqlite: table must be the name of a table")
        if synchronous.upper() not in _SYNCHRONOUS:
            raise ConfigError("SINK", synchronous, f"sqlite: synchronous is one of {', '.join(_SYNCHRONOUS)}")
        self._path = Path(out_dir) / file
        self.folder = str(self._path.parent)
        self._key = tables.checked_key(self.name, key, _NAMES)
        self._table, self._batches = _quoted(table), _quoted(f"{table}_batches")
        self._index = _quoted("_".join((table, "key", *self._key)))
        self._synchronous = synchronous.upper()
        self._connection: sqlite3.Connection | None = None

    def prepare(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        key = "".join(f"{_quoted(name)} TEXT, " for name in self._key)
        with self._transaction("(none yet)") as connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS {self._table} ({key}{_quoted(tables.REST)})")
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {self._batches} (id TEXT PRIMARY KEY, rows INTEGER) WITHOUT ROWID"
            )
            missing = [name for name in (*self._key, tables.REST) if name not in self._columns(connection)]
            self._add(connection, missing)
            if self._key:
                listed = ", ".join(map(_quoted, self._key))
                connection.execute(
                    f"CREATE UNIQUE INDEX IF NOT EXISTS {self._index} ON {self._table} ({listed})"
                )

    def commit(self, batch_id: str, rows: list[Row]) -> None:
        with self._transaction(batch_id) as connection:
            added = connection.execute(
                f"INSERT INTO {self._batches} VALUES (?, ?) ON CONFLICT DO NOTHING",  # noqa: S608  # names are quoted, values are parameters
                (batch_id, len(rows)),
            )
            if added.rowcount:
                have = self._columns(connection)
                own, new = tables.place(tables.with_values(rows), have, _NAMES)
                self._add(connection, new)
                self._insert(connection, rows, own + new, have + new)

    def finish(self) -> None:
        """Bring the file up to date, so that it alone can be copied."""
        with self._errors("(finish)"):
            self._open().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _insert(
        self, connection: sqlite3.Connection, rows: list[Row], own: list[str], have: list[str]
    ) -> None:
        names = [*own, tables.REST]
        statement = (
            f"INSERT INTO {self._table} ({', '.join(map(_quoted, names))}) "  # noqa: S608  # quoted names
            f"VALUES ({', '.join('?' * len(names))}){self._on_conflict(have)}"
        )
        mine, key = set(own), set(self._key)

        def values(row: Row) -> list[Any]:
            found = [columns.text(row.get(name)) if name in key else _value(row.get(name)) for name in own]
            left = {name: value for name, value in row.items() if name not in mine and value is not None}
            return [*found, tables.rest(left)]

        connection.executemany(statement, map(values, rows))

    def _on_conflict(self, have: list[str]) -> str:
        """A row replaces the older one of its key whole, also in the fields that it lacks."""
        if not self._key:
            return ""
        changed = ", ".join(
            f"{_quoted(name)} = excluded.{_quoted(name)}" for name in have if name not in self._key
        )
        clause = f" ON CONFLICT ({', '.join(map(_quoted, self._key))}) DO UPDATE SET {changed}"
        if tables.SCRAPED_AT in have:  # batches arrive in any order
            at = _quoted(tables.SCRAPED_AT)
            clause += f" WHERE (excluded.{at} >= {self._table}.{at}) IS NOT FALSE"
        return clause

    def _columns(self, connection: sqlite3.Connection) -> list[str]:
        return [name for _, name, *_ in connection.execute(f"PRAGMA table_info({self._table})")]

    def _add(self, connection: sqlite3.Connection, names: list[str]) -> None:
        for name in names:
            connection.execute(f"ALTER TABLE {self._table} ADD COLUMN {_quoted(name)}")

    @contextlib.contextmanager
    def _transaction(self, batch: str) -> Iterator[sqlite3.Connection]:
        """All or nothing. SinkError; what a step made of a row raises as it is."""
        with self._errors(batch):
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                self.close()  # rolls back, whatever state a full disk left it in
                raise

    @contextlib.contextmanager
    def _errors(self, batch: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise SinkError(self.name, batch, f"{self._path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            # The crawl's own thread closes what another one of it opened (BATCH_WORKERS=0), never at once.
            connection = sqlite3.connect(self._path, BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _value(value: Any) -> Any:
    """As SQLite can hold it: int, float, text and bytes are themselves, a bool is 0 or 1, a moment ISO text in UTC of one
    length (it sorts), and lists, dicts and all else are JSON text; so are integers beyond 64 bits.
    """
    if type(value) in _AS_IS:
        return value
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, datetime) and value.tzinfo is not None:
        with contextlib.suppress(OverflowError):  # at the edge of the calendar
            return value.astimezone(UTC).isoformat(timespec="microseconds")
    return columns.text(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
