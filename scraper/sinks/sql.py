"""I/O. SQL over what the sinks wrote: DuckDB with one view, ``records``, over the stores of one or several runs.

Nobody's statement may write, or read another file. DuckDB's list of allowed paths would not do: a COPY inside a WITH of a
SELECT overwrites an allowed file. So DuckDB is given no path at all. Parquet is handed to it through pyarrow, which only
reads; other stores are first copied to Parquet in a temporary folder; then all access outside is switched off and
the configuration locked. Only its own folder for what does not fit into memory stays open, and is removed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scraper.errors import ConfigError
from scraper.sinks import sql_tables
from scraper.sinks.contract import KNOWN

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

VIEW = "records"
_FILES = {".parquet": "parquet", ".jsonl": "jsonl", ".jsonl.zst": "jsonl", ".csv": "csv"}
# Of JSON Lines. Nested and mixed values become text, as they are in Parquet: `column ->> 'name'` works on both.
_SCALARS = (
    "BIGINT",
    "UBIGINT",
    "HUGEINT",
    "DOUBLE",
    "BOOLEAN",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE",
)
_LINE_BYTES = 128 << 20  # of one record: a page of 32 MB in base64, and as much again
_FENCE = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET python_enable_replacements = false",
    "SET TimeZone = 'UTC'",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


class BadStatement(Exception):
    """The statement is wrong, or is none that only reads; one line."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a run's records are: its ``name``, the setting ``SINK`` (None: look what files are there), its folder."""

    name: str
    sink: Any
    out_dir: Path


class Query:
    """``columns`` of the answer and its rows, read on as they are asked for."""

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self._reader = reader
        self.columns: list[str] = reader.schema.names

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """As Python's own types. BadStatement where the statement fails on a later row."""
        with _errors():
            for batch in self._reader:
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


@contextlib.contextmanager
def query(
    statement: str, sources: Sequence[Source], environment: Mapping[str, str], limit: int | None = None
) -> Iterator[Query]:
    """Run one SELECT over ``sources``. ``limit``: rows at most. ConfigError if a source or DuckDB is missing, BadStatement,
    OSError, SinkError.
    """
    if importlib.util.find_spec("duckdb") is None:
        raise ConfigError("sql", None, 'needs duckdb: pip install "scraper[duckdb]"')
    import duckdb

    with tempfile.TemporaryDirectory(prefix="records-") as folder, duckdb.connect(":memory:") as connection:
        with _errors():
            _check(connection, statement)
        tables = [
            (source, table)
            for source in sources
            for table in _tables(connection, source, environment, Path(folder))
        ]
        if not any(tables):
            names = ", ".join(source.name for source in sources)
            raise ConfigError("sql", names, "nothing is stored there yet")
        with _errors():
            _make_view(connection, tables)
            spill = Path(folder) / "spill"
            spill.mkdir()
            connection.execute(f"SET temp_directory = {_text(str(spill))}")
            for setting in _FENCE:
                connection.execute(setting)
            relation = connection.sql(statement)
            reader = (relation if limit is None else relation.limit(limit)).to_arrow_reader(10_000)
        yield Query(reader)


def _check(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    import duckdb

    found = connection.extract_statements(statement)
    if len(found) != 1:
        raise BadStatement(f"one statement at a time, not {len(found)}")
    if found[0].type != duckdb.StatementType.SELECT:
        raise BadStatement(
            f"only statements that read: SELECT, FROM, WITH, DESCRIBE, SUMMARIZE; not {found[0].type.name}"
        )


def _make_view(connection: duckdb.DuckDBPyConnection, tables: list[tuple[Source, Any]]) -> None:
    taken = {name.lower() for _, table in tables for name in table.schema.names}
    ours = next(name for name in (f"{'_' * n}run" for n in itertools.count()) if name not in taken)
    selects = []
    for number, (source, table) in enumerate(tables):
        connection.register(f"_{number}", table)
        if sql_tables.RUN in table.schema.names:
            selects.append(f"SELECT * RENAME ({sql_tables.RUN} AS {ours}) FROM _{number}")  # noqa: S608  # names of ours, or quoted
        else:
            selects.append(f"SELECT {_text(source.name)} AS {ours}, * FROM _{number}")  # noqa: S608  # names of ours, or quoted
    connection.execute(f"CREATE VIEW {VIEW} AS {' UNION ALL BY NAME '.join(selects)}")


def _tables(
    connection: duckdb.DuckDBPyConnection, source: Source, environment: Mapping[str, str], folder: Path
) -> list[Any]:
    """Datasets of the source, each with one schema. Of several sinks the first that is readable: all hold the same records."""
    if source.sink is None:
        return _of_files(connection, source.out_dir, folder)
    specs = source.sink if isinstance(source.sink, list) else [source.sink]
    for spec in specs:
        name, options = next(iter(spec.items())) if isinstance(spec, dict) else (spec, {})
        if name in ("parquet", "jsonl", "csv"):
            if options.get("to"):
                raise ConfigError(
                    "sql",
                    source.name,
                    f"its records are in {options['to']}: copy them here, then give the folder",
                )
            return _of_files(connection, source.out_dir, folder, name)
        if name in ("sqlite", "postgres"):
            copy = folder / f"{len(list(folder.iterdir())):06d}.parquet"
            read = sql_tables.sqlite if name == "sqlite" else sql_tables.postgres
            return _parquet([copy]) if read(source.out_dir, options, environment, copy) else []
    known = [name for name in KNOWN if name != "memory"]
    raise ConfigError("sql", source.name, f"its sink {specs!r} cannot be read; these can: {', '.join(known)}")


def _of_files(connection: duckdb.DuckDBPyConnection, place: Path, folder: Path, only: str = "") -> list[Any]:
    found: dict[str, list[Path]] = {}
    for path in sorted(place.glob("*")):
        ending = next((ending for ending in _FILES if path.name.endswith(ending)), "")
        if ending and _FILES[ending] == (only or _FILES[ending]) and not path.name.startswith("."):
            found.setdefault(ending, []).append(path)
    if not found:
        return []
    # Of several formats one: they hold the same.
    ending, paths = max(found.items(), key=lambda one: len(one[1]))
    kind = _FILES[ending]
    if kind == "parquet":
        return _parquet(paths)
    copy = folder / f"{len(list(folder.iterdir())):06d}.parquet"
    with _errors():
        columns = _json(connection, paths) if kind == "jsonl" else _csv(paths)
        connection.execute(
            f"COPY (SELECT * FROM {columns}) TO {_text(str(copy))} (FORMAT parquet, COMPRESSION zstd)"  # noqa: S608  # names of ours, or quoted
        )
    return _parquet([copy])


def _parquet(paths: list[Path]) -> list[Any]:
    """One dataset for each schema: parts of an unfinished run may differ, DuckDB brings them together."""
    import pyarrow.dataset
    import pyarrow.parquet

    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for path in paths:
        schema = pyarrow.parquet.read_schema(path)
        key = tuple(sorted((field.name, str(field.type)) for field in schema))
        groups.setdefault(key, []).append(str(path))
    return [pyarrow.dataset.dataset(some, format="parquet") for some in groups.values()]


def _json(connection: duckdb.DuckDBPyConnection, paths: list[Path]) -> str:
    listed = f"[{', '.join(_text(str(path)) for path in paths)}]"
    source = (
        f"read_json({listed}, format = 'newline_delimited', records = true, union_by_name = true, sample_size = -1, "
        f"map_inference_threshold = -1, maximum_object_size = {_LINE_BYTES})"
    )
    columns = []
    for name, type_, *_ in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall():  # noqa: S608  # quoted
        quoted = '"' + name.replace('"', '""') + '"'
        if type_ == "JSON":  # mixed
            columns.append(f"{quoted} ->> '$' AS {quoted}")
        elif type_.startswith(("STRUCT", "MAP")) or "[" in type_:
            columns.append(f"to_json({quoted})::VARCHAR AS {quoted}")
        else:
            columns.append(quoted if type_ in _SCALARS else f"{quoted}::VARCHAR AS {quoted}")
    return f"(SELECT {', '.join(columns)} FROM {source})"  # noqa: S608  # quoted


def _csv(paths: list[Path]) -> str:
    listed = f"[{', '.join(_text(str(path)) for path in paths)}]"
    return (
        f"read_csv({listed}, union_by_name = true, header = true, delim = ',', quote = '\"', escape = '\"', "
        f"allow_quoted_nulls = false, sample_size = -1, max_line_size = {_LINE_BYTES})"
    )


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """DuckDB's errors as one line each."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        said = str(error).partition("\nLINE ")[0].partition("\n\nPossible solutions")[0]
        raise BadStatement(" ".join(said.split())) from error


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
