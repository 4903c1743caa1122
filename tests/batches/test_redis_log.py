from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from scraper.batches import wire
from scraper.batches.elsewhere import redis_log
from scraper.batches.elsewhere.redis_log import DOWN, Errand, RedisLog, Returned
from scraper.batches.elsewhere.window import token_of
from scraper.batches.log import Batch
from scraper.batches.worker import Job
from scraper.errors import ConfigError
from tests import redis_server

pytestmark = pytest.mark.service
ERRAND = Errand(Job([], "jsonl", "out"), 30.0)
ACK = wire.Ack("spool-0", 3, {}, [])


@pytest.fixture(scope="module")
def server() -> Iterator[redis_server.Server]:
    with redis_server.running() as found:
        yield found


@pytest.fixture
def url(server: redis_server.Server, monkeypatch: pytest.MonkeyPatch) -> str:
    server.ask("FLUSHALL")
    monkeypatch.setenv("TEST_BATCH_LOG", server.url)
    return "env:TEST_BATCH_LOG"


def with_log(url: str, go: Callable[[RedisLog], Awaitable[None]]) -> None:
    async def run() -> None:
        client = redis_log.connect(url)
        try:
            log = RedisLog(client, "spool")
            await log.keep(ERRAND)
            await go(log)
        finally:
            await client.aclose()

    asyncio.run(run())


def batch(number: int, skip: list[int] | None = None) -> Batch:
    return Batch(f"spool-{number}", "path", 0, 0, 100, 3, skip or [])


def test_a_batch_is_read_once_as_it_was_sent(url: str) -> None:
    """Byte for byte, by one of two consumers; Redis knows what it holds."""

    async def go(log: RedisLog) -> None:
        sent = [batch(0), batch(1, skip=[2, 1])]
        for one in sent:
            await log.append(one, bytes(range(256)), ERRAND.name)
        first, second = await log.read("a", 1, 0.1), await log.read("b", 5, 0.1)
        assert [one.batch for one in first + second] == ["spool-0", "spool-1"]
        assert (second[0].n, second[0].skip, second[0].data) == (3, [1, 2], bytes(range(256)))
        assert (second[0].errand, second[0].token, second[0].machines) == (ERRAND.name, token_of(sent[1]), 1)
        assert await log.read("a", 5, 0.05) == []
        assert await log.tokens() == {token_of(one) for one in sent}
        assert await log.errand() == ERRAND
        assert await log.workers(5) == 2
        assert await log.workers(0) == 0

    with_log(url, go)


def test_a_batch_that_nobody_renews_is_anothers_and_its_takers_are_counted(url: str) -> None:
    async def go(log: RedisLog) -> None:
        await log.append(batch(0), b"0", ERRAND.name)
        await log.append(batch(1), b"1", ERRAND.name)
        taken = await log.read("dead", 2, 0.1)
        await asyncio.sleep(0.3)
        await log.renew("dead", [taken[0].entry])
        assert await log.reclaim("a", 0.6, 5) == []
        found = await log.reclaim("a", 0.25, 5)
        assert [(one.batch, one.machines, one.data) for one in found] == [("spool-1", 2, b"1")]
        await asyncio.sleep(0.3)
        assert sorted((one.batch, one.machines) for one in await log.reclaim("b", 0.25, 5)) == [
            ("spool-0", 2),
            ("spool-1", 3),
        ]

    with_log(url, go)


def test_an_answer_and_the_end_of_its_batch_are_one(url: str) -> None:
    """The answer comes as the batch goes; a second one changes nothing but that it is there; forgotten ones are gone."""

    async def go(log: RedisLog) -> None:
        await log.append(batch(0), b"0", ERRAND.name)
        (taken,) = await log.read("a", 1, 0.1)
        await log.ack(taken, ACK)
        assert await log.tokens() == set()
        await log.ack(taken, Returned("spool-0", "twice"))
        found = await log.answers(0)
        assert [(token, answer) for _, token, answer in found] == [
            ("spool-0/", ACK),
            ("spool-0/", Returned("spool-0", "twice")),
        ]
        assert await log.reclaim("b", 0.0, 5) == []
        await log.forget([entry for entry, _, _ in found])
        assert await log.answers(0.01) == []

    with_log(url, go)


def test_nothing_stays_of_a_spool_that_is_done(url: str, server: redis_server.Server) -> None:
    """And until then every key has an end."""

    async def go(log: RedisLog) -> None:
        await log.append(batch(0), b"0", ERRAND.name)
        (taken,) = await log.read("a", 1, 0.1)
        await log.append(batch(1), b"1", ERRAND.name)
        await log.ack(taken, ACK)
        await log.keep(ERRAND)
        keys = set(server.ask("KEYS", "*"))
        assert len(keys) == 5
        assert all(server.ask("TTL", key) > 80_000 for key in keys - {"batches:spools"})
        await log.remove()
        assert server.ask("KEYS", "*") == []
        server.ask("SADD", "batches:spools", "spool")  # of one whose keys have expired
        assert await log.errand() is None
        assert server.ask("KEYS", "*") == []

    with_log(url, go)


def test_a_redis_that_is_away_is_one_of_DOWN_and_the_same_client_goes_on(
    url: str, server: redis_server.Server
) -> None:
    """Killed, and back with what its append-only file had."""

    async def go(log: RedisLog) -> None:
        await log.append(batch(0), b"0", ERRAND.name)
        await asyncio.sleep(1.2)  # appendfsync everysec
        server.stop(signal.SIGKILL)
        with pytest.raises(DOWN):
            await log.tokens()
        server.start()
        assert await log.tokens() == {"spool-0/"}
        server.restart(forget=True)
        with pytest.raises(DOWN):  # a connection that the old one had
            await log.tokens()
        with pytest.raises(DOWN, match="NOGROUP"):  # a machine may ask before the crawl has seen it
            await log.read("a", 1, 0.05)
        await log.keep(ERRAND)
        assert await log.read("a", 1, 0.05) == []

    with_log(url, go)


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("redis://:secret@host:6379/0", "holds a password"),
        ("http://host:6379", "must be redis://"),
        ("redis://", "must be redis://"),
        ("redis://host:6379/0?password=secret", "holds a password"),
        ("redis://host:port/0", "is no address"),
        ("redis://[::1/0", "is no address"),
        ("env:NOT_SET", "the environment has no NOT_SET"),
        ("env:WITH_SECRET", "is no address"),
    ],
)
def test_a_wrong_address_is_refused_without_its_secret(
    url: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WITH_SECRET", "redis://me:secret@host:6379/0?socket_timeout=secret")
    with pytest.raises(ConfigError) as raised:
        redis_log.connect(url)
    assert raised.value.name == "BATCH_LOG"
    assert wrong in str(raised.value)
    assert "secret" not in str(raised.value)


def test_an_address_is_shown_without_its_secret() -> None:
    assert redis_log.shown("rediss://me:secret@host:6379/2?password=secret") == "rediss://host:6379/2"
    assert redis_log.shown("env:NAME") == "env:NAME"


def test_tls_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """rediss:// talks to a server with a certificate of the authority that it names, and to no other."""
    with redis_server.running(tls=True) as server:
        for authority, works in (("ours", True), ("other", False)):
            monkeypatch.setenv("TEST_BATCH_LOG", server.tls_url(authority))
            if works:
                with_log("env:TEST_BATCH_LOG", lambda log: log.append(batch(0), b"0", ERRAND.name))
            else:
                with pytest.raises(DOWN, match="certificate verify failed"):
                    with_log("env:TEST_BATCH_LOG", lambda log: log.append(batch(0), b"0", ERRAND.name))
