from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from scraper.sinks import parquet
from scraper.sinks.contract import Row, Sink
from scraper.sinks.parquet import ParquetSink
from tests.contracts.sink import SinkContract

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class TestParquet(SinkContract):
    def spec(self, folder: Path) -> Any:
        return "parquet"

    def read(self, sink: Sink, folder: Path) -> list[dict[str, Any]]:
        rows = [row for path in folder.glob("*.parquet") for row in pq.ParquetFile(path).read().to_pylist()]
        return [{name: value for name, value in row.items() if value is not None} for row in rows]


DRIFT: list[list[Row]] = [
    [
        {
            "_key": "1",
            "price": 1,
            "only_first": "x",
            "always_none": None,
            "tags": ["a", {"b": 1}],
            "late": None,
        },
        {
            "_key": "2",
            "price": 2,
            "only_first": "y",
            "at": None,
            "flag": None,
            "raw": b"\x00\xff",
            "id": 2**60,
        },
    ],
    [
        {
            "_key": "3",
            "price": 2.5,
            "always_none": None,
            "tags": None,
            "late": 7,
            "at": NOON,
            "flag": True,
            "id": 3,
        }
    ],
    [
        {
            "_key": "4",
            "price": None,
            "tags": "plain",
            "late": "seven",
            "at": NOON,
            "mixed": 3,
            "raw": b"x",
            "id": None,
        }
    ],
    [
        {
            "_key": "5",
            "price": 4,
            "mixed": [1],
            "flag": False,
            "decimal": Decimal("9.90"),
            "day": date(2026, 1, 2),
        }
    ],
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run whose batches differ in fields and types, ended."""
    sink = ParquetSink(str(tmp_path))
    sink.prepare()
    for n, rows in enumerate(DRIFT):
        sink.commit(f"b{n}", rows)
    sink.finish()
    return tmp_path


def test_pyarrow_opens_the_folder(folder: Path) -> None:
    """pyarrow.dataset reads the folder with no option; each column has the narrowest type that holds all its
    values.
    """
    table = ds.dataset(folder).to_table().sort_by("_key")
    assert {field.name: str(field.type) for field in table.schema} == {
        "_key": "string",
        "price": "double",
        "only_first": "string",
        "always_none": "string",
        "tags": "string",
        "late": "string",
        "at": "timestamp[us, tz=UTC]",
        "flag": "bool",
        "raw": "binary",
        "id": "int64",
        "mixed": "string",
        "decimal": "string",
        "day": "string",
    }
    columns = table.to_pydict()
    assert columns["price"] == [1.0, 2.0, 2.5, None, 4.0]
    assert columns["only_first"] == ["x", "y", None, None, None]
    assert columns["always_none"] == [None] * 5
    assert columns["tags"] == ['["a",{"b":1}]', None, None, "plain", None]
    assert columns["late"] == [None, None, "7", "seven", None]
    assert columns["at"] == [None, None, NOON, NOON, None]
    assert columns["flag"] == [None, None, True, None, False]
    assert columns["raw"] == [None, b"\x00\xff", None, b"x", None]
    assert columns["id"] == [None, 2**60, 3, None, None]
    assert columns["mixed"] == [None, None, None, "3", "[1]"]
    assert columns["decimal"] == [None, None, None, None, "9.90"]
    assert columns["day"] == [None, None, None, None, "2026-01-02"]


def test_duckdb_opens_the_folder(folder: Path) -> None:
    """duckdb's plain read_parquet('dir/*.parquet') reads it."""
    with duckdb.connect() as connection:
        rows = connection.sql(
            f"select count(*), sum(price), max(epoch(\"at\")), count(always_none) from read_parquet('{folder}/*.parquet')"
        ).fetchall()
    assert rows == [(5, 9.5, NOON.timestamp(), 0)]


def test_pandas_opens_the_folder(folder: Path) -> None:
    """pandas.read_parquet(folder) reads it."""
    frame = pd.read_parquet(folder).sort_values("_key")
    assert list(frame["_key"]) == ["1", "2", "3", "4", "5"]
    assert frame["price"].sum() == 9.5


def test_polars_opens_the_folder(folder: Path) -> None:
    """polars.read_parquet(folder) reads it: it would refuse a folder with any other file in it."""
    frame = pl.read_parquet(folder).sort("_key")
    assert list(frame["_key"]) == ["1", "2", "3", "4", "5"]
    assert frame["price"].sum() == 9.5


def test_parts_of_a_run_that_did_not_end_can_be_read(tmp_path: Path) -> None:
    """Before finish(), duckdb reads the parts with union_by_name although their schemas differ."""
    sink = ParquetSink(str(tmp_path))
    sink.prepare()
    for n, rows in enumerate(DRIFT):
        sink.commit(f"b{n}", rows)
    with duckdb.connect() as connection:
        query = f"select count(*), count(late) from read_parquet('{tmp_path}/*.parquet', union_by_name=true)"
        assert connection.sql(query).fetchall() == [(5, 2)]


def test_large_integers_do_not_become_floats(tmp_path: Path) -> None:
    """An id above 2**53 in a column with floats is spelled out rather than rounded."""
    sink = ParquetSink(str(tmp_path))
    sink.prepare()
    sink.commit("b0", [{"id": 2**53 + 1}])
    sink.commit("b1", [{"id": 0.5}])
    sink.finish()
    assert sorted(pq.read_table(tmp_path)["id"].to_pylist()) == ["0.5", "9007199254740993"]


def test_files_and_row_groups_have_sane_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge makes row groups and files of the stated sizes out of many small parts, and holds one group in
    memory.
    """
    monkeypatch.setattr(parquet, "GROUP_BYTES", 20_000)
    monkeypatch.setattr(parquet, "FILE_BYTES", 60_000)
    sink = ParquetSink(str(tmp_path))
    sink.prepare()
    for n in range(100):
        sink.commit(f"b{n:03d}", [{"n": n, "text": "x" * 1000} for _ in range(2)])
    sink.finish()
    files = sorted(tmp_path.glob("*.parquet"))
    groups = [pq.ParquetFile(path).metadata.num_row_groups for path in files]
    assert len(files) == 4
    assert groups == [3, 3, 3, 1]
    assert sorted(pq.read_table(tmp_path)["n"].to_pylist()) == sorted([*range(100), *range(100)])


def test_rows_in_merged_files_keep_their_types_over_a_second_merge(folder: Path) -> None:
    """A run that was started again widens once more, also what was merged before."""
    sink = ParquetSink(str(folder))
    sink.prepare()
    sink.commit("b9", [{"_key": "6", "price": "n/a", "always_none": 1.5}])
    sink.finish()
    table = pq.read_table(folder).sort_by("_key")
    assert table["price"].to_pylist() == ["1.0", "2.0", "2.5", None, "4.0", "n/a"]
    assert table["always_none"].to_pylist() == [None] * 5 + [1.5]
    assert len(list(folder.glob("*.parquet"))) == 1


def test_compressed(tmp_path: Path) -> None:
    """Parts are lz4, which is quick; what stays is zstd, which is small."""
    sink = ParquetSink(str(tmp_path))
    sink.prepare()
    sink.commit("b", [{"text": "x"}])
    assert _compression(tmp_path / "part-b.parquet") == "LZ4"
    sink.finish()
    assert _compression(tmp_path / "data-001-00000.parquet") == "ZSTD"


def _compression(path: Path) -> str:
    found: str = pq.ParquetFile(path).metadata.row_group(0).column(0).compression
    return found


def test_the_crawler_does_not_import_pyarrow() -> None:
    """Building and preparing the sink costs the crawler no pyarrow (0.1 GB)."""
    code = (
        "import sys, tempfile; from scraper.sinks.contract import load; "
        "s = load('parquet', tempfile.mkdtemp(), {}); s.prepare(); sys.exit('pyarrow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_row_that_parquet_cannot_hold_raises(tmp_path: Path) -> None:
    """The error names it, nothing is stored, no half file stays."""
    sink = ParquetSink(str(tmp_path))
    sink.prepare()
    with pytest.raises(TypeError):
        sink.commit("b", [{"x": object()}])
    with pytest.raises((TypeError, pa.ArrowException)):
        sink.commit("b", [{1: "x"}])
    assert list(tmp_path.iterdir()) == []


def test_rows_without_one_value_are_rows(tmp_path: Path) -> None:
    """A step may return a new row in which nothing is left; a table without columns would have no rows."""
    sink = ParquetSink(str(tmp_path / "out"))
    sink.prepare()
    sink.commit("b1", [{"a": None}] * 3)
    sink.commit("b2", [{}])
    sink.commit("b3", [{"a": 1, "b": 2}])
    sink.finish()
    assert pq.read_table(tmp_path / "out").num_rows == 5
