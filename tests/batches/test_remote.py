from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scraper.batches import steps
from scraper.batches.delivery import Delivery
from scraper.batches.elsewhere import remote
from scraper.errors import ConfigError
from tests import redis_server
from tests.batches.harness import until
from tests.batches.remote_run import URL, VARIABLE, Crawl, Remote, Workers, working

pytestmark = pytest.mark.service
SLOW = {"tests.batches.poison.slow": {"ms": 20}}
ENDS_MACHINE = "tests.batches.remote_run.ends_machine"


@pytest.fixture(scope="module")
def server() -> Iterator[redis_server.Server]:
    with redis_server.running() as found:
        yield found


@pytest.fixture(autouse=True)
def address(server: redis_server.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's Deliveries have their workers behind the server, which is empty."""
    server.ask("FLUSHALL")
    monkeypatch.setenv(VARIABLE, server.url)


def first_of(run: Remote, items: int, then: Callable[[], None]) -> Callable[[Delivery], Any]:
    """Something to do when ``items`` are stored."""

    async def go(delivery: Delivery) -> None:
        await until(lambda: run.count("stored") >= items, 30)
        await asyncio.to_thread(then)

    return go


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stored_once(run: Remote, n: int) -> bool:
    return run.numbers() == list(range(n)) and run.count("stored") == n and not run.failures


def test_machines_share_the_batches_and_every_item_is_stored_once(
    tmp_path: Path, server: redis_server.Server
) -> None:
    """Redis and the records' folder hold nothing of it afterwards; the records are merged."""
    run = Remote(tmp_path, steps=[{"tests.batches.poison.slow": {"ms": 2}}])
    with working(server.url, tmp_path, machines=2):
        run.deliver({} for _ in range(500))
        assert all(len(name) > len("batches/worker_busy_s/0") for name in run.counts if "busy" in name)
    assert stored_once(run, 500)
    assert server.ask("KEYS", "*") == []
    assert [path.name[:5] for path in (tmp_path / "out").iterdir()] == ["data-"]


def test_the_books_are_those_of_workers_here(tmp_path: Path, server: redis_server.Server) -> None:
    """Steps that drop, raise and kill end the same; a poison item costs two workers, its neighbours nothing."""
    deeds = [None, "drop", "drop_for", "duplicate", "raise", "unstorable", "kill", "kill_once", "exit", None]
    run = Remote(tmp_path)
    with working(server.url, tmp_path):
        run.deliver({"do": deed, "flag": str(tmp_path / "flag")} for deed in deeds)
    assert run.numbers() == [0, 7, 9]
    counted = {
        name: run.count(name) for name in ("stored", "dropped", "duplicate", "dead_letter", "worker_deaths")
    }
    assert counted == {"stored": 3, "dropped": 2, "duplicate": 1, "dead_letter": 4, "worker_deaths": 5}
    letters = {letter["item"]["n"]: letter["reason"] for letter in run.letters()}
    assert letters[4] == "ValueError: cannot do 4"
    assert letters[6].startswith("2 workers died over it: killed by SIGKILL (on ")


def test_a_killed_machines_batches_are_anothers_within_its_time(
    tmp_path: Path, server: redis_server.Server
) -> None:
    run = Remote(tmp_path, steps=[SLOW])
    with working(server.url, tmp_path, takeover_s=1.0) as machines:

        def kill() -> None:
            machines.kill(machines.machines[0])
            machines.start()
            killed_s.append(time.monotonic())

        killed_s: list[float] = []
        run.deliver(({} for _ in range(60)), first_of(run, 10, kill))
        assert time.monotonic() - killed_s[0] < 10
        assert len(list(tmp_path.glob("batches-work-*"))) == 1  # the killed one's went when the other started
    assert stored_once(run, 60)


def test_a_machine_that_is_told_to_leave_finishes_what_it_has(
    tmp_path: Path, server: redis_server.Server
) -> None:
    """SIGTERM: exit code 0, and nobody has to wait until its batches are taken over."""
    run = Remote(tmp_path, steps=[SLOW])
    with working(server.url, tmp_path, takeover_s=60.0) as machines:

        def leave() -> None:
            machines.machines[0].terminate()
            assert machines.machines[0].wait(10) == 0
            machines.start()

        run.deliver(({} for _ in range(100)), first_of(run, 10, leave))
        assert "left after" in machines.said()
    assert stored_once(run, 100)


@pytest.mark.parametrize("forget", [False, True])
def test_redis_may_be_killed_and_lose_everything(
    tmp_path: Path, server: redis_server.Server, forget: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What it does not know any more is sent again; the crawl only says that it waited."""
    run = Remote(tmp_path, steps=[SLOW], outage_s=30.0)

    def restart() -> None:
        server.stop(signal.SIGKILL)
        time.sleep(0.5)
        server.restart(forget=forget)

    with working(server.url, tmp_path), caplog.at_level(logging.INFO):
        run.deliver(({} for _ in range(100)), first_of(run, 10, restart))
    assert stored_once(run, 100)
    assert f"{URL} cannot be used, what is scraped waits in the spool" in caplog.text
    assert "can be used again" in caplog.text
    assert redis_server.PASSWORD not in caplog.text


def test_a_redis_that_stays_away_ends_the_run_with_all_in_the_spool(
    tmp_path: Path, server: redis_server.Server
) -> None:
    run = Remote(tmp_path, outage_s=0.3, drain_timeout_s=20.0)

    async def away(delivery: Delivery) -> None:
        server.stop()
        await until(lambda: bool(run.failures))

    try:
        run.deliver(({} for _ in range(10)), away)
    finally:
        server.start()
    assert "TEST_BATCH_LOG cannot be used for 0.3 s now" in run.failures[0]
    assert "10 items wait in" in run.failures[0]


def test_a_crawl_that_is_started_again_finds_what_was_done(
    tmp_path: Path, server: redis_server.Server
) -> None:
    """The answers that were given while nobody was there count: it needs no machine any more."""
    crawl = Crawl(server.url, tmp_path, 50, {})
    try:
        put = tmp_path / "put"
        wait_for(lambda: put.exists() and put.read_text().endswith("put 49\n"))
        time.sleep(0.3)  # until the last batch is old enough and sent
        crawl.kill()
        (sent,) = server.ask("KEYS", "*:sent")
        with working(server.url, tmp_path):
            wait_for(lambda: not server.ask("EXISTS", sent))
        crawl.start()
        assert crawl.process.wait(20) == 0, (tmp_path / "crawl.log").read_text()
    finally:
        crawl.kill()
    assert Remote(tmp_path).numbers() == list(range(50))
    assert '"batches/recovered": 50' in (tmp_path / "crawl.log").read_text()


def test_a_crawl_that_is_started_again_sends_nothing_twice(
    tmp_path: Path, server: redis_server.Server
) -> None:
    """What waits in Redis since before is not sent again."""
    run = Remote(tmp_path, drain_timeout_s=0.5)
    added = []
    for _ in range(2):
        run.deliver({} for _ in range(50 if not added else 0))
        (batches,) = server.ask("KEYS", "*:batches")
        about = server.ask("XINFO", "STREAM", batches)
        added.append(about["entries-added"])
    assert added == [5, 5]
    assert run.count("recovered") == 50


def test_a_crawl_that_is_started_again_with_other_steps_has_those_done(
    tmp_path: Path, server: redis_server.Server
) -> None:
    """Also by a machine that knew the old ones."""
    Remote(tmp_path, drain_timeout_s=0.2).deliver({"do": "drop"} for _ in range(30))
    with working(server.url, tmp_path, machines=0) as machines:
        server.ask(
            "XGROUP", "DESTROY", server.ask("KEYS", "*:batches")[0], "workers"
        )  # it shall do nothing yet
        machines.start()
        time.sleep(1.0)
        run = Remote(tmp_path, steps=[SLOW])
        run.deliver([])
    assert run.numbers() == list(range(30))


def test_a_machine_that_was_frozen_changes_nothing_when_it_goes_on(
    tmp_path: Path, server: redis_server.Server
) -> None:
    """Its batches were taken over; what it does with them then is for nobody."""
    run = Remote(tmp_path, steps=[SLOW])
    with working(server.url, tmp_path, takeover_s=1.0) as machines:

        def freeze() -> None:
            machines.machines[0].send_signal(signal.SIGSTOP)
            machines.start()
            time.sleep(3)
            machines.machines[0].send_signal(signal.SIGCONT)

        run.deliver(({} for _ in range(150)), first_of(run, 10, freeze))
    assert stored_once(run, 150)


def test_a_machine_whose_workers_do_not_start_gives_its_batches_back(
    tmp_path: Path, server: redis_server.Server, caplog: pytest.LogCaptureFixture
) -> None:
    run = Remote(tmp_path, sink="tests.batches.misbehaving.OnlyInTheCrawler", drain_timeout_s=2.0)
    with working(server.url, tmp_path):
        run.deliver({} for _ in range(10))
    assert re.search(
        r"gives batch \S+ back: batch workers cannot work: .*a library is missing \(on ", caplog.text
    )
    assert "10 items wait in" in run.failures[0]


def test_a_batch_that_ends_machines_is_given_up(
    tmp_path: Path, server: redis_server.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After five of them, all its items are dead letters that say so; other batches lose nothing."""
    run = Remote(tmp_path, steps=[ENDS_MACHINE], items=5, drain_timeout_s=60)
    with working(server.url, tmp_path, takeover_s=0.5) as machines:

        async def keep_up(delivery: Delivery) -> None:
            while delivery.unfinished:
                if machines.machines[-1].poll() is not None:
                    machines.start()
                await asyncio.sleep(0.05)

        run.deliver([{"do": "end_machine" if n == 7 else None} for n in range(20)], keep_up)
        assert len(machines.machines) == 6
    assert run.numbers() == [*range(5), *range(10, 20)]
    assert sorted(letter["item"]["n"] for letter in run.letters()) == [5, 6, 7, 8, 9]
    assert {letter["reason"] for letter in run.letters()} == {"5 machines that took its batch never answered"}


def test_a_store_that_is_down_holds_the_batches_back(tmp_path: Path, server: redis_server.Server) -> None:
    run = Remote(tmp_path, sink="tests.batches.misbehaving.Full", outage_s=30.0)
    (tmp_path / "full").touch()

    async def down(delivery: Delivery) -> None:
        await until(lambda: bool(run.notices), 20)
        (tmp_path / "full").unlink()

    with working(server.url, tmp_path):
        run.deliver(({} for _ in range(30)), down)
    assert stored_once(run, 30)
    assert "the store takes nothing" in run.notices[0]


def test_what_machines_cannot_share_stops_the_start(tmp_path: Path) -> None:
    """A step with an index on one machine's disk; the error names it and the way out."""
    with pytest.raises(ConfigError, match=r"dedupe_exact.*BATCH_LOG"):
        Remote(tmp_path, steps=[{"dedupe_exact": {"fields": ["n"]}}]).deliver([])
    remote.refuse_local(steps.load(["clean"], steps.Place()))


def test_a_wrong_password_stops_the_start(
    tmp_path: Path, server: redis_server.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, server.url.replace(redis_server.PASSWORD, "guess"))
    with pytest.raises(ConfigError, match="cannot be used") as raised:
        Remote(tmp_path).deliver([])
    assert "guess" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "share", "why"),
    [
        (("--allow", "tests.batches.other"), True, "tests.batches.poison.number may not be run"),
        (("--allow", "tests"), False, "is not the folder here that the crawl writes to"),
    ],
)
def test_a_machine_that_must_not_or_cannot_work_says_so_to_the_crawl(
    tmp_path: Path, server: redis_server.Server, arguments: tuple[str, ...], share: bool, why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It takes no batch; another machine does them."""
    run = Remote(tmp_path)
    with working(server.url, tmp_path, machines=0) as machines:

        async def go(delivery: Delivery) -> None:
            mark = next((tmp_path / "out").glob(".shared-*"))
            if not share:
                mark.unlink()
            machines.start(1, *arguments)
            await until(lambda: "takes no batches of this crawl" in caplog.text, 20)
            assert delivery.unfinished == 10
            mark.touch()
            machines.start()

        run.deliver(({} for _ in range(10)), go)
    assert why in caplog.text
    assert stored_once(run, 10)


def test_a_crawl_without_machines_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not fail for that; what is undone at the end waits in the spool."""
    monkeypatch.setattr(remote, "ALONE_S", 0.1)
    monkeypatch.setattr(remote, "KEEP_EVERY_S", 0.1)
    run = Remote(tmp_path, drain_timeout_s=2.0)
    run.deliver({} for _ in range(20))
    assert f"2 batches wait and no machine works on them: scrapy batches work --log {URL}" in caplog.text
    assert "20 items wait in" in run.failures[0]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("sink", ["jsonl", "sqlite"])
def test_whoever_is_killed_every_item_is_stored_once(
    tmp_path: Path, server: redis_server.Server, sink: str
) -> None:
    """Crawl, machines and Redis, in any order, with items that kill, raise and drop among them."""
    killed = soak(tmp_path, server, sink=sink, kills=15, items=2500, chance=random.Random(sink))
    assert set(killed) == {"crawl", "machine", "redis", "redis forgets"}


def soak(
    folder: Path, server: redis_server.Server, *, sink: str, kills: int, items: int, chance: random.Random
) -> Counter[str]:
    """Kill somebody ``kills`` times, let it end, check what is there."""
    deeds = {n: ["kill", "raise", "drop", "kill_once"][n // 100 % 4] for n in range(50, items, 100)}
    killed: Counter[str] = Counter()
    with working(server.url, folder, machines=2, takeover_s=1.0) as machines:
        crawl = Crawl(server.url, folder, items, deeds, sink=sink)
        try:
            for number in range(kills):
                time.sleep(chance.uniform(0.1, 1.0))
                if crawl.process.poll() == 0:
                    break
                who = ["crawl", "machine", "redis", "redis forgets"][
                    number % 4 if number < 4 else chance.randrange(4)
                ]
                killed[who] += 1
                kill(who, crawl, machines, server, chance)
            while crawl.process.poll() != 0:
                crawl.process.wait(90)
                assert crawl.process.returncode == 0, (folder / "crawl.log").read_text()
        finally:
            crawl.kill()
    lines = [line.split() for line in (folder / "put").read_text().splitlines()]
    put = {int(n) for word, n in lines if word == "put"}
    dead = {n for n in range(items) if deeds.get(n) in ("kill", "raise")}
    gone = dead | {n for n in range(items) if deeds.get(n) == "drop"}
    found, letters = numbers_of(folder, sink), Remote(folder).letters()
    buried = sorted(letter["item"]["n"] for letter in letters)
    assert len(put) > items - kills  # one that was being put when the crawl was killed may be in or not
    assert len(set(found)) == len(found)
    assert not put - gone - set(found)
    assert not gone & set(found)
    assert len(set(buried)) == len(buried)
    assert put & dead <= set(buried) <= dead
    return killed


def kill(
    who: str, crawl: Crawl, machines: Workers, server: redis_server.Server, chance: random.Random
) -> None:
    if who == "crawl":
        crawl.kill()
        crawl.start()
    elif who == "machine":
        machines.kill(chance.choice([one for one in machines.machines if one.poll() is None]))
        machines.start()
    else:
        server.restart(signal.SIGKILL, forget=who == "redis forgets")


def numbers_of(folder: Path, sink: str) -> list[int]:
    run = Remote(folder)
    if sink == "jsonl":
        return run.numbers()
    (file,) = (folder / "out").glob("*.sqlite")
    with contextlib.closing(sqlite3.connect(file)) as store:
        return sorted(n for (n,) in store.execute("SELECT n FROM records"))
