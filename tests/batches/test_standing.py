from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scraper.batches import drain
from scraper.batches.afterwards import finding, replay, standing, wording
from scraper.batches.dead_letters import DeadLetters
from scraper.batches.spool import Spool
from scraper.errors import ConfigError
from tests.batches.conftest import ROOT
from tests.batches.harness import payload

NOW = datetime(2026, 1, 2, 4, tzinfo=UTC)


def spool_of(folder: Path) -> Spool:
    job = {"steps": [], "sink": "jsonl", "out_dir": str(folder / "out")}
    return Spool(folder / "run" / "spool", {"job": job})


def filled(folder: Path) -> Path:
    """10 items: 4 stored, a batch of 3 of which one is in quarantine and one had a death, 3 in no batch yet."""
    spool = spool_of(folder)
    row = {"_key": "r/p/0", "_scraped_at": datetime(2026, 1, 2, 3, tzinfo=UTC)}
    for number in range(10):
        spool.append(payload({**row, "n": number}))
        batch = spool.cut() if number in (3, 6) else None
        if batch and number == 3:
            spool.settle(batch)
        elif batch:
            spool.attempt(batch, 1, "killed")
            spool.quarantine(batch, 2)
    os.close(spool._lock)  # as a kill leaves it: what was allocated is still there
    return folder / "run"


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_tells_what_waits_and_changes_nothing(tmp_path: Path) -> None:
    """Items, bytes, age, quarantine; zeros at the end of a killed run's segment are no items; no byte is changed."""
    run_dir = filled(tmp_path)
    before = files(tmp_path)
    found = standing.of(run_dir)
    assert (found.waiting, found.quarantined, found.batches, found.damaged, found.holder) == (5, 1, 2, 0, 0)
    assert wording.age(found.oldest, NOW) == "60 min"
    assert [(batch.n, dict(batch.attempts), batch.skip) for batch in standing.waiting(run_dir / "spool")] == [
        (3, {1: 1}, [2]),
        (3, {}, []),
    ]
    assert files(tmp_path) == before


def test_it_counts_what_a_damaged_record_costs(tmp_path: Path) -> None:
    """The record is named as damaged, all others are still there."""
    run_dir = filled(tmp_path)
    (segment,) = (run_dir / "spool").glob("seg-*")
    data = bytearray(segment.read_bytes())
    start = standing.waiting(run_dir / "spool")[1].start
    data[start + 30] ^= 1
    segment.write_bytes(data)
    assert (standing.of(run_dir).waiting, standing.of(run_dir).damaged) == (5, 1)
    items = list(standing.items(standing.waiting(run_dir / "spool")[1]))
    assert [item.row and item.row["n"] for item in items] == [None, 8, 9]


def test_it_names_the_process_that_delivers(tmp_path: Path) -> None:
    """From the system's table of locks: the lock itself is never taken, so no start is refused for our looking."""
    filled(tmp_path)
    program = "import sys, time; from pathlib import Path; from scraper.batches import drain\nwith drain.alone(Path(sys.argv[1])): print(1, flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "run")], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            assert standing.of(tmp_path / "run").holder == process.pid
        finally:
            process.kill()
    assert standing.of(tmp_path / "run").holder == 0
    spool_of(tmp_path).close()


def test_letters_are_counted_until_a_replay_takes_them(tmp_path: Path) -> None:
    """Those that a replay took and did not deliver yet wait there, and drain delivers them too."""
    spool_of(tmp_path).close()
    letters = DeadLetters(tmp_path / "run")
    letters.add("a", "clean", "x", None, "", payload({"n": 1}))
    letters.add("b", "encode", "x", {"n": 2})
    found = standing.of(tmp_path / "run")
    assert (found.letters, found.unreplayable) == ({"clean": 1, "encode": 1}, 1)
    replay.begin(tmp_path / "run", ["a"])
    found = standing.of(tmp_path / "run")
    assert (found.letters, found.replaying) == ({"encode": 1}, 1)
    assert found.replaying_bytes > 0
    assert "completes a replay" in wording.next_steps(found, tmp_path)[0]
    counts, _failure = asyncio.run(drain.drain(tmp_path / "run", workers=0, timeout_s=30))
    assert counts["batches/stored"] == 1
    assert standing.of(tmp_path / "run").replaying == 0


def test_what_a_page_said_cannot_steer_a_terminal() -> None:
    assert wording.plain("a\x1b[2J\nb\x9bc\u202e") == "a\ufffd[2J b\ufffdc\ufffd"


@pytest.mark.parametrize("name", ["", "/etc", "."])
def test_what_is_no_run_is_not_done(tmp_path: Path, name: str) -> None:
    """A typo in a timetable must not stay green."""
    (tmp_path / "runs" / "shop-1" / "spool").mkdir(parents=True)
    (tmp_path / "runs" / "shop-1" / "spool" / "spool.json").write_text("{}")
    with pytest.raises(ConfigError):
        finding.run_dir(name, tmp_path)
    assert finding.run_dir("shop", tmp_path) == tmp_path / "runs" / "shop-1"
