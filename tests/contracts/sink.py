"""What every sink promises, as tests. A sink's own test file subclasses `SinkContract` and says how to name and read it.

A sink that keeps rows outside of its process (`outlives`) is also killed: in the middle of a commit, between a commit and
what the crawler hears of it, in the middle of finish(); and several processes write into it at once.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from abc import abstractmethod
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scraper.sinks.contract import Row, Sink, load

ROWS: list[Row] = [{"_key": f"r/{n}", "n": n, "title": f"title {n}"} for n in range(10)]

# One of each kind that breaks something somewhere: SQL, CSV, JSON, terminals, spreadsheets, readers of lines.
HOSTILE = (
    "\x00\x01 \x1b[31m \"',;\t\r\n \u2028 \u202e \ufeff \U0001f577 =cmd|' /C calc'!A0",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "-5,00",
    "",
    " ",
    "NULL",
    "\\N",
    "null",
    "007",
    "1e999",
    '"; DROP TABLE records; --',
    "'); DROP TABLE records; --",
    "{}",
    "\\u0000",
    "{0} %s %(x)s $1 ?",
    "e\u0301 \u00e9 \ufffd \uffff \U0010ffff",
    "line\rline\nline\r\nline\x85line",
)
HOSTILE_NAMES = (
    'a"b', "a'b", "a,b", "a\nb", "a\x00b", "", " ", "select", "xmin", "rowid", "_rest", "price", "Price", "PRICE", "=1+1",
    "%s", "{}", "{x}", "x" * 300, "\U0001f577",
)  # fmt: skip


class SinkContract:
    """Subclass as ``class TestX(SinkContract)``."""

    outlives = True  # what its process held

    @abstractmethod
    def spec(self, folder: Path) -> Any:
        """What ``SINK`` says for it."""

    @abstractmethod
    def read(self, sink: Sink, folder: Path) -> list[dict[str, Any]]:
        """All rows that a reader finds, in any order, without the fields that are None."""

    def kept(self, text: str) -> str:
        """What the sink makes of a text, if not the text: as documented."""
        return text

    def build(self, folder: Path) -> Sink:
        """A sink that stores into ``folder``, not prepared."""
        return load(self.spec(folder), str(folder), os.environ)

    @pytest.fixture
    def sink(self, tmp_path: Path) -> Any:
        sink = self.build(tmp_path / "out")
        sink.prepare()
        yield sink
        sink.close()

    def keys(self, sink: Sink, tmp_path: Path) -> list[str]:
        return sorted(row["_key"] for row in self.read(sink, tmp_path / "out"))

    def start(self, program: str, folder: Path, *arguments: object) -> subprocess.Popen[bytes]:
        """Another process with a sink of its own."""
        code = SINK_OF_MINE.format(spec=self.spec(folder), folder=str(folder)) + program
        return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE)

    def needs_a_place_that_outlives_its_process(self) -> None:
        if not self.outlives:
            pytest.skip("it goes with its process")

    def test_committed_rows_are_there_whole(self, sink: Sink, tmp_path: Path) -> None:
        """A committed row is read back with the values it had."""
        sink.commit("b1", ROWS)
        found = sorted(self.read(sink, tmp_path / "out"), key=lambda row: row["n"])
        assert found == ROWS

    def test_the_same_batch_again_changes_nothing(self, sink: Sink, tmp_path: Path) -> None:
        """A batch that is delivered again, to this or another sink object, also after finish(), is stored once."""
        sink.commit("b1", ROWS)
        sink.commit("b1", ROWS)
        sink.finish()
        sink.commit("b1", ROWS)
        if self.outlives:
            another = self.build(tmp_path / "out")
            another.prepare()
            another.commit("b1", ROWS)
            another.finish()
            another.close()
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
            {"_key": "e", "price": float("nan"), "tags": 1, "new": "x", "at": 5, "big": -(2**63), "raw": 1.5},
            {
                "_key": "f",
                "price": float("inf"),
                "at": datetime(1, 1, 1, tzinfo=UTC),
                "big": 0.5,
                "new": [True],
            },
            {"_key": "g", "at": "soon", "big": {"\x00": "\x00"}, "tags": ["\x00"], "deep": _deep(400)},
        ]
        sink.commit("b1", rows[:1])
        sink.commit("b2", rows[1:4])
        sink.commit("b3", rows[4:])
        sink.finish()
        assert self.keys(sink, tmp_path) == ["a", "b", "c", "d", "e", "f", "g"]

    def test_hostile_text_comes_back(self, sink: Sink, tmp_path: Path) -> None:
        """What a page says is stored as it is, or replaced as documented; it is never a command."""
        sink.commit("b1", [{"_key": f"{n}", "text": text} for n, text in enumerate(HOSTILE)])
        sink.commit("b2", [{"_key": "other", "other": 1}])
        sink.finish()
        found = {row["_key"]: row.get("text") for row in self.read(sink, tmp_path / "out")}
        assert found == {f"{n}": self.kept(text) for n, text in enumerate(HOSTILE)} | {"other": None}

    def test_hostile_names_of_fields_lose_nothing(self, sink: Sink, tmp_path: Path) -> None:
        """Whatever a page calls its fields, every value is there, under a name or inside of ``_rest``."""
        sink.commit("b1", [{"_key": f"{n}", name: f"<{n}>"} for n, name in enumerate(HOSTILE_NAMES)])
        sink.commit("b2", [{"_key": "all"} | {name: f"<{n}>" for n, name in enumerate(HOSTILE_NAMES)}])
        sink.finish()
        found = {row["_key"]: str(row) for row in self.read(sink, tmp_path / "out")}
        assert sorted(found) == sorted([*(f"{n}" for n in range(len(HOSTILE_NAMES))), "all"])
        assert [n for n in range(len(HOSTILE_NAMES)) if f"<{n}>" not in found[f"{n}"]] == []
        assert [n for n in range(len(HOSTILE_NAMES)) if f"<{n}>" not in found["all"]] == []

    def test_a_row_that_no_sink_need_hold_raises_and_leaves_nothing(self, sink: Sink, tmp_path: Path) -> None:
        """Neither OSError nor SinkError, which would say that the place is at fault; the others can then be stored."""
        for value in (object(), "\ud800"):
            with pytest.raises((TypeError, ValueError)):
                sink.commit("b1", [*ROWS, {"_key": "x", "value": value}])
        assert self.read(sink, tmp_path / "out") == []
        sink.commit("b1", ROWS)
        assert self.keys(sink, tmp_path) == sorted(row["_key"] for row in ROWS)

    def test_a_killed_commit_is_all_or_nothing(self, sink: Sink, tmp_path: Path) -> None:
        """SIGKILL at any moment of a commit leaves the batch whole or absent, and it can be committed again."""
        self.needs_a_place_that_outlives_its_process()
        for delay_s in (0.01, 0.1, 0.123, 0.15):
            with self.start(COMMITTING, tmp_path / "out") as process:
                assert process.stdout is not None
                assert process.stdout.readline() == b"go\n"
                time.sleep(delay_s)
                process.kill()
            sink.prepare()
            keys = self.keys(sink, tmp_path)
            assert keys
            assert keys == sorted(f"{n}/{k}" for n in range(len(keys) // 200) for k in range(200))

    def test_a_batch_whose_worker_died_before_it_could_say_so_is_stored_once(
        self, sink: Sink, tmp_path: Path
    ) -> None:
        """SIGKILL right after the commit, nobody heard of it: the next worker gets the batch again."""
        self.needs_a_place_that_outlives_its_process()
        for n, row in enumerate(ROWS[:3]):
            with self.start(DIES_AFTER_COMMIT, tmp_path / "out", f"b{n}", row["_key"]) as process:
                assert process.wait(30) == -9
            sink.commit(f"b{n}", [row])
        sink.finish()
        assert self.keys(sink, tmp_path) == sorted(row["_key"] for row in ROWS[:3])

    def test_several_processes_write_at_once(self, sink: Sink, tmp_path: Path) -> None:
        """Each row once, though every batch is committed by two of them and brings a field that is new."""
        self.needs_a_place_that_outlives_its_process()
        writers = [self.start(AT_ONCE, tmp_path / "out", n) for n in range(4)]
        try:
            assert [writer.wait(60) for writer in writers] == [0] * 4
        finally:
            for writer in writers:
                writer.kill()
                writer.communicate()
        sink.finish()
        assert self.keys(sink, tmp_path) == sorted(f"{n}/{k}" for n in range(40) for k in range(5))

    def test_a_killed_finish_loses_and_doubles_nothing(self, sink: Sink, tmp_path: Path) -> None:
        """SIGKILL at random moments of finish(); the next start and the next finish() make it good."""
        self.needs_a_place_that_outlives_its_process()
        chance = random.Random(5)
        expected: list[str] = []
        for round_ in range(5):
            for n in range(20):
                sink.commit(
                    f"{round_}-{n}", [{"_key": f"{round_}/{n}/{k}", f"f{n}": "x" * 2000} for k in range(5)]
                )
                expected += [f"{round_}/{n}/{k}" for k in range(5)]
            with self.start(FINISHING, tmp_path / "out") as process:
                assert process.stdout is not None
                assert process.stdout.readline() == b"go\n"
                time.sleep(chance.uniform(0, 0.03))
                process.kill()
            sink.prepare()
            assert self.keys(sink, tmp_path) == sorted(expected)
        sink.finish()
        assert self.keys(sink, tmp_path) == sorted(expected)


def _deep(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = [value]
    return value


SINK_OF_MINE = """
import os, signal, sys
from scraper.sinks.contract import load
sink = load({spec!r}, {folder!r}, os.environ)
"""

COMMITTING = """
for n in range(10_000):
    sink.commit(f"b{n}", [{"_key": f"{n}/{k}", "text": "x" * 500} for k in range(200)])
    if n == 0:
        print("go", flush=True)
"""

DIES_AFTER_COMMIT = """
sink.commit(sys.argv[1], [{"_key": sys.argv[2], "n": 1}])
os.kill(os.getpid(), signal.SIGKILL)
"""

AT_ONCE = """
me = int(sys.argv[1])
for n in range(me % 2, 40, 2):
    sink.commit(f"b{n}", [{"_key": f"{n}/{k}", f"field {n}": n, "drifts": n if n < 20 else n / 3} for k in range(5)])
sink.close()
"""

FINISHING = """
import pyarrow.parquet  # so that the time goes into the merge
print("go", flush=True)
sink.finish()
"""
