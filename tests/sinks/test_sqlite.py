from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from scraper.errors import ConfigError, SinkError
from scraper.sinks import tables
from scraper.sinks.contract import Sink, load
from scraper.sinks.sqlite import SqliteSink
from tests.contracts.sink import SinkContract


def rows_of(path: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as connection:
        cursor = connection.execute("SELECT * FROM records")
        names = [column[0] for column in cursor.description]
        return [
            {name: value for name, value in zip(names, row, strict=True) if value is not None}
            for row in cursor
        ]


class TestSqlite(SinkContract):
    def spec(self, folder: Path) -> Any:
        return "sqlite"

    def read(self, sink: Sink, folder: Path) -> list[dict[str, Any]]:
        return rows_of(folder / "records.sqlite")


class TestSqliteByKey(TestSqlite):
    def spec(self, folder: Path) -> Any:
        return {"sqlite": {"key": ["_key"]}}


@pytest.fixture
def sink(tmp_path: Path) -> Any:
    sink = SqliteSink(str(tmp_path))
    sink.prepare()
    yield sink
    sink.close()


def test_each_value_is_stored_by_its_own_type(sink: Sink, tmp_path: Path) -> None:
    """A field that drifts is not converted; what SQLite has no type for is text, NaN is NULL."""
    east = timezone(timedelta(hours=2))
    values: list[tuple[Any, Any]] = [
        (1, 1),
        (1.5, 1.5),
        ("007", "007"),
        (True, 1),
        (b"\x00\xff", b"\x00\xff"),
        ([1, {"a": None}], '[1,{"a":null}]'),
        (2**63 - 1, 2**63 - 1),
        (2**63, "9223372036854775808"),
        (float("inf"), float("inf")),
        (float("nan"), None),
        (datetime(2026, 1, 2, 5, tzinfo=east), "2026-01-02T03:00:00.000000+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (Decimal("9.90"), "9.90"),
    ]
    for n, (value, _) in enumerate(values):
        sink.commit(f"b{n}", [{"n": n, "value": value}])
    assert [row.get("value") for row in rows_of(tmp_path / "records.sqlite")] == [kept for _, kept in values]


def test_the_table_holds_the_last_row_of_each_key(tmp_path: Path) -> None:
    """By the time it was scraped, whatever order batches come in; the row is replaced whole; a row without key is added."""
    spec = {"sqlite": {"file": "shop.sqlite", "key": ["site", "sku"]}}

    def row(sku: Any, minute: int, **fields: Any) -> dict[str, Any]:
        return {"site": "s", "sku": sku, "_scraped_at": datetime(2026, 1, 2, 3, minute, tzinfo=UTC), **fields}

    sink = load(spec, str(tmp_path), {})
    sink.prepare()
    sink.commit("b1", [row(1, 1, price=1), row("1", 2, price=2), row("A", 5, price=5, stock=1), row(None, 1)])
    sink.commit("b2", [row("A", 4, price=4), row("1", 9, stock=7), row(None, 1)])
    sink.commit("b2", [row("A", 9, price=9)])
    sink.close()
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as connection:
        found = connection.execute("SELECT sku, price, stock FROM records ORDER BY rowid").fetchall()
    assert found == [("1", None, 7), ("A", 5, 1), (None, None, None), (None, None, None)]


def test_a_full_disk_is_the_places_fault_and_leaves_nothing(sink: Sink, tmp_path: Path) -> None:
    """SQLite's own "database or disk is full" is a SinkError; the batch can come again."""
    assert isinstance(sink, SqliteSink)
    sink.commit("b1", [{"n": 1}])
    sink._open().execute("PRAGMA max_page_count = 20")
    rows = [{"n": n, "text": "x" * 5000} for n in range(100)]
    with pytest.raises(
        SinkError, match=r"sink sqlite: batch b2 not stored: .*records\.sqlite: database or disk is full"
    ):
        sink.commit("b2", rows)
    assert len(rows_of(tmp_path / "records.sqlite")) == 1
    sink.commit("b2", rows)  # on a connection of its own again
    assert len(rows_of(tmp_path / "records.sqlite")) == 101


def test_a_file_that_is_no_database_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "records.sqlite").write_text("not a database" * 100)
    with pytest.raises(SinkError, match="file is not a database"):
        SqliteSink(str(tmp_path)).prepare()


def test_one_file_is_left(sink: Sink, tmp_path: Path) -> None:
    """After finish() and close() the file alone can be copied."""
    sink.commit("b1", [{"n": 1}])
    sink.finish()
    sink.close()
    assert [path.name for path in tmp_path.iterdir()] == ["records.sqlite"]


def test_fields_beyond_the_most_columns_share_one(sink: Sink, tmp_path: Path) -> None:
    """Pages whose fields are data (a table of properties) do not exhaust the table."""
    for n in range(5):
        sink.commit(f"b{n}", [{f"field {n * 200 + k}": k for k in range(200)}])
    rows = rows_of(tmp_path / "records.sqlite")
    assert len(rows[0]) == 200
    assert json.loads(rows[4]["_rest"]) == {f"field {800 + k}": k for k in range(200)}
    with closing(sqlite3.connect(tmp_path / "records.sqlite")) as connection:
        assert len(connection.execute("PRAGMA table_info(records)").fetchall()) == tables.MAX_COLUMNS


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"table": ""}, "table must be the name"),
        ({"synchronous": "OFF"}, "synchronous is one of FULL, NORMAL, EXTRA"),
        ({"key": ["a", "a"]}, "each once"),
        ({"key": [1]}, "names of fields"),
    ],
)
def test_wrong_options_stop_the_start(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load({"sqlite": options}, str(tmp_path), {})
