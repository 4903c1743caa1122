"""run.json: whole or absent, beating while the run lives, lost when it stops beating."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scraper.errors import ConfigError
from scraper.runs import naming, record
from scraper.runs.failed import FailedPage, FailedPages

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def a_record(**changes: object) -> record.RunRecord:
    fields = {"run_id": "r", "spider": "s", "started": NOW, "heartbeat": NOW, **changes}
    return record.RunRecord(**fields)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = a_record(arguments={"url": "https://shop.example"}, paths={"data": "out"})
    record.write(written, tmp_path)
    assert record.read(tmp_path, now=NOW) == written
    assert json.loads((tmp_path / "run.json").read_text())["started"] == "2026-11-23T03:00:00Z"
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(("silent_s", "outcome"), [(59, ""), (61, "lost")])
def test_a_run_whose_heart_stopped_is_lost(tmp_path: Path, silent_s: int, outcome: str) -> None:
    record.write(a_record(), tmp_path)
    assert record.read(tmp_path, now=NOW + timedelta(seconds=silent_s)).outcome == outcome


def test_a_run_that_ended_is_never_lost(tmp_path: Path) -> None:
    record.write(a_record(ended=NOW, outcome="succeeded"), tmp_path, last=True)
    assert record.read(tmp_path / "run.json", now=NOW + timedelta(days=9)).outcome == "succeeded"


def test_a_write_that_fails_leaves_the_last_record_whole(tmp_path: Path) -> None:
    record.write(a_record(), tmp_path)
    (tmp_path / f".run.json.{__import__('os').getpid()}").mkdir()  # in the way of the temporary file
    with pytest.raises(OSError):
        record.write(a_record(outcome="succeeded"), tmp_path)
    assert record.read(tmp_path, now=NOW).outcome == ""


def test_the_version_is_the_commit_in_a_checkout_and_the_package_elsewhere(tmp_path: Path) -> None:
    assert record.code_version(tmp_path) == record.version("scraper")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=n@example.org"]
    (tmp_path / "a").write_text("1")
    for words in (["init", "-q"], ["add", "a"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    sha = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert record.code_version(tmp_path) == sha[:9]
    (tmp_path / "a").write_text("2")
    assert record.code_version(tmp_path) == sha[:9] + "-dirty"


def test_failed_pages_appear_with_the_first_line(tmp_path: Path) -> None:
    pages = FailedPages(tmp_path / "failed.jsonl")
    assert not pages.path.exists()
    pages.add(FailedPage(url="https://shop.example/1", rule="captcha_marker", outcome="blocked", attempts=6))
    pages.add(FailedPage(url="https://shop.example/2", rule="connect_timeout", outcome="fault", attempts=6))
    lines = pages.path.read_text().splitlines()  # before it is closed: a killed run keeps its list
    pages.close()
    assert [json.loads(line)["url"] for line in lines] == ["https://shop.example/1", "https://shop.example/2"]
    assert lines[0].startswith('{"url":')


def test_run_ids_sort_by_time_and_are_folder_names() -> None:
    assert naming.new_run_id("shop", NOW, 0xABCDE) == "shop-20261123T030000Z-bcde"
    assert naming.new_run_id("../etc/passwd é", NOW, 1) == "etc-passwd-20261123T030000Z-0001"
    assert naming.new_run_id("..", NOW, 1).startswith("spider-")
    assert naming.run_dir("data", "r") == "data/runs/r"
    assert naming.out_dir("data", "r") == "data/out/r"


@pytest.mark.parametrize("wrong", ["", "..", ".hidden", "a/b", "a b", "x" * 121, "a\n"])
def test_a_run_id_that_is_no_folder_name_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="RUN_ID"):
        naming.checked_run_id(wrong)
