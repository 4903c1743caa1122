from __future__ import annotations

import csv
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from scraper.sinks.contract import Sink
from scraper.sinks.csv import CsvSink
from tests.contracts.sink import HOSTILE, SinkContract

csv.field_size_limit(sys.maxsize)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in folder.glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            rows += csv.DictReader(file)
    return rows


class TestCsv(SinkContract):
    def spec(self, folder: Path) -> Any:
        return "csv"

    def read(self, sink: Sink, folder: Path) -> list[dict[str, Any]]:
        return [
            {
                name: int(value) if name == "n" else value
                for name, value in row.items()
                if value or name == "text"
            }
            for row in rows_of(folder)
        ]

    def kept(self, text: str) -> str:
        return f"'{text}" if re.match(r"[=+\-@\t\r]", text) and text != "-5,00" else text

    def test_hostile_text_comes_back(self, sink: Sink, tmp_path: Path) -> None:
        """As the contract says; Python's reader makes "" of what is missing, too."""
        sink.commit("b1", [{"_key": f"{n}", "text": text} for n, text in enumerate(HOSTILE)])
        sink.finish()
        found = {row["_key"]: row["text"] for row in rows_of(tmp_path / "out")}
        assert found == {f"{n}": self.kept(text) for n, text in enumerate(HOSTILE)}


def test_texts_that_a_spreadsheet_would_run_are_quoted_and_numbers_are_numbers(tmp_path: Path) -> None:
    sink = CsvSink(str(tmp_path))
    sink.prepare()
    row = {
        "=name": "=1+1",
        "int": -5,
        "float": -0.5,
        "text": "-5,00",
        "phone": "+49 30 1234",
        "at": "@x",
        "wide": "＝1",
    }
    sink.commit("b", [row])
    sink.finish()
    assert (tmp_path / "data-001-00000.csv").read_bytes().decode() == (
        '"\'=name","int","float","text","phone","at","wide"\r\n'
        '"\'=1+1",-5,-0.5,"-5,00","\'+49 30 1234","\'@x","\'＝1"\r\n'
    )


def test_the_merged_file_has_the_columns_of_all_batches(tmp_path: Path) -> None:
    """Also when it is merged again, and with values that hold what ends lines and fields."""
    sink = CsvSink(str(tmp_path))
    sink.prepare()
    sink.commit("b1", [{"a": 'x",\r\n"y', "b": 1}, {"a": None, "b": None}])
    sink.commit("b2", [{"b": True, "c": ["\r\n", 1]}])
    sink.finish()
    sink.commit("b3", [{"d": b"\xff", "a": "", "c": datetime(2026, 1, 2, tzinfo=UTC), "b": float("nan")}])
    sink.finish()
    (path,) = tmp_path.glob("*.csv")
    assert path.name == "data-002-00000.csv"
    assert rows_of(tmp_path) == [
        {"a": 'x",\r\n"y', "b": "1", "c": "", "d": ""},
        {"a": "", "b": "", "c": "", "d": ""},
        {"a": "", "b": "true", "c": '["\\r\\n",1]', "d": ""},
        {"a": "", "b": "", "c": "2026-01-02T00:00:00Z", "d": "/w=="},
    ]
    with duckdb.connect() as connection:  # nothing is not "": duckdb can tell them apart
        missing = connection.sql(
            f"select a is null, a = '' from read_csv('{path}', allow_quoted_nulls=false)"
        ).fetchall()
    assert missing[1:] == [(True, None), (True, None), (False, True)]
    assert len(pd.read_csv(path)) == 4


def test_a_row_of_nothing_is_a_line(tmp_path: Path) -> None:
    """A line with nothing in it would be skipped by readers."""
    sink = CsvSink(str(tmp_path))
    sink.prepare()
    sink.commit("b1", [{"a": None}, {"a": "x" * 200_000}])
    sink.finish()
    assert [len(row["a"]) for row in rows_of(tmp_path)] == [0, 200_000]


def test_fields_with_one_heading_keep_their_values(tmp_path: Path) -> None:
    """A formula gets a quote in front, and that may be another field's own name."""
    sink = CsvSink(str(tmp_path / "out"))
    sink.prepare()
    sink.commit("b1", [{"=a": 1, "'=a": 2}])
    sink.commit("b2", [{"k": 3}])
    sink.finish()
    (path,) = (tmp_path / "out").glob("data-*.csv")
    lines = list(csv.reader(path.read_text().splitlines()))
    assert sorted(value for line in lines[1:] for value in line if value) == ["1", "2", "3"]
