from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from scraper.batches import drain
from scraper.batches.afterwards import rerun, standing
from scraper.errors import ConfigError
from tests.batches.conftest import ROOT
from tests.batches.harness import Run


def archive(folder: Path, n: int) -> Path:
    """Segments that a run kept, with ``n`` items."""
    Run(folder, steps=[], items=100, keep_segments=True).deliver({"x": "y" * 200} for _ in range(n))
    (kept,) = (folder / "run" / "segments").glob("seg-*.log")
    return kept


def begun(folder: Path, files: list[Path], steps: list[Any] | None = None) -> Run:
    """A rerun of them into a new place, and its eyes."""
    rerun.prepare(folder / "run", files, steps if steps is not None else [], ["jsonl"], ([], "parquet"), {})
    (folder / "out").symlink_to(folder / "run" / rerun.RECORDS)
    return Run(folder)


def go(run: Run) -> Any:
    return asyncio.run(drain.drain(run.folder / "run", workers=1, timeout_s=30))


def test_new_steps_over_old_segments(tmp_path: Path) -> None:
    """Every item once, in another place; the segments stay as they are, and a second time there is nothing to do."""
    kept = archive(tmp_path / "old", 250)
    before = kept.read_bytes()
    run = begun(tmp_path / "new", rerun.segments_of(tmp_path / "old" / "run"), ["content_hash"])
    counts, failure = go(run)
    assert (counts["batches/recovered"], counts["batches/stored"], failure) == (250, 250, "")
    assert run.numbers() == list(range(250))
    assert all("content_hash" in row for row in run.rows())
    assert go(run)[0]["batches/recovered"] == 0
    assert run.numbers() == list(range(250))
    assert kept.read_bytes() == before


def test_a_damaged_record_is_a_letter_and_costs_no_other(tmp_path: Path) -> None:
    kept = archive(tmp_path / "old", 100)
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 1
    kept.write_bytes(data)
    run = begun(tmp_path / "new", [kept])
    counts, _failure = go(run)
    assert (counts["batches/stored"], counts["batches/dead_letter"]) == (99, 1)
    assert [letter["step"] for letter in run.letters()] == ["spool"]


def test_zeros_at_the_end_are_no_items(tmp_path: Path) -> None:
    """Room that a killed run had allocated."""
    kept = archive(tmp_path / "old", 5)
    with kept.open("ab") as file:
        file.write(bytes(10_000))
    counts, failure = go(begun(tmp_path / "new", [kept]))
    assert (counts["batches/stored"], counts["batches/dead_letter"], failure) == (5, 0, "")


def test_it_goes_on_after_kills(tmp_path: Path) -> None:
    """SIGKILL again and again, then the same once more to the end: every item is in the store once."""
    kept = archive(tmp_path / "old", 600)
    run = begun(tmp_path / "new", [kept], [{"tests.batches.poison.slow": {"ms": 8.0}}])
    command = [sys.executable, "-m", "scraper.batches.drain", str(tmp_path / "new" / "run"), "--workers", "1"]
    for moment in range(5):
        process = subprocess.Popen(command, cwd=ROOT)
        time.sleep(0.5 + moment * 0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert standing.of(tmp_path / "new" / "run").waiting > 0
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert run.numbers() == list(range(600))


def test_what_cannot_be_run_is_said_at_once(tmp_path: Path) -> None:
    """No segment, no such place, a place that was begun with others."""
    kept = archive(tmp_path / "old", 5)
    other = tmp_path / "other.parquet"
    other.write_bytes(b"PAR1 something else")
    with pytest.raises(ConfigError, match="is no segment"):
        begun(tmp_path / "a", [other])
    with pytest.raises(ConfigError, match="BATCH_KEEP_SEGMENTS"):
        rerun.segments_of(tmp_path)
    begun(tmp_path / "b", [kept], ["clean"])
    default: tuple[list[Any], Any] = ([], "parquet")
    assert rerun.prepare(tmp_path / "b" / "run", [kept], None, None, default, {}).steps == ["clean"]
    with pytest.raises(ConfigError, match=r"--steps.*begun with others"):
        rerun.prepare(tmp_path / "b" / "run", [kept], ["content_hash"], None, default, {})
    with pytest.raises(ConfigError, match="clena"):
        rerun.prepare(tmp_path / "c" / "run", [kept], ["clena"], None, default, {})
    assert not (tmp_path / "c").exists()
