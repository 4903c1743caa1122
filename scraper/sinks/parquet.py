"""I/O. Parquet: one part per batch while the run goes on, few files with one schema when it has ended.

Parts may differ in their columns and types (see columns.py). `finish` merges them into ``data-*.parquet``
with one schema for all, which pyarrow, duckdb, pandas and polars open as a folder with no option. While a
run goes on, or after one was killed, read the folder with ``union_by_name``; ``scrapy batches drain RUN``
completes it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scraper.sinks import columns
from scraper.sinks.contract import Row
from scraper.sinks.files import FileSink

if TYPE_CHECKING:  # 0.1 GB and 0.3 s: only workers import it
    import pyarrow as pa

FILE_BYTES = (
    256 << 20
)  # in memory, about 80 MB on disk: the size that engines like to read; at least one row group
GROUP_BYTES = 32 << 20  # in memory: bounds the memory of a merge
_META = (
    b"scraper.kinds"  # in every file's schema: JSON, column -> kind; also the columns that hold nothing yet
)
_OPTIONS: dict[str, Any] = {"compression": "zstd", "compression_level": 3}  # 0.27 x of raw JSON
# A part is read once, by the merge. lz4 against zstd: 16 us of a commit's CPU for a row of 3.8 kB instead of 21, and 0.44 x
# of its JSON instead of 0.30 x until the run ends.
_PART: dict[str, Any] = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}


class ParquetSink(FileSink):
    """Rows as Parquet files."""

    name = "parquet"
    # pyarrow imports pandas, where there is one, at its first array: 0.9 s
    preload: tuple[str, ...] = ("pyarrow.parquet", "pandas")

    def __init__(self, out_dir: str, *, to: str = "", storage: dict[str, Any] | None = None) -> None:
        super().__init__(out_dir, "parquet", to, storage)

    def encoded(self, rows: list[Row]) -> pa.Buffer:
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = pa.BufferOutputStream()  # in one piece: Parquet's own writes are small
        pq.write_table(_table(rows), file, **_PART)
        return file.getvalue()

    def merge(self, files: list[Path], new_path: Callable[[], Path]) -> None:
        _merge(files, new_path)


def _table(rows: list[Row]) -> pa.Table:
    import pyarrow as pa

    names: dict[str, None] = {}
    for row in rows:
        if not row.keys() <= names.keys():  # most rows bring no new field
            names.update(dict.fromkeys(row))
    values = {name: [row.get(name) for row in rows] for name in names}
    kinds = {name: columns.kind_of(column) for name, column in values.items()}
    filled = {name: _array(values[name], kind) for name, kind in kinds.items() if kind != columns.NULL}
    if not filled:  # a table without columns has no rows
        name = next(iter(names), "_key")
        filled[name] = pa.nulls(len(rows), pa.string())
        kinds.setdefault(name, columns.NULL)
    return pa.table(filled).replace_schema_metadata({_META: json.dumps(kinds)})


def _array(values: list[Any], kind: str) -> pa.Array:
    import pyarrow as pa

    return pa.array(columns.texts(values) if kind == columns.TEXT else values, type=_type(kind))


@functools.cache
def _type(kind: str) -> pa.DataType:
    import pyarrow as pa

    whole = pa.int64()
    return {
        columns.NULL: pa.string(),  # a field that was None in every row of the run
        columns.BOOL: pa.bool_(),
        columns.INT: whole,
        columns.BIGINT: whole,
        columns.FLOAT: pa.float64(),
        columns.TIME: pa.timestamp("us", tz="UTC"),
        columns.BYTES: pa.binary(),
        columns.TEXT: pa.string(),
    }[kind]


def _merge(files: list[Path], new_path: Callable[[], Path]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[str, str] = {}
    for path in files:
        for name, kind in _kinds(pq.read_schema(path)).items():
            kinds[name] = columns.widest(kinds.get(name, columns.NULL), kind)
    schema = pa.schema(
        [(name, _type(kind)) for name, kind in kinds.items()], metadata={_META: json.dumps(kinds)}
    )
    writer, size = None, 0
    for group in _groups(files, kinds, schema):
        if writer is None:
            writer = pq.ParquetWriter(new_path(), schema, **_OPTIONS)
        writer.write_table(group, row_group_size=len(group))
        size += group.nbytes
        if size >= FILE_BYTES:
            writer.close()
            writer, size = None, 0
    if writer is not None:
        writer.close()


def _groups(files: list[Path], kinds: dict[str, str], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of all files in one schema, in tables of about GROUP_BYTES."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    waiting: list[pa.Table] = []
    size = 0
    for path in files:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                waiting.append(_widened(file.read_row_group(number), kinds, schema))
                size += waiting[-1].nbytes
                if size >= GROUP_BYTES:
                    yield pa.concat_tables(waiting).combine_chunks()
                    waiting, size = [], 0
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _widened(table: pa.Table, kinds: dict[str, str], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    had = _kinds(table.schema)
    filled = []
    for field in schema:
        if had.get(field.name, columns.NULL) == columns.NULL:
            filled.append(pa.nulls(len(table), field.type))
        elif kinds[field.name] == columns.TEXT and had[field.name] != columns.TEXT:
            filled.append(_array(table[field.name].to_pylist(), columns.TEXT))
        else:
            filled.append(table[field.name].cast(field.type))
    return pa.table(filled, schema=schema)


def _kinds(schema: pa.Schema) -> dict[str, str]:
    found: dict[str, str] = json.loads(schema.metadata[_META])
    return found
