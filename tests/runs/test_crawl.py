"""`scrapy crawl` as a whole process: its exit code, what it prints, and what it leaves behind."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scraper.runs import record
from tests.runs.conftest import CANARY, Crawl, Project


@pytest.mark.parametrize(
    ("name", "code", "word", "rule"),
    [
        ("good", 0, "succeeded", "all_rules_passed"),
        ("stored", 0, "succeeded", "all_rules_passed"),
        ("raises", 14, "failed_error", "callbacks_raised"),
        ("start_raises", 14, "failed_error", "start_error"),
        ("empty", 10, "failed_quality", "too_few_records"),
        ("gives_up", 11, "failed_blocked", "nothing_but_blocks"),
        ("loses_items", 13, "failed_storage", "books_do_not_balance"),
        ("timeout", 15, "timed_out", "timed_out"),
        ("no_item", 16, "stalled", "stalled"),
        ("sigterm", 143, "cancelled", "signal"),
        ("sigint", 130, "cancelled", "signal"),
        ("sighup", 143, "cancelled", "signal"),
        ("sigint_twice", 130, "cancelled", "forced"),
        ("sigterm_opening", 143, "cancelled", "signal"),
    ],
)
def test_one_word_in_exit_code_summary_record_and_report(
    crawls: dict[str, Crawl], name: str, code: int, word: str, rule: str
) -> None:
    crawl = crawls[name]
    assert crawl.code == code, crawl.err
    assert crawl.out.startswith(word.upper() + "  ")
    assert f"[{rule}]" in crawl.out
    assert (crawl.record["outcome"], crawl.record["rule"], crawl.record["exit_code"]) == (word, rule, code)
    assert crawl.record["ended"] >= crawl.record["started"]
    assert crawl.report["verdict"]["outcome"] == word
    assert crawl.report["stats"]["runs/outcome"] == word
    assert not list(crawl.folder.glob(".*")) if crawl.folder else False  # neither reserve nor temporary files


@pytest.mark.parametrize(
    ("name", "code", "line"),
    [
        ("unknown_spider", 2, "spider = 'godo': did you mean good? this project has: crash, empty, endless,"),
        ("wrong_argument", 1, "max_page = '3': unknown argument; did you mean max_pages?"),
        ("wrong_setting", 1, "PROXIES_FILE = 'proxies.toml': no such file; copy proxies.example.toml"),
        ("wrong_at_open", 1, "SINK = 'parqet': unknown sink; did you mean parquet?"),
        ("wrong_own_setting", 1, "RUN_MIN_ITEMS = 'many': must be a whole number"),
        ("crash", 1, "RuntimeError: http://***@gateway.example:8000 is down"),
        ("broken_project", 1, "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ("no_extension", 1, "EXTENSIONS: must hold scraper.runs.extension.RunExtension"),
    ],
)
def test_a_start_that_fails_says_why_in_one_line(
    crawls: dict[str, Crawl], name: str, code: int, line: str
) -> None:
    crawl = crawls[name]
    assert crawl.code == code
    said = [text for text in crawl.err.splitlines() if text.startswith("scrapy crawl ")]
    assert len(said) == 1
    assert f": failed_start: {line}" in said[0]
    assert crawl.out == ""
    assert (crawl.record["outcome"], crawl.record["exit_code"]) == ("failed_start", code)
    assert line in crawl.record["reason"]
    assert crawl.report["verdict"]["outcome"] == "failed_start"


@pytest.mark.parametrize("name", ["unknown_spider", "wrong_argument", "wrong_setting", "wrong_own_setting"])
def test_a_mistake_of_the_user_has_no_traceback(crawls: dict[str, Crawl], name: str) -> None:
    assert "Traceback" not in crawls[name].err


def test_a_mistake_of_the_code_has_its_traceback_in_the_log(crawls: dict[str, Crawl]) -> None:
    assert "Traceback" in crawls["broken_project"].err  # the log is on stderr
    with_file = crawls["crash"]
    assert with_file.err.count("\n") == 1
    assert with_file.err.endswith("***@gateway.example:8000 is down; its traceback is in crawl.log\n")
    assert "Traceback" in (with_file.cwd / "crawl.log").read_text()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("wrong_run_id", "RUN_ID = '../elsewhere': use up to 120 letters"),
        ("unwritable", "RUN_DIR = 'scrapy.cfg/runs/"),
    ],
)
def test_a_run_that_has_no_place_still_says_why(crawls: dict[str, Crawl], name: str, line: str) -> None:
    assert crawls[name].code == 1
    assert line in crawls[name].err
    assert "Traceback" not in crawls[name].err


def test_a_command_line_that_makes_no_sense_is_usage(crawls: dict[str, Crawl]) -> None:
    assert crawls["two_spiders"].code == 2
    assert crawls["two_spiders"].folder is None


def test_a_full_disk_is_told_though_the_report_cannot_be_written(crawls: dict[str, Crawl]) -> None:
    crawl = crawls["full_disk"]
    assert crawl.code == 13
    assert crawl.out.startswith("FAILED_STORAGE")
    assert "the run's report could not be written" in crawl.out


def test_the_record_names_what_is_needed_to_run_it_again(crawls: dict[str, Crawl]) -> None:
    written = crawls["good"].record
    site = written["arguments"]["site"]
    assert shlex.join(written["command"]) == (
        f"scrapy crawl good -a site={site} -s LOG_FILE=crawl.log -o pages.jsonl:csv"
    )
    assert written["spider"] == "good"
    assert written["pid"] > 0
    assert written["finish_reason"] == "finished"
    assert written["settings"]["LOG_FILE"] == "crawl.log"
    assert written["versions"]["scrapy"].startswith("2.19")
    assert re.fullmatch(r"endless-\d{8}T\d{6}Z-[0-9a-f]{4}", crawls["stored"].record["run_id"])


def test_a_run_that_uv_started_is_started_again_by_uv(project: Project) -> None:
    done = subprocess.run(
        project.command("empty", "-s", "RUN_MIN_ITEMS=0"),
        cwd=project.folder,
        env={**project.env, "UV": "/usr/bin/uv"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "\n  again     uv run scrapy crawl empty " in done.stdout


def test_scrapys_own_options_still_work(crawls: dict[str, Crawl]) -> None:
    assert len((crawls["good"].cwd / "pages.jsonl").read_text().split()) == 6  # a heading and five pages
    assert crawls["good"].err == ""
    assert "Spider closed (finished)" in (crawls["good"].cwd / "crawl.log").read_text()
    assert crawls["good"].folder == crawls["good"].cwd / "data" / "runs" / "nightly-1"


def test_pages_given_up_can_be_fed_back(crawls: dict[str, Crawl]) -> None:
    crawl = crawls["gives_up"]
    assert crawl.folder is not None
    lines = [json.loads(line) for line in (crawl.folder / "failed.jsonl").read_text().splitlines()]
    assert len(lines) == 5
    assert {line["url"].rpartition("/")[2] for line in lines} == set("01234")
    assert lines[0]["rule"] == "captcha_marker"
    assert lines[0]["callback"] == "parse"
    assert crawl.report["given_up"] == {"captcha_marker": 5}
    assert "failed.jsonl" in crawl.out
    assert not (crawls["good"].folder or Path()).joinpath("failed.jsonl").exists()


def test_errors_are_grouped_by_place(crawls: dict[str, Crawl]) -> None:
    (group,) = crawls["raises"].report["errors"]
    assert (group["kind"], group["error"], group["count"]) == ("callback", "LookupError", 5)
    assert group["place"].startswith("spiders.py:")
    assert group["place"].endswith(" parse")
    assert crawls["start_raises"].report["errors"][0]["kind"] == "start()"
    assert crawls["loses_items"].report["errors"][0]["kind"] == "pipeline"


def test_no_secret_is_in_anything_a_run_writes(crawls: dict[str, Crawl]) -> None:
    crawl = crawls["talks"]
    assert crawl.code == 14  # its callback raised
    texts = {
        path.name: path.read_text()
        for path in crawl.cwd.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {"run.json", "report.json", "failed.jsonl"} <= set(texts)
    assert [name for name, text in texts.items() if CANARY in text] == []
    assert CANARY not in crawl.out
    assert CANARY not in crawl.err
    assert "Using http://***@gateway.example:8000 for {'api_key': '***'}" in crawl.err


def test_who_asked_is_told_the_report(crawls: dict[str, Crawl]) -> None:
    assert (crawls["stored"].cwd / "told.txt").read_text() == "succeeded"


def test_the_log_of_a_run_is_readable(crawls: dict[str, Crawl]) -> None:
    assert "Spider opened" in crawls["stored"].err
    assert "Enabled" not in crawls["stored"].err
    assert "Overridden settings" not in crawls["stored"].err
    assert "Overridden settings" in crawls["talks"].err  # with -L DEBUG everything is there


def test_a_killed_run_leaves_its_record_and_reads_as_lost(project: Project) -> None:
    process = subprocess.Popen(
        project.command("endless"), cwd=project.folder, env=project.env, stderr=subprocess.PIPE, text=True
    )
    try:
        first = _beat(project, after="")
        _beat(project, after=first)  # it beats
    finally:
        process.kill()
        process.communicate()
    (folder,) = (project.folder / "data" / "runs").glob("*")
    assert record.read(folder).outcome == ""
    assert record.read(folder, now=datetime.now(UTC) + timedelta(seconds=61)).outcome == "lost"


def _beat(project: Project, after: str) -> str:
    for _ in range(200):
        for path in (project.folder / "data" / "runs").glob("*/run.json"):
            beat: str = json.loads(path.read_text())["heartbeat"]
            if beat > after:
                return beat
        time.sleep(0.05)
    raise AssertionError("no heartbeat")


@pytest.mark.parametrize("no_color", [False, True])
def test_on_a_terminal_there_is_a_status_line_and_the_log_is_in_a_file(
    project: Project, no_color: bool
) -> None:
    env = {**project.env, "TERM": "xterm", **({"NO_COLOR": "1"} if no_color else {})}
    main, side = pty.openpty()
    process = subprocess.Popen(
        project.command("endless", "-s", "CLOSESPIDER_TIMEOUT=1.5"),
        cwd=project.folder,
        env=env,
        stdout=side,
        stderr=side,
    )
    os.close(side)
    shown = _read_all(main)
    assert process.wait(10) == 15
    (folder,) = (project.folder / "data" / "runs").glob("*")
    assert re.search(r"\r1\.\ds  \d+ good pages, [\d,]+/min  \d+ records stored", shown)
    assert "INFO" not in shown
    assert "Spider closed (closespider_timeout)" in (folder / "run.log").read_text()
    assert str(folder.relative_to(project.folder) / "run.log") in shown
    assert "TIMED_OUT" in shown
    assert ("\x1b[1;31mTIMED_OUT" in shown) is not no_color


def _read_all(terminal: int) -> str:
    parts = []
    try:
        while part := os.read(terminal, 4096):
            parts.append(part)
    except OSError:  # Linux says so when the other side is closed
        pass
    os.close(terminal)
    return b"".join(parts).decode()


def test_a_hangup_that_nohup_asked_to_ignore_is_ignored(project: Project) -> None:
    done = subprocess.run(
        project.command("endless", "-a", "kill=SIGHUP", "-s", "CLOSESPIDER_ITEMCOUNT=9"),
        cwd=project.folder,
        env=project.env,
        capture_output=True,
        timeout=30,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert done.returncode == 0


def test_a_crawl_started_from_a_script_has_its_record_too(project: Project) -> None:
    script = (
        "from scrapy.crawler import AsyncCrawlerProcess\n"
        "from scrapy.utils.project import get_project_settings\n"
        "process = AsyncCrawlerProcess(get_project_settings())\n"
        f"process.crawl('good', site='{project.site}')\n"
        "process.start()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=project.folder,
        env=project.env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    crawl = project.result(done.returncode, done.stdout, done.stderr)
    assert crawl.record["outcome"] == "succeeded"
    assert crawl.report["records"]["stored"] == 5
