"""How runs end: every mistake and every signal has its outcome, its exit code, and a line that names the next step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scraper.lab import process as lab_process

HERE = Path(__file__).parent
FAILING = {"PYTHONPATH": str(HERE)}
MODULES = ["-s", "SPIDER_MODULES=spiders_for_tests"]


def test_a_site_is_stored_page_by_page(crawl: Callable[..., Any], target: Any, direct: list[str]) -> None:
    run = crawl("site", "-a", f"url={target.url}", *direct).wait()
    assert (run.exit_code, run.outcome) == (0, "succeeded"), run.err[-2000:]
    assert sorted(row["url"] for row in run.rows()) == sorted(
        [target.url, *(f"{target.url}p/{n}" for n in range(30))]
    )
    assert all(row["main_text"] for row in run.rows())


def test_callbacks_that_all_raise_are_a_failed_run(
    crawl: Callable[..., Any], target: Any, direct: list[str]
) -> None:
    run = crawl("raising_callback", "-a", f"url={target.url}", *direct, *MODULES, env=FAILING).wait()
    assert (run.exit_code, run.outcome) == (14, "failed_error")
    assert "KeyError" in run.out


def test_a_start_that_raises_is_a_failed_run(crawl: Callable[..., Any], direct: list[str]) -> None:
    run = crawl("raising_start", *direct, *MODULES, env=FAILING).wait()
    assert (run.exit_code, run.outcome) == (14, "failed_error")
    assert "no list of shops" in run.out + run.err


@pytest.mark.parametrize(
    ("arguments", "code", "names"),
    [
        (["site", "-a", "ulr=http://x.example/"], 1, ["ulr", "url"]),
        (["site", "-a", "url=http://x.example/", "-a", "max_pages=many"], 1, ["max_pages", "many"]),
        (["sight"], 2, ["sight", "site"]),
        (
            ["shop", "-a", "url=http://x.example/", "-s", "PROXIES_FILE=/nowhere/proxies.toml"],
            1,
            ["PROXIES_FILE", "/nowhere"],
        ),
        (
            ["shop", "-a", "url=http://x.example/", "-s", "BAN_MAX_ATTEMPTS=0"],
            1,
            ["BAN_MAX_ATTEMPTS", "at least 1"],
        ),
        (["shop", "-a", "url=http://x.example/", "-s", "JOBDIR=job"], 1, ["JOBDIR", "not supported"]),
        (
            ["shop", "-a", "url=http://x.example/", "-s", "DOWNLOAD_DELAI=3"],
            1,
            ["DOWNLOAD_DELAI", "DOWNLOAD_DELAY"],
        ),
        (
            ["shop", "-a", "url=http://x.example/", "-s", "TLS_CA_FILE=/nowhere"],
            1,
            ["TLS_CA_FILE", "/nowhere"],
        ),
        (["shop", "-a", "url=http://x.example/", "-s", "SINK=parket"], 1, ["parket", "parquet"]),
        (["shop", "-a", "url=http://x.example/", "-s", "BATCH_STEPS=cleen"], 1, ["cleen", "clean"]),
    ],
)
def test_a_start_that_fails_says_what_to_change_in_one_line(
    crawl: Callable[..., Any], arguments: list[str], code: int, names: list[str]
) -> None:
    run = crawl(*arguments).wait()
    assert run.exit_code == code, run.err
    (line,) = [line for line in run.err.splitlines() if "failed_start" in line]
    assert [name for name in names if name not in line] == []
    assert "Traceback" not in run.err
    assert run.outcome == "failed_start"


def test_a_proxies_file_that_cannot_be_read_stops_the_start(
    crawl: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "proxies.toml").write_bytes(b"\xff[pools")
    run = crawl("site", "-a", "url=http://x.example/", "-s", f"PROXIES_FILE={tmp_path}/proxies.toml").wait()
    assert (run.exit_code, run.outcome) == (1, "failed_start")
    assert "PROXIES_FILE" in run.err
    assert "Traceback" not in run.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_cleanly_with_everything_flushed(
    crawl: Callable[..., Any], target: Any, direct: list[str], number: signal.Signals, code: int
) -> None:
    run = crawl("slow", "-a", f"url={target.url}", *direct, *MODULES, env=FAILING)
    wait_for(lambda: len(target.asked) > 40)
    run.send(number)
    run.wait(30)
    assert (run.exit_code, run.outcome) == (code, "cancelled"), run.err[-2000:]
    records = run.report["records"]
    assert records["stored"] == len(run.rows()) == records["scraped"] > 20


def test_a_worker_killed_in_mid_run_changes_nothing_in_the_store(
    crawl: Callable[..., Any], target: Any, direct: list[str]
) -> None:
    run = crawl(
        "site",
        "-a",
        f"url={target.url}",
        *direct,
        "-s",
        "BATCH_ITEMS=2",
        "-s",
        "BATCH_AGE_S=0.05",
        "-s",
        "DOWNLOAD_DELAY=0.05",
    )
    wait_for(lambda: len(target.asked) > 5)
    for worker in workers_of(run.process.pid):
        os.kill(worker, signal.SIGKILL)
    run.wait()
    assert (run.exit_code, run.outcome) == (0, "succeeded"), run.out + run.err[-2000:]
    rows = run.rows()
    assert sorted(row["url"] for row in rows) == sorted(
        [target.url, *(f"{target.url}p/{n}" for n in range(30))]
    )
    assert len({row["_key"] for row in rows}) == 31
    assert run.report["batches"]["worker_deaths"] >= 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"this machine lets us mount no tmpfs: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_full_disk_fails_the_run_and_says_so(
    crawl: Callable[..., Any], target: Any, direct: list[str], small_disk: Path
) -> None:
    run = crawl(
        "numbers", "-a", f"url={target.url}", *direct, *MODULES, "-s", "BATCH_OUTAGE_S=2", env=FAILING,
        folder=small_disk / "data",
    ).wait()  # fmt: skip
    assert run.exit_code == 13, run.out + run.err[-3000:]
    assert run.outcome == "failed_storage"
    assert "space" in run.out, run.out


def wait_for(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def workers_of(pid: int) -> list[int]:
    """Processes below ``pid`` that run the worker: descendants without children of their own that nice has slowed."""
    tree = subprocess.run(
        ["ps", "-eo", "pid,ppid,ni"], capture_output=True, text=True, check=True
    ).stdout.split("\n")[1:]
    rows = [tuple(map(int, line.split())) for line in tree if line.strip() and "-" not in line.split()[2]]
    below, found = {pid}, []
    for _ in range(4):
        below |= {child for child, parent, _ in rows if parent in below}
    found = [child for child, _, nice in rows if child in below and nice >= 10]
    assert found, "no worker is running"
    return found


def test_a_run_id_that_was_used_is_refused_and_what_it_left_stays(
    crawl: Callable[..., Any], target: Any, direct: list[str], tmp_path: Path
) -> None:
    first = crawl(
        "site", "-a", f"url={target.url}", *direct, "-s", "RUN_ID=night", folder=tmp_path / "data"
    ).wait()
    report, rows = first.report, len(first.rows())
    again = crawl(
        "site", "-a", f"url={target.url}", *direct, "-s", "RUN_ID=night", folder=tmp_path / "data"
    ).wait()
    assert again.exit_code == 1
    assert "RUN_ID = 'night'" in again.err
    assert "drain" in again.err
    assert (again.report, len(again.rows())) == (report, rows)


def test_pages_whose_callback_raised_can_be_fed_back_to_that_callback(
    crawl: Callable[..., Any], target: Any, direct: list[str]
) -> None:
    options = [*direct, *MODULES]
    run = crawl("sometimes_raises", "-a", f"url={target.url}", *options, env=FAILING).wait()
    assert (run.exit_code, run.outcome) == (14, "failed_error")
    assert len(run.rows()) == 15
    failed = run.run_dir / "failed.jsonl"
    again = crawl(
        "sometimes_raises", "-a", f"urls_file={failed}", *options, env={**FAILING, "MENDED": "1"}
    ).wait()
    assert (again.exit_code, again.outcome) == (0, "succeeded"), again.out
    assert {row["url"] for row in run.rows()} | {row["url"] for row in again.rows()} == {
        f"{target.url}p/{n}" for n in range(30)
    }


def test_a_cancelled_run_lists_what_nobody_asked_for(
    crawl: Callable[..., Any], target: Any, direct: list[str]
) -> None:
    run = crawl("site", "-a", f"url={target.url}", *direct, "-s", "DOWNLOAD_DELAY=0.2")
    wait_for(lambda: len(target.asked) > 5)
    run.send(signal.SIGTERM)
    run.wait()
    listed = [
        json.loads(line) for line in (run.run_dir / "failed.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    left = {page["url"] for page in listed if page["rule"] == "not_asked"}
    stored = {row["url"] for row in run.rows()}
    assert left
    assert left | stored == {target.url, *(f"{target.url}p/{n}" for n in range(30))}


def test_a_budget_stops_the_run_and_keeps_what_it_has(crawl: Callable[..., Any], tmp_path: Path) -> None:
    with lab_process.start(tmp_path / "lab", pages=4) as lab:
        run = crawl(
            "shop", "-a", f"url={lab.info['sites']['open']['start_url']}", "-s", f"PROXIES_FILE={tmp_path}/lab/proxies.toml",
            "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", "DOWNLOAD_DELAY=0.05", "-s", "PROXY_BUDGET_USD=0.00002",
        ).wait()  # fmt: skip
    assert (run.exit_code, run.outcome) == (12, "failed_budget"), run.out
    assert 0 < len(run.rows()) < 40
    assert 0.00002 <= run.report["cost"]["usd"] < 0.00004


def test_a_feed_that_cannot_be_written_fails_the_run(
    crawl: Callable[..., Any], target: Any, direct: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    run = crawl("site", "-a", f"url={target.url}", *direct, "-O", f"{tmp_path}/file/x.csv").wait()
    assert (run.exit_code, run.outcome) == (13, "failed_storage"), run.out
