"""What every sink promises, as tests. A sink's own test file subclasses `SinkContract` and says how to build
and read it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from abc import abstractmethod
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scraper.sinks.contract import Row, Sink

ROWS: list[Row] = [{"_key": f"r/{n}", "n": n, "title": f"title {n}"} for n in range(10)]


class SinkContract:
    """Subclass as ``class TestX(SinkContract)``. ``spec``: what ``SINK`` says for it, unless its name is enough."""

    spec: Any = None

    @abstractmethod
    def build(self, folder: Path) -> Sink:
        """A sink that stores into ``folder``, not prepared."""

    @abstractmethod
    def read(self, sink: Sink, folder: Path) -> list[dict[str, Any]]:
        """All rows that a reader finds, in any order."""

    @pytest.fixture
    def sink(self, tmp_path: Path) -> Sink:
        sink = self.build(tmp_path / "out")
        sink.prepare()
        return sink

    def keys(self, sink: Sink, tmp_path: Path) -> list[str]:
        return sorted(row["_key"] for row in self.read(sink, tmp_path / "out"))

    def test_committed_rows_are_there_whole(self, sink: Sink, tmp_path: Path) -> None:
        """A committed row is read back with the values it had."""
        sink.commit("b1", ROWS)
        found = sorted(self.read(sink, tmp_path / "out"), key=lambda row: row["n"])
        assert found == ROWS

    def test_the_same_batch_again_changes_nothing(self, sink: Sink, tmp_path: Path) -> None:
        """A batch that is delivered again, to this or another sink object, is stored once."""
        sink.commit("b1", ROWS)
        sink.commit("b1", ROWS)
        if sink.name != "memory":
            self.build(tmp_path / "out").commit("b1", ROWS)
        assert self.keys(sink, tmp_path) == sorted(row["_key"] for row in ROWS)

    def test_batches_of_1_and_of_all_sizes_add_up(self, sink: Sink, tmp_path: Path) -> None:
        """Batches are separate however they are cut."""
        for size in (1, 2, 3, 4):
            start = size * (size - 1) // 2
            sink.commit(f"b{size}", ROWS[start : start + size])
        assert self.keys(sink, tmp_path) == sorted(row["_key"] for row in ROWS)

    def test_finish_keeps_every_row_once(self, sink: Sink, tmp_path: Path) -> None:
        """finish() may rearrange, it neither loses nor doubles, also when called twice or between batches."""
        sink.commit("b1", ROWS[:4])
        sink.commit("b2", ROWS[4:6])
        sink.finish()
        assert self.keys(sink, tmp_path) == sorted(row["_key"] for row in ROWS[:6])
        sink.finish()
        sink.commit("b3", ROWS[6:])
        sink.finish()
        assert self.keys(sink, tmp_path) == sorted(row["_key"] for row in ROWS)

    def test_finish_without_rows(self, sink: Sink, tmp_path: Path) -> None:
        """A run that stored nothing ends well."""
        sink.finish()
        assert self.read(sink, tmp_path / "out") == []

    def test_prepare_keeps_what_is_there(self, sink: Sink, tmp_path: Path) -> None:
        """prepare() at the next start changes no row."""
        sink.commit("b1", ROWS)
        sink.prepare()
        assert self.keys(sink, tmp_path) == sorted(row["_key"] for row in ROWS)

    def test_fields_may_come_and_go_and_change(self, sink: Sink, tmp_path: Path) -> None:
        """Rows of one run may differ in fields and types; no row is refused for it, and none goes missing."""
        rows: list[Row] = [
            {"_key": "a", "price": 1, "tags": ["x"], "at": datetime(2026, 1, 2, tzinfo=UTC)},
            {"_key": "b", "price": 1.5, "tags": None},
            {"_key": "c", "price": "n/a", "tags": {"x": {"y": [1, None]}}, "new": True, "raw": b"\x00\xff"},
            {
                "_key": "d",
                "price": None,
                "tags": "plain",
                "new": None,
                "at": None,
                "big": 2**63,
                "raw": "text",
            },
        ]
        sink.commit("b1", rows[:1])
        sink.commit("b2", rows[1:])
        sink.finish()
        assert self.keys(sink, tmp_path) == ["a", "b", "c", "d"]

    def test_hostile_text_comes_back(self, sink: Sink, tmp_path: Path) -> None:
        """NUL, quotes, separators, right-to-left marks and characters beyond the BMP are stored as they are."""
        text = "\x00\x01 \x1b[31m \"',;\t\r\n \u2028 \u202e \ufeff \U0001f577 =cmd|' /C calc'!A0"
        sink.commit("b1", [{"_key": text, "text": text}])
        sink.finish()
        assert self.read(sink, tmp_path / "out") == [{"_key": text, "text": text}]

    def test_a_killed_commit_is_all_or_nothing(self, tmp_path: Path) -> None:
        """SIGKILL at any moment of a commit leaves the batch whole or absent, and it can be committed again."""
        sink = self.build(tmp_path / "out")
        if sink.name == "memory":
            pytest.skip("memory goes with its process")
        sink.prepare()
        program = COMMITTING.format(spec=self.spec or sink.name, folder=str(tmp_path / "out"))
        for delay_s in (0.01, 0.1, 0.123, 0.15):
            with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == b"go\n"
                time.sleep(delay_s)
                process.kill()
            self.build(tmp_path / "out").prepare()
            keys = self.keys(sink, tmp_path)
            assert keys
            assert keys == sorted(f"{n}/{k}" for n in range(len(keys) // 200) for k in range(200))


COMMITTING = """
import os
from scraper.sinks.contract import load
sink = load({spec!r}, {folder!r}, os.environ)
for n in range(10_000):
    sink.commit(f"b{{n}}", [{{"_key": f"{{n}}/{{k}}", "text": "x" * 500}} for k in range(200)])
    if n == 0:
        print("go", flush=True)
"""
