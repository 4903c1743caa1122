from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from scrapy.settings import Settings

from scraper.batches.pipeline import SETTLED, options_from
from scraper.errors import ConfigError
from tests.batches.conftest import ROOT, Crawl

StartCrawl = Callable[..., Crawl]
UVLOOP = {"ASYNCIO_EVENT_LOOP": "uvloop.Loop"}
GIVEN: dict[str, Any] = {
    "RUN_ID": "r",
    "RUN_DIR": "data/runs/r",
    "OUT_DIR": "data/out/r",
    "SINK": "parquet",
    "BATCH_STEPS": ["clean"],
    "BATCH_WORKERS": 1,
    "BATCH_ITEMS": 100,
    "BATCH_BYTES": 1 << 20,
    "BATCH_AGE_S": 0.5,
    "BATCH_BACKLOG_BYTES": 64 << 20,
    "BATCH_DRAIN_TIMEOUT_S": 60,
    "BATCH_LOG": "",
    "BATCH_ITEM_DEADLINE_S": 30,
    "BATCH_ACK": "spool",
    "BATCH_SYNC_S": 0.5,
    "BATCH_OUTAGE_S": 900,
    "BATCH_WORKER_MAX_MB": 1024,
    "BATCH_KEEP_SEGMENTS": False,
}


def balanced(stats: dict[str, Any]) -> bool:
    return bool(
        stats["batches/scraped"] == sum(stats[name] for name in SETTLED) + stats["batches/unfinished"]
    )


def test_items_of_every_kind_and_where_they_came_from(crawl: StartCrawl) -> None:
    """Key, address and type of each item, also if it was yielded twice, replaced, from start() or from an
    errback.
    """
    run = crawl("kinds")
    stats = run.end()
    rows = {row["_key"]: row for row in run.rows()}
    (page,) = {key.split("/")[1] for key in rows if re.fullmatch(r"test-run/[0-9a-f]{40}/\d", key)}
    titles = {key.removeprefix("test-run/").replace(page, "page"): row["title"] for key, row in rows.items()}
    assert titles == {
        "start/0": "from start",
        "page/0": "dict",
        "page/1": "dataclass",
        "page/2": "attrs",
        "page/3": "pydantic",
        "page/4": "scrapy",
        "page/5": "twice",
        "page/6": "twice",
        "page/7": "replaced",
        "none/0": "from errback",
    }
    assert {row["_url"].rpartition("/")[2] for key, row in rows.items() if page in key} == {"1"}
    assert rows["test-run/start/0"]["_url"] is None
    assert rows[f"test-run/{page}/1"]["_type"] == "DataclassItem"
    assert rows[f"test-run/{page}/1"]["price"] == {"amount": "1.50"}
    assert rows[f"test-run/{page}/0"]["when"] == "2026-01-02T00:00:00Z"
    assert rows[f"test-run/{page}/0"]["_scraped_at"].endswith("Z")
    assert (stats["batches/scraped"], stats["batches/stored"], stats["batches/dead_letter"]) == (11, 10, 1)
    assert balanced(stats)
    (letter,) = map(json.loads, (run.run_dir / "dead_letters.jsonl").read_text().splitlines())
    assert letter["id"] == f"test-run/{page}/8"
    assert "field 'selector'" in letter["reason"]
    assert "dead letter" in stats["stderr"]


def test_a_killed_worker_changes_nothing_in_the_store(crawl: StartCrawl) -> None:
    """SIGKILL to the worker in mid-crawl: all keys are there once; the crawler itself never imports pyarrow."""
    steps = ["clean", "content_hash", {"tests.batches.poison.slow": {"ms": 1}}]
    run = crawl("pages", pages=150, items=4, SINK="parquet", BATCH_ITEMS=20, BATCH_STEPS=steps, **UVLOOP)
    worker = _wait_for_worker(run)
    os.kill(worker, signal.SIGKILL)
    stats = run.end()
    table = pq.read_table(run.out_dir)
    expected = {(f"/page/{page}", n) for page in range(150) for n in range(4)}
    found = [
        (re.sub(r"http://[^/]*", "", row["page"]), row["n"])
        for row in table.select(["page", "n"]).to_pylist()
    ]
    assert len(found) == 600
    assert set(found) == expected
    assert len(set(table["_key"].to_pylist())) == 600
    assert (stats["batches/stored"], stats["batches/worker_deaths"]) == (600, 1)
    assert balanced(stats)
    assert not {"pyarrow", "pandas", "resiliparse"} & set(stats["imported"])


@pytest.mark.parametrize("ack", ["spool", "fsync", "commit"])
def test_a_batch_larger_than_the_slot_is_no_deadlock(crawl: StartCrawl, ack: str) -> None:
    """A batch of 500 pages of 50 kB, where Scrapy lets in six and the spool holds four: the crawl goes on all
    the same, whatever each item waits for.
    """
    run = crawl(
        "pages",
        pages=60,
        page_bytes=50_000,
        BATCH_ITEMS=500,
        BATCH_BYTES=100 << 20,
        BATCH_AGE_S=60,
        BATCH_BACKLOG_BYTES=200_000,
        SCRAPER_SLOT_MAX_ACTIVE_SIZE=300_000,
        BATCH_ACK=ack,
    )
    stats = run.end()
    assert stats["batches/stored"] == 60
    if ack == "spool":
        assert stats["batches/held_back_s"] > 0
    assert stats["batches/waiting"] == 0
    assert 0 < stats["batches/waiting_bytes_max"] < 300_000
    assert stats["batches/worker_busy_s/0"] > 0


def test_start_items_are_held_back_too(crawl: StartCrawl, tmp_path: Path) -> None:
    """Items of start() have no response that would hold them; the pipeline does, and all are stored."""
    slow = [{"tests.batches.poison.slow": {"ms": 1}}]
    run = crawl("items", items=400, BATCH_BACKLOG_BYTES=10_000, BATCH_STEPS=slow)
    _until(lambda: _accepted(tmp_path) == 400)
    run.process.terminate()  # Scrapy itself looks only every 5 s whether start items are through
    stats = run.end()
    assert sorted(row["n"] for row in run.rows()) == list(range(400))
    assert stats["batches/held_back_s"] > 0
    assert balanced(stats)


def test_a_killed_crawl_loses_no_accepted_item(crawl: StartCrawl, tmp_path: Path) -> None:
    """SIGKILL to the crawler; the documented command delivers what its spool holds: each accepted item once."""
    slow = [{"tests.batches.poison.slow": {"ms": 1}}]
    run = crawl("pages", pages=3000, BATCH_ITEMS=30, BATCH_STEPS=slow)
    _until(lambda: _accepted(tmp_path) > 400)
    run.process.kill()
    run.process.wait()
    before = len(run.rows())
    drained = subprocess.run(
        [sys.executable, "-m", "scraper.batches.drain", str(run.run_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert drained.returncode == 0, drained.stderr
    stored = Counter(f"{row['page']} {row['n']}" for row in run.rows())
    told = set((tmp_path / "accepted").read_text().splitlines())
    assert told <= set(stored)
    assert len(stored) - len(told) <= 16, "at most those that were being accepted"
    assert set(stored.values()) == {1}
    assert before < len(stored), "the test should catch the spool with something in it"
    assert not list((run.run_dir / "spool").glob("seg-*"))


def test_sigterm_flushes_everything(crawl: StartCrawl, tmp_path: Path) -> None:
    """A run that is ended stores all it scraped and says so."""
    run = crawl("pages", pages=3000)
    _until(lambda: _accepted(tmp_path) > 100)
    run.process.terminate()
    stats = run.end()
    assert stats["finish_reason"] == "shutdown"
    assert stats["batches/unfinished"] == 0
    assert len(run.rows()) == stats["batches/scraped"] == stats["batches/stored"]


def test_a_store_that_fails_ends_the_crawl(crawl: StartCrawl, tmp_path: Path) -> None:
    """The crawl closes as storage_failed, the stats say why and what to do, and the books tell what is
    unfinished.
    """
    (tmp_path / "full").touch()
    run = crawl(
        "pages",
        pages=3000,
        SINK="tests.batches.misbehaving.Full",
        BATCH_BACKLOG_BYTES=50_000,
        BATCH_OUTAGE_S=1,
        SCRAPER_SLOT_MAX_ACTIVE_SIZE=300_000,  # of the pages that wait, whose items come in at the end
    )
    stats = run.end()
    assert stats["finish_reason"] == "storage_failed"
    assert "No space left on device" in stats["batches/failure"]
    assert f"scrapy batches drain {run.run_dir}" in stats["batches/failure"]
    assert stats["batches/unfinished"] == stats["batches/scraped"] > 0
    assert "storage failed: " in stats["stderr"]
    assert stats["batches/scraped"] < 1000, "it is held back rather than run on"


def test_workers_that_cannot_work_end_the_crawl(crawl: StartCrawl) -> None:
    """A library that only workers miss ends the crawl at its very start, cleanly."""
    stats = crawl("pages", pages=3000, SINK="tests.batches.misbehaving.OnlyInTheCrawler").end()
    assert stats["finish_reason"] == "storage_failed"
    assert "ImportError: a library is missing" in stats["batches/failure"]
    assert balanced(stats)


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("SPIDER_MIDDLEWARES", {}, "must have scraper.batches.middleware.OriginMiddleware"),
        (
            "ITEM_PROCESSOR",
            "scrapy.pipelines.ItemPipelineManager",
            "must be scraper.batches.middleware.OriginProcessor",
        ),
    ],
)
def test_a_missing_companion_stops_the_start(
    crawl: StartCrawl, setting: str, value: object, words: str
) -> None:
    """Without the components that know where items come from, no crawl starts."""
    run = crawl("pages", pages=1, **{setting: value})
    _out, err = run.process.communicate(timeout=30)
    assert words in err
    assert not run.out_dir.exists()


def test_settings_are_read_once_and_strictly() -> None:
    """Good settings become one frozen object."""
    options = options_from(Settings(GIVEN))
    assert options.delivery.limits.items == 100
    assert options.delivery.run_dir.is_absolute()
    with pytest.raises(AttributeError):
        options.run_id = "x"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, None) for name in GIVEN),
        ("RUN_DIR", ""),
        ("SINK", "parqet"),
        ("BATCH_STEPS", ["claen"]),
        ("BATCH_WORKERS", -1),
        ("BATCH_ITEMS", 0),
        ("BATCH_ITEMS", 70_000),
        ("BATCH_AGE_S", "soon"),
        ("BATCH_AGE_S", 0),
        ("BATCH_ACK", "soon"),
        ("BATCH_WORKER_MAX_MB", 1),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: object) -> None:
    """A missing or wrong value stops the start and names the setting."""
    with pytest.raises(ConfigError) as error:
        options_from(Settings({**GIVEN, name: value}))
    assert error.value.name == name


def _until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    give_up_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_s
        time.sleep(0.005)


def _accepted(folder: Path) -> int:
    """How many items Scrapy has been told are safe."""
    path = folder / "accepted"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _wait_for_worker(run: Crawl) -> int:
    """The pid of the crawl's worker, once two batches are stored."""
    _until(lambda: len(list(run.out_dir.glob("part-*"))) >= 2)
    found = subprocess.run(
        ["ps", "-wweo", "pid,ppid,args"], capture_output=True, text=True, check=True
    ).stdout
    processes = [
        (int(pid), int(ppid), args)
        for pid, ppid, args in (line.split(None, 2) for line in found.splitlines()[1:])
    ]
    (server,) = [pid for pid, ppid, args in processes if ppid == run.process.pid and "forkserver" in args]
    (worker,) = [pid for pid, ppid, _args in processes if ppid == server]
    return worker
