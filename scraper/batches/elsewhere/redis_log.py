"""I/O. Batches to workers on other machines and their answers back, through Redis Streams. Redis 6.2 or later, not a cluster.

The spool stays the truth: what is here may be lost at any moment, and is sent again by the crawl that owns the spool. One
spool has four keys of its own; all spools share the fifth:

    <prefix>:{<spool>}:batches   stream, group "workers": the bytes of a batch's range of its segment, checksums and all
    <prefix>:{<spool>}:sent      hash: the token of every batch in that stream
    <prefix>:{<spool>}:answers   stream: what became of them, until the crawl has written it down
    <prefix>:{<spool>}:errand    what to do with them, as JSON
    <prefix>:spools              set: the spools that have keys

A token (window.py) is the batch and the items it goes without. An answer, the end of its batch and the token's are one transaction.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any

import msgspec
import redis.asyncio as aioredis
import xxhash
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from scraper import named
from scraper.batches import wire, worker
from scraper.batches.elsewhere.window import parted, token_of
from scraper.batches.log import Batch
from scraper.errors import ConfigError

PREFIX = "batches"
KEEP_S = 86_400  # keys of a crawl that is gone: a day to start it again and find the answers; nothing is lost with them
TIMEOUT_S = 15.0  # of an answer of Redis, which may be at its disk; well above any BLOCK
GROUP = "workers"
DOWN = (RedisError, OSError)  # away, loading, full, or without what was in it: try again later
_SCHEMES = ("redis", "rediss")


class Errand(msgspec.Struct, frozen=True):
    """What workers elsewhere do with the batches of a spool. No secret is in it: options "env:NAME" are looked up there."""

    job: worker.Job
    item_deadline_s: float
    marks: list[str] = []  # files which show that a machine sees the folders that the crawl does

    @property
    def name(self) -> str:
        return xxhash.xxh3_64_hexdigest(msgspec.json.encode(self))


class Died(msgspec.Struct, frozen=True, tag=True):
    """A worker died over item ``index`` of the batch, which is undone."""

    batch: str
    index: int
    why: str


class Returned(msgspec.Struct, frozen=True, tag=True):
    """The batch is undone and that is not its fault: send it again. ``why`` the machine cannot do it, or "" if it only leaves."""

    batch: str
    why: str


Answer = wire.Ack | wire.Failed | Died | Returned
_decode_answer = msgspec.msgpack.Decoder(Answer).decode


class Taken(msgspec.Struct):
    """A batch in a machine's hands. ``machines``: how many have taken it by now."""

    entry: str
    token: str
    errand: str  # the name of the errand that it was sent with
    batch: str
    n: int
    skip: list[int]
    data: bytes
    machines: int = 1


def connect(url: str) -> aioredis.Redis:
    """A client for ``redis://[user:password@]host:port/db``, ``rediss://`` for TLS, or "env:NAME" where that holds it. Nothing is
    asked yet. ConfigError if it is no such address, or one with a password is not in a variable.
    """
    found = str(named.with_env("BATCH_LOG", {"url": url}, os.environ)["url"])
    once = Retry(NoBackoff(), 0)  # trying again is for the caller, who knows what may be done twice
    try:
        parts = urllib.parse.urlsplit(found)
        if found == url and (parts.password or "password" in parts.query):
            raise _wrong(url, 'holds a password: put it into a variable, write "env:NAME"')
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise _wrong(url, 'must be redis://host:port/db, rediss://..., or "env:NAME"')
        return aioredis.Redis.from_url(found, protocol=2, socket_timeout=TIMEOUT_S, retry=once)
    except ConfigError:
        raise
    except (
        ValueError,
        TypeError,
    ) as error:  # a port or an option; the error's text may show the whole address
        raise _wrong(url, f"is no address that can be used ({type(error).__name__})") from None


def shown(url: str) -> str:
    """The address for people: without user, password and options."""
    return url if url.startswith("env:") else re.sub(r"//[^/]*@", "//", url.partition("?")[0])


def _wrong(url: str, way_out: str) -> ConfigError:
    return ConfigError("BATCH_LOG", shown(url), way_out)


async def spools(client: aioredis.Redis, prefix: str = PREFIX) -> set[str]:
    """The names of all spools that may have work."""
    return {_text(name) for name in await _of(client.smembers(f"{prefix}:spools"))}


class RedisLog:
    """The keys of one spool. Every method raises one of DOWN when Redis cannot."""

    def __init__(self, client: aioredis.Redis, spool: str, prefix: str = PREFIX) -> None:
        self.spool = spool
        self._client = client
        self._directory = f"{prefix}:spools"
        key = f"{prefix}:{{{spool}}}:"
        self._batches, self._sent, self._answers, self._errand = (
            key + name for name in ("batches", "sent", "answers", "errand")
        )

    # --- the crawl's side ----------------------------------------------------------------------------------

    async def begin(self, errand: Errand) -> None:
        """At a start: `keep` it; batches that were sent for another errand are not here any more."""
        found = await _of(self._client.get(self._errand))
        if found is not None and found != msgspec.json.encode(errand):
            await _of(self._client.delete(self._batches, self._sent))
        await self.keep(errand)

    async def keep(self, errand: Errand) -> None:
        """Make what is missing, and have all of it live for KEEP_S from now."""
        try:
            await self._client.xgroup_create(self._batches, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        pipe = self._client.pipeline(transaction=False)
        pipe.set(self._errand, msgspec.json.encode(errand), ex=KEEP_S)
        for key in (self._batches, self._sent, self._answers):
            pipe.expire(key, KEEP_S)
        pipe.sadd(self._directory, self.spool)
        await pipe.execute()

    async def append(self, batch: Batch, data: bytes, errand: str) -> None:
        """Send it, for the errand of that name. Where this fails the batch may have been sent all the same."""
        token = token_of(batch)
        pipe = self._client.pipeline(transaction=True)
        pipe.xadd(self._batches, {"token": token, "errand": errand, "n": batch.n, "data": data})
        pipe.hset(self._sent, token, batch.n)
        pipe.expire(self._sent, KEEP_S)
        await pipe.execute()

    async def tokens(self) -> set[str]:
        """Of all batches that are here, taken or not."""
        return {_text(token) for token in await _of(self._client.hkeys(self._sent))}

    async def answers(self, block_s: float) -> list[tuple[str, str, Answer | None]]:
        """The first 100 that are not forgotten: each with its id and token; None for one that cannot be read. Waits for one
        if ``block_s`` is not 0.
        """
        block = int(block_s * 1000) or None
        found = await _of(self._client.xread({self._answers: "0"}, count=100, block=block))
        return [
            (_text(entry), _text(fields[b"token"]), _answer(fields[b"answer"]))
            for _key, entries in found
            for entry, fields in entries
        ]

    async def forget(self, answers: Iterable[str]) -> None:
        """They are written down."""
        await _of(self._client.xdel(self._answers, *answers))

    async def workers(self, seen_s: float) -> int:
        """How many have asked for this spool's batches in the last ``seen_s`` seconds."""
        found = await _of(self._client.xinfo_consumers(self._batches, GROUP))
        return sum(consumer["idle"] < seen_s * 1000 for consumer in found)

    async def remove(self) -> None:
        """All is done: nothing of this spool stays."""
        await _of(self._client.srem(self._directory, self.spool))
        await _of(self._client.delete(self._batches, self._sent, self._answers, self._errand))

    # --- the worker's side ---------------------------------------------------------------------------------

    async def errand(self) -> Errand | None:
        """None: the spool's keys have gone, and now its name has too. msgspec.DecodeError if another version wrote it."""
        found = await _of(self._client.get(self._errand))
        if found is None:
            await _of(self._client.srem(self._directory, self.spool))
            return None
        return msgspec.json.decode(found, type=Errand)

    async def read(self, consumer: str, count: int, block_s: float) -> list[Taken]:
        """Up to ``count`` batches that nobody has taken, waiting up to ``block_s`` > 0 for the first."""
        asked = self._client.xreadgroup(
            GROUP, consumer, {self._batches: ">"}, count=count, block=int(block_s * 1000)
        )
        return [_taken(entry, fields) for _key, entries in await _of(asked) for entry, fields in entries]

    async def renew(self, consumer: str, entries: list[str]) -> None:
        """They are being worked on: nobody else shall take them."""
        await _of(self._client.xclaim(self._batches, GROUP, consumer, 0, entries, justid=True))  # type: ignore[arg-type]  # a list of str is one of ids

    async def reclaim(self, consumer: str, idle_s: float, count: int) -> list[Taken]:
        """Up to ``count`` batches that another has taken and not renewed for ``idle_s`` seconds. Not XAUTOCLAIM: it does not say how often
        a batch was taken.
        """
        idle = int(idle_s * 1000)
        pending = await _of(self._client.xpending_range(self._batches, GROUP, "-", "+", count, idle=idle))
        times = {_text(one["message_id"]): one["times_delivered"] for one in pending}
        if not times:
            return []
        claimed = await _of(self._client.xclaim(self._batches, GROUP, consumer, idle, list(times)))
        return [_taken(entry, fields, 1 + times[_text(entry)]) for entry, fields in claimed if fields]

    async def ack(self, taken: Taken, answer: Answer) -> None:
        """Answer, and be done with it; harmless when somebody else was first."""
        pipe = self._client.pipeline(transaction=True)
        pipe.xadd(self._answers, {"token": taken.token, "answer": msgspec.msgpack.encode(answer)})
        pipe.expire(self._answers, KEEP_S)
        pipe.xack(self._batches, GROUP, taken.entry)
        pipe.xdel(self._batches, taken.entry)
        pipe.hdel(self._sent, taken.token)
        await pipe.execute()

    async def say(self, why: str) -> None:
        """Tell the crawl why a machine takes none of its batches."""
        answer = msgspec.msgpack.encode(Returned("", why))
        pipe = self._client.pipeline(transaction=True)
        pipe.xadd(self._answers, {"token": "", "answer": answer})
        pipe.expire(self._answers, KEEP_S)
        await pipe.execute()


def _taken(entry: bytes, fields: dict[bytes, bytes], machines: int = 1) -> Taken:
    token = _text(fields[b"token"])
    batch, skip = parted(token)
    return Taken(
        entry=_text(entry), token=token, errand=_text(fields[b"errand"]), batch=batch, n=int(fields[b"n"]),
        skip=skip, data=fields[b"data"], machines=machines,
    )  # fmt: skip


def _answer(data: bytes) -> Answer | None:
    try:
        answer: Answer = _decode_answer(data)
    except msgspec.DecodeError:
        return None
    return answer


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


async def _of(awaited: Any) -> Any:
    """redis-py says of most commands that they return a value or something to await, whichever the client."""
    return await awaited
