"""I/O. PostgreSQL: one table; a batch's rows (binary COPY) and its id in one transaction.

Columns come with the fields (postgres_values.py says of which type). A column is added in a transaction of its own, before
that of the batch, which then holds off further changes: binary rows must fit to the bit.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scraper.errors import ConfigError, SinkError
from scraper.sinks import postgres_values as values
from scraper.sinks import tables
from scraper.sinks.contract import Row

if TYPE_CHECKING:  # 0.1 s: only workers and `prepare` import it
    import psycopg

CONNECTION = {  # unless the URL says otherwise; a server that is gone is noticed within 30 s, not after two hours
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",  # ms
    "application_name": "scraper",
}
LOCK_MS = 20_000  # wait for who holds the table, e.g. a worker that adds a column; then the batch comes again
_LOCK = 0x5C2A_9E27  # of those who make tables or columns: one at a time in a database
# A COMMIT that returns is durable, whatever the server's default is; texts are compressed with lz4 where the server has it:
# half the work of a commit.
_SESSION = """
    SELECT set_config(name, CASE name WHEN 'synchronous_commit' THEN 'on' ELSE 'lz4' END, false) FROM pg_settings
    WHERE (name = 'synchronous_commit' AND setting = 'off')
       OR (name = 'default_toast_compression' AND 'lz4' = ANY (enumvals))
"""
_COLUMNS = (
    "attname, format_type(atttypid, atttypmod) FROM pg_attribute "
    "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
)


class _Alter(Exception):
    """Columns must get these types before the batch fits: name -> type."""

    def __init__(self, types: dict[str, str]) -> None:
        super().__init__(types)
        self.types = types


class PostgresSink:
    """Rows in ``table`` ("records", "schema.records"), made if it is not there.

    ``url``: "env:STORE_URL" for postgresql://user:password@host/database; empty: libpq's own variables (PGHOST, PGPASSWORD...).
    ``key``: fields, stored as text; of rows with the same key the table keeps the one scraped last.
    """

    name = "postgres"
    preload = ("psycopg",)
    folder = ""

    def __init__(
        self, out_dir: str, *, url: str = "", table: str = "records", key: tuple[str, ...] = ()
    ) -> None:
        if importlib.util.find_spec("psycopg") is None:
            raise ConfigError("SINK", self.name, 'needs psycopg: pip install "scraper[postgres]"')
        parts = table.split(".")
        if len(parts) > 2 or not all(map(values.NAMES.takes, parts)) or len(parts[-1].encode()) > 50:
            raise ConfigError("SINK", table, "postgres: table must be a name, or schema.name")
        self._url = url
        self._schema = "".join(f"{_quoted(part)}." for part in parts[:-1])
        self._table = f"{self._schema}{_quoted(parts[-1])}"
        self._batches = f"{self._schema}{_quoted(f'{parts[-1]}_batches')}"
        self._key = tables.checked_key(self.name, key, values.NAMES)
        self._refused: set[str] = set()  # fields whose column we may not add or widen
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def prepare(self) -> None:
        """Make the tables. ConfigError if the database, or a table that is there, cannot be used."""
        with self._errors("(none yet)"):
            connection = self._open()
            ((encoding,),) = connection.execute("SELECT current_setting('server_encoding')").fetchall()
            if encoding != "UTF8":
                raise ConfigError(
                    "SINK", self.name, f"the database is in {encoding}: make one with ENCODING 'UTF8'"
                )
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                self._make(
                    connection,
                    self._batches,
                    "id text PRIMARY KEY, rows bigint, at timestamptz DEFAULT now()",
                )
                ours = {**dict.fromkeys(self._key, values.TEXT), tables.REST: values.JSON}
                self._make(
                    connection,
                    self._table,
                    ", ".join(f"{_quoted(name)} {type_}" for name, type_ in ours.items()),
                )
                have = self._columns(connection)
                for name, type_ in ours.items():
                    if name not in have:
                        connection.execute(f"ALTER TABLE {self._table} ADD COLUMN {_quoted(name)} {type_}")
                    elif have[name] != type_:
                        way_out = (
                            f"postgres: {name} is {have[name]} there, must be {type_}: name another table"
                        )
                        raise ConfigError("SINK", self._table, way_out)
                if self._key:
                    words = ".".join((self._table, *self._key)).encode()
                    index = f"key_{hashlib.sha256(words).hexdigest()[:16]}"
                    if not self._exists(connection, f"{self._schema}{index}"):
                        connection.execute(
                            f"CREATE UNIQUE INDEX {index} ON {self._table} ({_listed(self._key)})"
                        )

    def commit(self, batch_id: str, rows: list[Row]) -> None:
        import psycopg

        with self._errors(batch_id):
            reused = self._connection is not None
            try:
                self._store(batch_id, rows)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                self.close()
                if not reused:
                    raise
                self._store(batch_id, rows)  # the server was started again since the last batch

    def finish(self) -> None:
        pass

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _store(self, batch_id: str, rows: list[Row]) -> None:
        while True:
            connection = self._open()
            try:
                # From here on no column changes. In one message: round trips are a tenth of a commit.
                connection.execute(f"BEGIN; LOCK TABLE {self._table} IN ROW EXCLUSIVE MODE")
                self._insert(connection, batch_id, rows)
                connection.commit()
                return
            except _Alter as needed:
                connection.rollback()
                self._alter(connection, needed.types)

    def _insert(self, connection: psycopg.Connection[Any], batch_id: str, rows: list[Row]) -> None:
        found = connection.execute(
            f"WITH added AS (INSERT INTO {self._batches.replace('%', '%%')} VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING 1) "  # noqa: S608  # names are quoted, values are parameters
            f"SELECT {_COLUMNS} AND EXISTS (SELECT FROM added)",
            (batch_id, len(rows), self._table),
        )
        have = dict(found.fetchall())
        if not have:  # the batch is stored already
            return
        own, new = tables.place(tables.with_values(rows), have, values.NAMES)
        own = [name for name in own if have[name] in values.FITS]
        types = values.changes(rows, own, new, have)
        if wanted := {name: type_ for name, type_ in types.items() if name not in self._refused}:
            raise _Alter(wanted)
        if not self._key:
            self._copy(connection, self._table, rows, own, have)
            return
        listed = _listed([*own, tables.REST])
        connection.execute(
            f"CREATE TEMP TABLE pg_temp._staged ON COMMIT DROP AS SELECT {listed} FROM {self._table} WITH NO DATA"  # noqa: S608  # names are quoted, values are parameters
        )
        self._copy(connection, "pg_temp._staged", values.last_of_each_key(rows, self._key), own, have)
        # A row replaces the older one of its key whole, also in the fields that it lacks.
        changed = [name for name, type_ in have.items() if type_ in values.FITS and name not in self._key]
        newer = ""
        if have.get(tables.SCRAPED_AT) == values.MOMENT:  # batches arrive in any order
            newer = f" WHERE (EXCLUDED.{tables.SCRAPED_AT} >= kept.{tables.SCRAPED_AT}) IS NOT FALSE"
        connection.execute(
            f"INSERT INTO {self._table} AS kept ({listed}) SELECT {listed} FROM pg_temp._staged "  # noqa: S608  # names are quoted, values are parameters
            f"ON CONFLICT ({_listed(self._key)}) DO UPDATE SET "
            + ", ".join(f"{_quoted(name)} = EXCLUDED.{_quoted(name)}" for name in changed)
            + newer
        )

    def _copy(
        self,
        connection: psycopg.Connection[Any],
        table: str,
        rows: list[Row],
        own: list[str],
        have: dict[str, str],
    ) -> None:
        statement = f"COPY {table} ({_listed([*own, tables.REST])}) FROM STDIN (FORMAT BINARY)"
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([*(have[name] for name in own), values.JSON])
            for record in values.records(rows, own, have, self._key):
                copy.write_row(record)

    def _alter(self, connection: psycopg.Connection[Any], types: dict[str, str]) -> None:
        from psycopg.errors import FeatureNotSupported, InsufficientPrivilege, TooManyColumns

        for name, type_ in types.items():
            try:
                with connection.transaction():
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                    there = self._columns(connection).get(name)  # another worker may have been first
                    if there is None:
                        connection.execute(f"ALTER TABLE {self._table} ADD COLUMN {_quoted(name)} {type_}")
                    elif (there, type_) == (values.WHOLE, values.NUMERIC):
                        connection.execute(
                            f"ALTER TABLE {self._table} ALTER COLUMN {_quoted(name)} TYPE {type_}"
                        )
            except (
                FeatureNotSupported,
                InsufficientPrivilege,
                TooManyColumns,
            ):  # a view needs the type; not our table
                self._refused.add(name)

    def _columns(self, connection: psycopg.Connection[Any]) -> dict[str, str]:
        """Name -> type of the table's columns."""
        return dict(connection.execute(f"SELECT {_COLUMNS}", (self._table,)).fetchall())

    def _make(self, connection: psycopg.Connection[Any], table: str, definition: str) -> None:
        """CREATE TABLE IF NOT EXISTS, but also for those who may not create one."""
        if not self._exists(connection, table):
            connection.execute(f"CREATE TABLE {table} ({definition})")

    def _exists(self, connection: psycopg.Connection[Any], name: str) -> bool:
        ((there,),) = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (name,)).fetchall()
        return bool(there)

    @contextlib.contextmanager
    def _errors(self, batch: str) -> Iterator[None]:
        """Whatever goes wrong, the next try has a connection of its own. SinkError for the database's own errors."""
        import psycopg

        try:
            yield
        except BaseException as error:
            self.close()
            if isinstance(error, psycopg.Error):
                raise SinkError(self.name, batch, " ".join(str(error).split())) from error
            raise

    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            import psycopg
            from psycopg.types.json import set_json_dumps

            given = _parsed(self._url)
            connection = psycopg.connect(**{**CONNECTION, **given}, autocommit=True)
            try:
                set_json_dumps(bytes, connection)  # it is encoded already
                connection.execute(f"SET lock_timeout = {LOCK_MS}")
                connection.execute(_SESSION)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _parsed(url: str) -> dict[str, Any]:
    """ConfigError without a word of the URL: what is wrong in it may be a part of the password."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        given = dict(conninfo_to_dict(url))
    except ProgrammingError:
        given = {"host": "@"}
    odd = [name for name in ("host", "dbname") if "@" in str(given.get(name, ""))]
    if odd or not str(given.get("port", 5432)).replace(",", "").isdigit():
        way_out = "postgres: url is not postgresql://user:password@host:port/database; odd signs are written as %40 (@), %2F (/), %3A (:)"
        raise ConfigError("SINK", None, way_out)
    return given


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(map(_quoted, names))
