from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scraper.batches import children, wire, worker
from scraper.batches.delivery import Delivery
from scraper.batches.pool import MIN_BATCHES
from tests.batches.harness import POISON, Run, pool_of, until


def test_a_worker_holds_no_scrapy_and_not_our_main(tmp_path: Path) -> None:
    """A worker has imported neither Scrapy nor Twisted nor the script that started the crawl, and it is
    niced.
    """
    run = Run(tmp_path, steps=["tests.batches.poison.modules"])
    run.deliver([{}])
    (row,) = run.rows()
    assert "scraper" in row["modules"]
    assert not {"scrapy", "twisted", "itemadapter", "pytest", "pyarrow"} & set(row["modules"])
    assert row["nice"] == 10
    assert "pytest" not in row["main"]


def test_an_idle_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    """Nothing happens to the items that come later."""
    run = Run(tmp_path, workers=2)

    async def kill(delivery: Delivery) -> None:
        pool = pool_of(delivery)
        await until(lambda: delivery.unfinished == 0)
        before = pool.pids
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: len(pool.pids) == 2 and not set(before) & set(pool.pids))
        await delivery.put(b"\x81\xa1n\x14")  # {"n": 20}

    run.deliver(({} for _ in range(20)), kill)
    assert run.numbers() == list(range(21))
    assert run.count("worker_deaths") == 2
    assert run.failures == []


@pytest.mark.parametrize(
    ("sink", "between"), [("jsonl", 60), ("parquet", 600)]
)  # a worker's first pyarrow takes 1 s
def test_workers_killed_in_mid_run_change_nothing(tmp_path: Path, sink: str, between: int) -> None:
    """SIGKILLs at random moments, seldom twice in one batch: every key is in the store, once."""
    run = Run(tmp_path, workers=2, sink=sink, items=10, steps=[{"tests.batches.poison.slow": {"ms": 1}}])
    chance = random.Random(7)

    async def kill(delivery: Delivery) -> None:
        while delivery.unfinished:
            stored = run.count("stored")
            await until(lambda: run.count("stored") > min(stored + between, 999))  # noqa: B023  # awaited here
            await asyncio.sleep(chance.random() * 0.05)
            if pids := pool_of(delivery).pids:
                os.kill(chance.choice(pids), signal.SIGKILL)

    run.deliver(({} for _ in range(1000)), kill)
    if sink == "parquet":
        import pyarrow.parquet as pq

        assert sorted(pq.read_table(tmp_path / "out")["n"].to_pylist()) == list(range(1000))
    else:
        assert run.numbers() == list(range(1000))
    assert run.count("stored") == 1000
    assert run.count("worker_deaths") >= 1


@pytest.mark.parametrize("deed", ["kill", "exit", "hang", "hang_with_lock"])
def test_a_poison_item_goes_to_quarantine_and_its_batch_lives(tmp_path: Path, deed: str) -> None:
    """Two deaths of exactly that item, then it is a dead letter with its reason; all others are stored, once."""
    deadline_s = 1.0 if deed.startswith("hang") else 30.0
    run = Run(tmp_path, items=10, item_deadline_s=deadline_s)
    run.deliver({"do": deed if n in (3, 17) else None} for n in range(40))
    assert run.numbers() == [n for n in range(40) if n not in (3, 17)]
    assert run.count("worker_deaths") == 4
    assert run.count("dead_letter") == 2
    assert run.failures == []
    letters = {letter["item"]["n"]: letter for letter in run.letters()}
    assert letters.keys() == {3, 17}
    reason = {"kill": "killed by SIGKILL", "exit": "exited with code 3"}.get(deed, "hung for more than 1 s")
    assert f"2 workers died over it: {reason}" in letters[3]["reason"]
    if deed.startswith("hang"):
        assert "in number" in letters[3]["reason"], "the traceback tells where it hung"


def test_a_worker_that_grows_is_replaced_and_nobody_is_to_blame(tmp_path: Path) -> None:
    """A step that leaks costs a restart from time to time: no item, no death, no failure."""
    steps = [POISON, "tests.batches.poison.modules"]
    run = Run(tmp_path, steps=steps, items=1, worker_bytes=400 << 20)
    run.deliver({"do": "take", "bytes": 10 << 20} for _ in range(100))
    assert run.numbers() == list(range(100))
    assert 1 <= run.count("worker_recycled") <= 100 / MIN_BATCHES
    assert run.count("worker_deaths") == 0
    assert len({row["pid"] for row in run.rows()}) == run.count("worker_recycled") + 1
    assert run.failures == []


def test_an_item_that_takes_too_much_memory_is_poison(tmp_path: Path) -> None:
    """Its workers are killed before the machine suffers; the others live."""
    run = Run(tmp_path, worker_bytes=100 << 20, item_deadline_s=20)
    run.deliver({"do": "take_and_wait" if n == 2 else None, "bytes": 400 << 20} for n in range(5))
    assert run.numbers() == [0, 1, 3, 4]
    (letter,) = run.letters()
    assert "took more than 200 MB of memory" in letter["reason"]
    assert run.count("quarantined") == 1


def test_one_death_is_bad_luck(tmp_path: Path) -> None:
    """An item whose worker died once is stored in the end."""
    run = Run(tmp_path)
    run.deliver([{"do": "kill_once", "flag": str(tmp_path / "flag")}, {}, {}])
    assert run.numbers() == [0, 1, 2]
    assert run.count("worker_deaths") == 1
    assert run.letters() == []


@pytest.mark.parametrize("fork_server_too", [False, True])
def test_sigterm_to_a_worker_is_nobodys_fault(tmp_path: Path, fork_server_too: bool) -> None:
    """Whoever ends the process group twice must not condemn the item that was at work; the fork server is one of the group, and
    with it goes the word of how the worker ended.
    """
    run = Run(tmp_path, steps=[{"tests.batches.poison.slow": {"ms": 120}}])

    async def terminate(delivery: Delivery) -> None:
        for _ in range(3):
            await until(lambda: any(child.inflight for child in pool_of(delivery)._children))
            await asyncio.sleep(0.05)
            if fork_server_too:
                os.kill(children.fork_server(), signal.SIGTERM)
            os.kill(pool_of(delivery).pids[0], signal.SIGTERM)
            await asyncio.sleep(0.05)

    run.deliver([{}], terminate)
    assert run.numbers() == [0]
    assert run.failures == []
    assert run.letters() == []
    assert run.count("worker_deaths") == 3


def dies_over_large_ones(*arguments: Any) -> None:
    """A worker whose memory ends at rows that have an x."""
    real = wire.decode_row

    def decode(payload: bytes) -> dict[str, Any]:
        row = real(payload)
        if row["x"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return row

    wire.decode_row = decode
    worker.main(*arguments)


def test_a_worker_that_dies_over_the_reading_of_an_item_blames_it(tmp_path: Path) -> None:
    """Its deaths have an end, too: an item that is too large to be decoded must not come for ever."""
    run = Run(tmp_path, steps=[], items=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(children, "worker", SimpleNamespace(main=dies_over_large_ones))
        run.deliver({"x": n == 1} for n in range(3))
    assert run.numbers() == [0, 2]
    assert run.count("quarantined") == 1
    assert run.count("worker_deaths") == 2


@pytest.mark.parametrize(("kills", "failed"), [(1, False), (2, False), (3, True)])
def test_a_death_between_store_and_answer_doubles_nothing(tmp_path: Path, kills: int, failed: bool) -> None:
    """The batch is delivered again and found to be there; after three such deaths the run gives up, losing
    nothing.
    """
    (tmp_path / "kills").write_text(str(kills))
    run = Run(tmp_path, sink="tests.batches.misbehaving.KillsAfterCommit")
    delivery = run.deliver({} for _ in range(10))
    assert run.numbers() == list(range(10))
    assert bool(run.failures) == failed
    assert delivery.unfinished == (10 if failed else 0)


def test_a_death_in_finish_is_tried_again(tmp_path: Path) -> None:
    """The sink's last act is not lost with its worker."""
    run = Run(tmp_path, sink="tests.batches.misbehaving.KillsInFinish")
    delivery = run.deliver({} for _ in range(30))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["data-001-00000.jsonl"]
    assert run.numbers() == list(range(30))
    assert delivery.finish_failure == ""


@pytest.mark.parametrize(
    ("sink", "words"),
    [
        ("OnlyInTheCrawler", "ImportError: a library is missing"),
        ("KillsAtStart", "5 batch workers in a row died while starting"),
    ],
)
def test_workers_that_cannot_work_end_the_run(tmp_path: Path, sink: str, words: str) -> None:
    """With the reason, soon, and with everything still in the spool."""
    run = Run(tmp_path, sink=f"tests.batches.misbehaving.{sink}")
    began_s = time.monotonic()
    delivery = run.deliver({} for _ in range(30))
    assert words in delivery.failure
    assert delivery.unfinished == 30
    assert time.monotonic() - began_s < 5


def test_a_slow_sink_is_not_a_hung_item(tmp_path: Path) -> None:
    """The deadline of an item does not end a commit."""
    run = Run(tmp_path, sink="tests.batches.misbehaving.Slow", item_deadline_s=0.8)
    run.deliver({} for _ in range(3))
    assert run.count("worker_deaths") == 0
    assert run.numbers() == [0, 1, 2]


def test_spawn_where_there_is_no_forkserver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that are spawned do the same, and do not import the crawl's script either."""
    monkeypatch.setattr(children.multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    run = Run(tmp_path, steps=["tests.batches.poison.modules", POISON])
    run.deliver({"do": "kill" if n == 3 else None} for n in range(20))
    assert run.numbers() == [n for n in range(20) if n != 3]
    assert "pytest" not in run.rows()[0]["modules"]


CRAWLER = """
import asyncio, json, sys
from pathlib import Path
from tests.batches.harness import Run, payload, pool_of, until

async def main():
    delivery = Run(Path(sys.argv[1]), workers=2, items=1).delivery()
    await delivery.open()
    for n in range(2):
        await delivery.put(payload({"n": n, "do": sys.argv[2]}))
    await until(lambda: delivery.unfinished == 0 or sys.argv[2].startswith("hang"))
    await asyncio.sleep(0.2)
    print(json.dumps(pool_of(delivery).pids), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def _alive(session: int) -> list[str]:
    """The processes of a session, from /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(entry.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="counts processes in /proc")
@pytest.mark.parametrize("doing", ["nothing", "hang", "hang_with_lock"])
def test_no_child_outlives_the_crawler(tmp_path: Path, doing: str) -> None:
    """A crawler that is SIGKILLed leaves no process behind, idle or hung, holding the interpreter lock or
    not.
    """
    command: list[Any] = [sys.executable, "-c", CRAWLER, str(tmp_path), doing]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as crawler:
        assert crawler.stdout is not None
        assert crawler.stdout.readline().startswith(b"[")
        assert len(_alive(crawler.pid)) >= 4  # itself, the fork server, two workers
        crawler.kill()
        crawler.wait()
        give_up_s = time.monotonic() + 3
        while _alive(crawler.pid) and time.monotonic() < give_up_s:
            time.sleep(0.02)
        left = _alive(crawler.pid)
        for pid in left:
            os.kill(int(pid), signal.SIGKILL)
        assert left == []
