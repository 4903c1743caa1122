from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from scraper.batches import drain, spool
from scraper.batches.afterwards import replay, standing
from scraper.batches.dead_letters import DeadLetters
from scraper.errors import ConfigError
from tests.batches.conftest import ROOT
from tests.batches.harness import Run, payload

BUG = "tests.batches.mended.step"


def failed(folder: Path, n: int = 8, bad: int = 3, do: str | None = None) -> Run:
    """A run whose step raised over ``bad`` of its ``n`` items; or that did ``do`` over them."""
    run = Run(folder, steps=[{BUG: {"flag": str(folder / "mended")}}])
    run.deliver(
        {"bad": number < bad, "do": do if number < bad else None, "raw": b"\xff\0"} for number in range(n)
    )
    assert len(run.letters()) == bad
    return run


def again(run_dir: Path) -> tuple[Counter[str], str]:
    """One whole replay."""
    chosen = replay.choose(run_dir)
    round_dir = replay.begin(run_dir, chosen.ids)
    return asyncio.run(drain.replayed(run_dir, round_dir, workers=1, timeout_s=30))


def test_letters_are_stored_once_after_the_bug_is_mended(tmp_path: Path) -> None:
    """With what the spool held, bytes and times included; then there is nothing left to replay."""
    run = failed(tmp_path)
    assert (
        run.letters()[0]["payload"]
        == base64.b64encode(payload({"n": 0, "bad": True, "do": None, "raw": b"\xff\0"})).decode()
    )
    (tmp_path / "mended").touch()
    counts, failure = again(tmp_path / "run")
    assert (counts["batches/stored"], failure) == (3, "")
    assert run.numbers() == list(range(8))
    assert {row["raw"] for row in run.rows()} == {"/wA="}
    assert replay.choose(tmp_path / "run").ids == []
    assert standing.of(tmp_path / "run").is_done


def test_what_fails_again_is_a_letter_anew(tmp_path: Path) -> None:
    """With an id of its own, once; a later replay takes that one."""
    run = failed(tmp_path)
    counts, failure = again(tmp_path / "run")
    assert (counts["batches/stored"], counts["batches/dead_letter"], failure) == (0, 3, "")
    assert len({letter["id"] for letter in run.letters()}) == 6
    assert standing.of(tmp_path / "run").letters == {BUG: 3}
    (tmp_path / "mended").touch()
    assert again(tmp_path / "run")[0]["batches/stored"] == 3
    assert run.numbers() == list(range(8))


def test_a_letter_that_kills_workers_is_quarantined_again(tmp_path: Path) -> None:
    """The replay goes on without it, and nothing but workers dies."""
    run = failed(tmp_path, do="kill", bad=1)
    counts, failure = again(tmp_path / "run")
    assert (counts["batches/worker_deaths"], failure) == (2, "")
    assert [letter["step"] for letter in run.letters()] == ["worker", "worker"]


def test_only_the_letters_that_are_asked_for(tmp_path: Path) -> None:
    """By step and by id; what never was encoded, or was damaged, is counted and left."""
    failed(tmp_path)
    letters = DeadLetters(tmp_path / "run")
    letters.add("k-1", "encode", "no", {"x": 1})
    letters.add("b-9", "clean", "no", None, "", payload({"n": 9}))
    assert len(replay.choose(tmp_path / "run").ids) == 4
    assert replay.choose(tmp_path / "run").lack == {"encode": 1}
    assert replay.choose(tmp_path / "run", step="clean").ids == ["b-9"]
    assert replay.choose(tmp_path / "run", id="b-").ids == ["b-9"]
    with pytest.raises(ConfigError, match=f"claen.*clean, encode, {BUG}"):
        replay.choose(tmp_path / "run", step="claen")


def test_a_round_whose_steps_are_gone_is_given_others(tmp_path: Path) -> None:
    """While nothing of it is stored."""
    run = failed(tmp_path)
    ids = replay.choose(tmp_path / "run").ids
    round_dir = replay.begin(tmp_path / "run", ids)
    about = spool.about(round_dir)
    spool.describe(round_dir, {**about, "job": {**about["job"], "steps": ["gone.step"]}})
    with pytest.raises(ConfigError, match="--steps = 'gone"):
        replay.go_on(tmp_path / "run", round_dir)
    (tmp_path / "mended").touch()
    replay.go_on(tmp_path / "run", round_dir, about["job"]["steps"])
    counts, failure = asyncio.run(drain.replayed(tmp_path / "run", round_dir, workers=1, timeout_s=30))
    assert (counts["batches/stored"], failure, run.numbers()) == (3, "", list(range(8)))
    with pytest.raises(ConfigError, match="complete it without --steps"):
        replay.go_on(tmp_path / "run", round_dir, ["clean"])


def test_a_run_that_is_being_delivered_is_left_alone(tmp_path: Path) -> None:
    """Two that merge the same files would spoil them: the error names the process, and nothing is taken."""
    failed(tmp_path)
    ids = replay.choose(tmp_path / "run").ids
    with (
        drain.alone(tmp_path / "run"),
        pytest.raises(ConfigError, match=f"process {os.getpid()} is delivering"),
    ):
        replay.begin(tmp_path / "run", ids)
    assert replay.choose(tmp_path / "run").ids == ids


PROGRAM = """
import asyncio, sys
from pathlib import Path
from scraper.batches import drain
from scraper.batches.afterwards import replay
run = Path(sys.argv[1])
for left in replay.unfinished(run):
    asyncio.run(drain.replayed(run, left, workers=1, timeout_s=30))
chosen = replay.choose(run)
if chosen.ids:
    print("begun", flush=True)
    asyncio.run(drain.replayed(run, replay.begin(run, chosen.ids), workers=1, timeout_s=30))
print("ended", flush=True)
"""


def test_a_replay_that_is_killed_at_any_moment_stores_once(tmp_path: Path) -> None:
    """SIGKILL after 0 to 400 ms of its work, again and again, then once to the end: every letter is in the store once."""
    n = 60
    run = Run(tmp_path, steps=[{BUG: {"flag": str(tmp_path / "mended"), "ms": 5.0}}])
    run.deliver({"bad": True} for _ in range(n))
    (tmp_path / "mended").touch()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "run")]
    kills = 0
    for moment in range(8):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moment * 0.06)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert kills >= 2
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert run.numbers() == list(range(n))
    assert standing.of(tmp_path / "run").is_done


def test_steps_that_do_not_load_take_no_letter(tmp_path: Path) -> None:
    """A typo is told, and the next try has all of them."""
    run = failed(tmp_path)
    ids = replay.choose(tmp_path / "run").ids
    with pytest.raises(ConfigError, match="--steps = 'claen'"):
        replay.begin(tmp_path / "run", ids, ["claen"])
    assert replay.choose(tmp_path / "run").ids == ids
    (tmp_path / "mended").touch()
    again(tmp_path / "run")
    assert run.numbers() == list(range(8))
