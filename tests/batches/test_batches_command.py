"""``scrapy batches``, as it is typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from scraper.batches import drain
from tests.batches.conftest import ROOT
from tests.batches.test_drain import left_behind
from tests.batches.test_replay import BUG, failed
from tests.batches.test_rerun import archive

NAME = "shop-20260102T030405Z-1a2b"


def batches(data: Path, *words: str) -> Any:
    command = [sys.executable, "-m", "scrapy", "batches", *words, "-s", f"DATA_DIR={data}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=dict(os.environ))


def run_in(data: Path, made: Path, name: str = NAME) -> None:
    """Move what was made below ``made`` to where a crawl's folders lie."""
    for kind in ("runs", "out"):
        (data / kind).mkdir(parents=True, exist_ok=True)
    (made / "run").rename(data / "runs" / name)
    if (made / "out").exists():
        (made / "out").rename(data / "out" / name)


def test_a_killed_run_is_found_looked_into_and_drained(tmp_path: Path) -> None:
    """status 1, inspect, drain 1 since a dead letter came of it, sql over the records."""
    left_behind(tmp_path / "made", 250)
    run_in(tmp_path, tmp_path / "made")
    found = batches(tmp_path, "status", "--json")
    (facts,) = map(json.loads, found.stdout.splitlines())
    assert (found.returncode, facts["run"], facts["waiting"], facts["state"]) == (1, NAME, 250, "waits")
    folder = (
        tmp_path / "runs" / NAME
    )  # not where a plain `scrapy batches` would look: the id alone would not do
    assert facts["next"][0].startswith(f"scrapy batches drain {folder}")
    found = batches(tmp_path, "inspect", "shop-2026", "--json", "--limit", "2")
    assert [json.loads(line)["item"]["n"] for line in found.stdout.splitlines()] == [0, 1]
    found = batches(tmp_path, "drain", NAME)
    assert (found.returncode, found.stderr) == (1, "")
    assert found.stdout.startswith("250 items in the spool: 249 stored, 1 dead letter, 0 dropped\n")
    out = json.loads((tmp_path / "runs" / NAME / "spool" / "spool.json").read_text())["job"]["out_dir"]
    found = batches(tmp_path, "sql", "select count(*) n, min(run) run from records", NAME, "--json")
    assert json.loads(found.stdout) == {"n": 249, "run": NAME}, (found.stderr, out)


def test_dead_letters_are_shown_with_their_reason_and_replayed(tmp_path: Path) -> None:
    """inspect has reason and traceback, a dry run changes nothing, replay stores them, then nothing is left."""
    failed(tmp_path / "made")
    run_in(tmp_path, tmp_path / "made")
    found = batches(tmp_path, "inspect", NAME, "--letters")
    assert found.returncode == 1
    assert "ValueError: a bug of the step" in found.stdout
    assert "in step\n        raise ValueError" in found.stdout
    found = batches(tmp_path, "replay", NAME, "--step", BUG, "--dry-run")
    assert found.stdout == "3 dead letters to replay\n"
    assert batches(tmp_path, "inspect", NAME, "--letters", "--step", "nosuch").returncode == 2
    found = batches(tmp_path, "replay", NAME, "--steps", "clean,nosuch")
    assert (found.returncode, found.stderr.startswith("scrapy batches: --steps = 'nosuch'")) == (2, True)
    found = batches(tmp_path, "replay", NAME)
    assert (found.returncode, "3 dead letters" in found.stdout) == (1, True)
    (tmp_path / "made" / "mended").touch()
    found = batches(tmp_path, "replay", NAME)
    assert (found.returncode, found.stdout) == (0, "3 items replayed: 3 stored, 0 dead letters, 0 dropped\n")
    found = batches(tmp_path, "status")
    assert (found.returncode, "1 run in" in found.stdout and "all stored" in found.stdout) == (0, True)


def test_a_run_is_named_as_it_can_be_typed(tmp_path: Path) -> None:
    """By its id where DATA_DIR is the settings' own."""
    left_behind(tmp_path / "made", 5)
    run_in(tmp_path / "data", tmp_path / "made")
    found = subprocess.run(
        [sys.executable, "-m", "scrapy", "batches", "status"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**os.environ, "SCRAPY_SETTINGS_MODULE": "scraper.settings", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert f"scrapy batches drain {NAME} " in found.stdout, found.stderr


def test_kept_segments_are_run_again_with_other_steps(tmp_path: Path) -> None:
    """Into a folder that reads like a run's; the same command has then nothing to do."""
    kept = archive(tmp_path / "old", 30)
    words = ("run", str(kept), "--out", str(tmp_path / "new"), "--steps", "content_hash", "--sink", "jsonl")
    found = batches(tmp_path, *words)
    assert (found.returncode, found.stderr) == (0, "")
    assert "30 items in the segments: 30 stored" in found.stdout
    assert "0 items in the segments" in batches(tmp_path, *words).stdout
    found = batches(
        tmp_path, "sql", "select count(content_hash) n from records", str(tmp_path / "new"), "--csv"
    )
    assert found.stdout == "n\n30\n"


def test_what_goes_wrong_is_one_kind_line(tmp_path: Path) -> None:
    """Exit code 2: a name that no run has, a run that is being delivered, an option of another word, wrong SQL."""
    left_behind(tmp_path / "made", 5)
    run_in(tmp_path, tmp_path / "made")
    found = batches(tmp_path, "drain", NAME.replace("shop", "shpo"))
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.endswith(f"did you mean {NAME}?\n")
    with drain.alone(tmp_path / "runs" / NAME):
        found = batches(tmp_path, "drain", NAME)
        assert (found.returncode, f"process {os.getpid()} is delivering it" in found.stderr) == (2, True)
        assert batches(tmp_path, "status").returncode == 0
    for no_run in ("", str(tmp_path)):
        found = batches(tmp_path, "status", no_run)
        assert (found.returncode, found.stderr.startswith("scrapy batches: RUN = ")) == (2, True)
    found = batches(tmp_path, "work", "--log", "foo")
    assert (found.returncode, found.stderr.count("\n"), "--log = 'foo'" in found.stderr) == (2, 1, True)
    found = batches(tmp_path, "status", "--csv")
    assert (found.returncode, "--csv: not for status" in found.stderr) == (2, True)
    found = batches(tmp_path, "sql", "copy (select 1) to 'x'", NAME)
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)
