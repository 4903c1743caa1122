"""What was learnt outlives the run, fades with time, and several crawls at once add to it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from scraper.errors import ConfigError
from scraper.proxies import state
from scraper.proxies.beliefs import HALF_LIFE_S, MEMORY, SITES_MAX, Beliefs, Row
from scraper.proxies.state import CARRIED, FORGET_AFTER

NOW_S = 1_800_000_000.0  # Unix time
SHOP = "shop.example"
SAVING = """
import sys
from pathlib import Path
from scraper.proxies import state
from scraper.proxies.beliefs import Row
path, name = Path(sys.argv[1]), sys.argv[2]
sys.stdin.readline()
state.open_file(path)
for _ in range(10):
    state.save(path, [Row("pool", "shop.example", "home", 1, 1, 40000, 6000), Row("pool", name, "home", 1)], 1.8e9)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "data" / "proxies.sqlite"
    state.open_file(file)
    return file


def row(good: float = 0.0, bad: float = 0.0, site: str = SHOP, **sizes: float) -> Row:
    return Row("pool", site, "home", good, bad, **sizes)


def test_crawls_at_once_add_up(tmp_path: Path) -> None:
    """Six processes that make the file and save ten times each, all at once."""
    file = tmp_path / "proxies.sqlite"
    crawls = [
        subprocess.Popen(
            [sys.executable, "-c", SAVING, file, f"{n}.example"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for n in range(6)
    ]
    for crawl in crawls:
        assert crawl.stdin is not None
        crawl.stdin.write(b"go\n")
        crawl.stdin.flush()
    for crawl in crawls:
        _, errors = crawl.communicate(timeout=60)
        assert crawl.returncode == 0, errors.decode()
    with closing(sqlite3.connect(file)) as database:
        kept = dict(database.execute("SELECT site, good FROM beliefs").fetchall())
    assert kept == {SHOP: pytest.approx(60), **{f"{n}.example": 10 for n in range(6)}}


def test_a_run_begins_with_what_the_last_one_learnt(path: Path) -> None:
    state.save(path, [row(3, 1, page_bytes=50_000, block_bytes=2_000)], NOW_S)
    state.save(path, [row(1, 0, page_bytes=10_000)], NOW_S)
    assert state.load(path, NOW_S) == [row(4, 1, page_bytes=40_000, block_bytes=2_000)]


def test_half_of_it_is_forgotten_in_a_half_life_whether_it_is_read_or_added_to(path: Path) -> None:
    state.save(path, [row(8, 4)], NOW_S)
    (read,) = state.load(path, NOW_S + HALF_LIFE_S)
    assert (read.good, read.bad) == (4, 2)
    state.save(path, [row(1, 0)], NOW_S + HALF_LIFE_S)
    (read,) = state.load(path, NOW_S + 2 * HALF_LIFE_S)
    assert (read.good, read.bad) == (2.5, 1)


def test_what_is_carried_over_is_bounded_so_that_some_new_pages_turn_it_round(path: Path) -> None:
    for _ in range(10):
        state.save(path, [row(90, 10)], NOW_S)
    (read,) = state.load(path, NOW_S)
    assert read.good + read.bad == pytest.approx(CARRIED)
    assert read.good / CARRIED == pytest.approx(0.9)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT good + bad FROM beliefs").fetchone()[0] == pytest.approx(MEMORY)


def test_what_says_nothing_any_more_is_deleted(path: Path) -> None:
    state.save(path, [row(1, site="old.example")], NOW_S)
    state.save(path, [row(1)], NOW_S + (FORGET_AFTER + 1) * HALF_LIFE_S)
    assert [read.site for read in state.load(path, NOW_S)] == [SHOP]


def test_a_clock_that_was_set_back_loses_nothing(path: Path) -> None:
    state.save(path, [row(2)], NOW_S)
    state.save(path, [row(2)], NOW_S - 3600)
    (read,) = state.load(path, NOW_S - 3600)
    assert read.good == 4


def test_one_site_can_be_asked_for_with_what_is_known_of_the_pools(path: Path) -> None:
    reach = Row("reach", "", "home", 5, 1)
    state.save(path, [row(1), row(2, site="other.example"), reach, Row("place", SHOP, "us", 0, 3)], NOW_S)
    kinds = {(read.kind, read.site) for read in state.load(path, NOW_S, site=SHOP)}
    assert kinds == {("pool", SHOP), ("reach", ""), ("place", SHOP)}


def test_of_more_sites_than_are_remembered_the_latest_are(path: Path) -> None:
    state.save(path, [row(1, site=f"{n}.example") for n in range(SITES_MAX)], NOW_S)
    state.save(path, [row(1, site=f"new{n}.example") for n in range(10)], NOW_S + 60)
    known = Beliefs()
    known.load(state.load(path, NOW_S + 60), 0.0)
    sites = set(known.sites())
    assert len(sites) == SITES_MAX
    assert {f"new{n}.example" for n in range(10)} <= sites


def test_news_that_could_not_be_saved_is_saved_the_next_time_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "BUSY_S", 0.05)
    known = Beliefs()
    for n in range(4):
        known.good(SHOP, "home", "", 40_000, 0.0)
        known.blocked(SHOP, "home", 6_000, 0.0)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            news = known.take_news()
            if n % 2:
                state.save(path, news, NOW_S)
                continue
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                state.save(path, news, NOW_S)
            known.give_back(news)
    (read,) = state.load(path, NOW_S)
    assert (read.good, read.bad) == (4, 4)
    assert read.page_bytes == pytest.approx(40_000)
    assert read.block_bytes == pytest.approx(6_000)


def test_a_save_is_kept_whole_or_not_at_all(path: Path) -> None:
    state.save(path, [row(1)], NOW_S)
    with pytest.raises(sqlite3.Error):
        state.save(path, [row(1), Row("pool", SHOP, None, 1)], NOW_S)  # type: ignore[arg-type]  # no such row comes from us
    (read,) = state.load(path, NOW_S)
    assert read.good == 1


@pytest.mark.parametrize("case", ["not_sqlite", "other_table", "folder", "not_writable"])
def test_a_file_that_cannot_be_used_stops_the_start_and_says_what_to_do(tmp_path: Path, case: str) -> None:
    file = tmp_path / "proxies.sqlite"
    if case == "not_sqlite":
        file.write_bytes(b"not a database, but long enough to be looked at" * 100)
    elif case == "other_table":
        with closing(sqlite3.connect(file)) as database:
            database.execute("CREATE TABLE beliefs (faith TEXT)")
    elif case == "folder":
        file.mkdir()
    else:
        file = Path("/proc/nowhere/proxies.sqlite")
    with pytest.raises(ConfigError, match=r'PROXY_STATE_FILE.*move it away, or set "none"'):
        state.open_file(file)


def test_thirty_thousand_rows_are_saved_and_read_in_seconds(path: Path) -> None:
    rows = [row(1, 1, site=f"{n}.example") for n in range(30_000)]
    began_s = time.monotonic()
    state.save(path, rows, NOW_S)
    assert len(state.load(path, NOW_S)) == 30_000
    assert time.monotonic() - began_s < 10
