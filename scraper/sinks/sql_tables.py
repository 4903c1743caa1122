"""I/O. Tables of databases copied to a Parquet file, for sql.py: SQLite through Python's own module, PostgreSQL through psycopg."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from scraper import named
from scraper.errors import ConfigError, SinkError
from scraper.sinks import columns
from scraper.sinks.postgres import CONNECTION, _parsed

if TYPE_CHECKING:
    import pyarrow as pa

RUN = "_run_of_key"  # column: the run that a row's key names; several runs may share a table
_ROWS = 10_000  # at a time
_SQLITE_KINDS = {  # what typeof() says of all values of a column
    frozenset({"integer"}): columns.INT,
    frozenset({"real"}): columns.FLOAT,
    frozenset({"integer", "real"}): columns.FLOAT,
    frozenset({"blob"}): columns.BYTES,
}
_POSTGRES_KINDS = {
    "bool": columns.BOOL,
    "int2": columns.INT,
    "int4": columns.INT,
    "int8": columns.INT,
    "float4": columns.FLOAT,
    "float8": columns.FLOAT,
    "numeric": columns.FLOAT,
    "timestamptz": columns.TIME,
    "bytea": columns.BYTES,
}


def sqlite(out_dir: Path, options: Mapping[str, Any], environment: Mapping[str, str], copy: Path) -> bool:
    """Copy the sink's table to ``copy``; False if there is none. SinkError."""
    options = named.with_env("SINK", options, environment)
    path, table = out_dir / options.get("file", "records.sqlite"), options.get("table", "records")
    if not path.exists():
        return False
    try:
        with contextlib.closing(sqlite3.connect(_read_only(path), uri=True)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")  # kinds and rows of the same moment
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(table)})")]
            kinds = {name: _kind(connection, table, name) for name in names}
            cursor = connection.execute(f"SELECT * FROM {_quoted(table)}")  # noqa: S608  # quoted
            return _written(copy, kinds, iter(lambda: cursor.fetchmany(_ROWS), []))
    except sqlite3.Error as error:
        raise SinkError("sqlite", "(none)", f"{path}: {error}") from error


def _read_only(path: Path) -> str:
    """The address to read it by, so that no -wal and -shm stay where none were: only who may write takes them away again."""
    mode = "mode=ro"  # somebody has it open, or was killed: what is there already is not ours
    if not path.with_name(f"{path.name}-wal").exists():
        may_write = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        mode = "mode=rw" if may_write else "mode=ro&immutable=1"
    return f"file:{quote(str(path))}?{mode}"


def postgres(out_dir: Path, options: Mapping[str, Any], environment: Mapping[str, str], copy: Path) -> bool:
    """Copy the sink's table to ``copy``, in a transaction that only reads; False if it is empty. ConfigError, SinkError."""
    try:
        import psycopg
        from psycopg import sql
        from psycopg.types.string import TextLoader
    except ImportError as error:
        raise ConfigError("sql", "postgres", 'needs psycopg: pip install "scraper[postgres]"') from error
    options = named.with_env("SINK", options, environment)
    table = sql.Identifier(*options.get("table", "records").split("."))
    try:
        with psycopg.connect(**{**CONNECTION, **_parsed(options.get("url", ""))}) as connection:
            connection.read_only = True
            for kind in ("json", "jsonb"):  # as text, as it stands in the files
                connection.adapters.register_loader(kind, TextLoader)
            with connection.cursor(name="records") as cursor:
                cursor.execute(sql.SQL("SELECT * FROM {}").format(table))
                assert cursor.description is not None
                types = {column.name: column.type_display for column in cursor.description}
                kinds = {
                    name: _POSTGRES_KINDS.get(_bare(type_), columns.TEXT) for name, type_ in types.items()
                }
                return _written(copy, kinds, iter(lambda: cursor.fetchmany(_ROWS), []))
    except psycopg.Error as error:
        raise SinkError("postgres", "(none)", " ".join(str(error).split())) from error


def _written(copy: Path, kinds: dict[str, str], chunks: Iterator[list[tuple[Any, ...]]]) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        columns.BOOL: pa.bool_(), columns.INT: pa.int64(), columns.FLOAT: pa.float64(),
        columns.TIME: pa.timestamp("us", tz="UTC"), columns.BYTES: pa.binary(), columns.TEXT: pa.string(),
    }  # fmt: skip
    keyed = "_key" in kinds
    schema = pa.schema([(RUN, pa.string())] * keyed + [(name, types[kind]) for name, kind in kinds.items()])
    wrote = False
    with pq.ParquetWriter(copy, schema, compression="zstd") as writer:
        for rows in chunks:
            wrote = True
            found: list[pa.Array] = []
            for (name, kind), values in zip(kinds.items(), zip(*rows, strict=True), strict=True):
                if name == "_key":
                    runs = [str(value).partition("/")[0] if value else None for value in values]
                    found.insert(0, pa.array(runs, pa.string()))
                found.append(pa.array([_value(value, kind) for value in values], types[kind]))
            writer.write_table(pa.table(found, schema=schema))
    return wrote


def _value(value: Any, kind: str) -> Any:
    if kind == columns.TEXT:
        return columns.text(value)
    if kind == columns.FLOAT and isinstance(value, int | Decimal):
        return float(value)
    return None if isinstance(value, datetime) and kind != columns.TIME else value


def _kind(connection: sqlite3.Connection, table: str, name: str) -> str:
    found = connection.execute(
        f"SELECT DISTINCT typeof({_quoted(name)}) FROM {_quoted(table)}"  # noqa: S608  # quoted
    )
    kinds = frozenset(kind for (kind,) in found) - {"null"}
    return _SQLITE_KINDS.get(kinds, columns.TEXT)


def _bare(type_: str) -> str:
    return type_.partition("(")[0]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
