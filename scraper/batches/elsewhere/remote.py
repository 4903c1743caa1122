"""I/O. Workers on other machines: what `Pool` is for those of this one, over Redis (redis_log.py; work.py is the other end).

Nothing depends on what Redis holds. A batch counts as sent until its answer is here and written down; what Redis has lost
is sent again, and what is delivered twice changes nothing, as the sink knows the batch and its second answer is for nobody.
Who is to blame for a worker's death is decided and written down here, as for workers of this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any

from redis.exceptions import AuthenticationError

from scraper.batches import spool, steps, wire, worker
from scraper.batches.elsewhere import redis_log
from scraper.batches.elsewhere.link import Line
from scraper.batches.elsewhere.redis_log import DOWN, Answer, Died, Errand, RedisLog, Returned
from scraper.batches.elsewhere.window import Window, token_of
from scraper.batches.log import Batch
from scraper.batches.pool import Events, Pool
from scraper.errors import ConfigError
from scraper.sinks import contract

KEEP_EVERY_S = 5.0  # between two looks at what Redis still has, and at who works
BLOCK_S = 1.0  # that one question for answers waits
START_S = 10.0  # for Redis to answer at the start
SEEN_S = 20.0  # a machine that has asked for no batch and renewed none for so long is gone: it does every 6 s
ALONE_S = 30.0  # without a machine, before somebody is told; told again ten times later
MAX_RETURNS = 5  # of one batch by machines that cannot work, before the run gives up

logger = logging.getLogger(__name__)


def refuse_local(loaded: Iterable[steps.Loaded]) -> None:
    """ConfigError for a step which keeps what it knows on one machine's disk."""
    for one in loaded:
        if one.step.local:
            way_out = "keeps its index on one machine, so workers on others (BATCH_LOG) cannot share it: leave out one of them"
            raise ConfigError("BATCH_STEPS", one.name, way_out)


class RemotePool:
    """``url``: see `redis_log.connect`; ``folder`` is the spool's. ConfigError if the job is not one for several machines."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, job: worker.Job, url: str, folder: Path, events: Events,
        item_deadline_s: float = 30.0, outage_s: float = 900.0,
    ) -> None:  # fmt: skip
        refuse_local(worker.steps_of(job))
        self._loop, self._job, self._folder, self._events = loop, job, folder, events
        self._outage_s = outage_s
        self._shown = redis_log.shown(url)
        self._client = redis_log.connect(url)
        name = spool.about(folder)["uuid"]
        self._log = RedisLog(self._client, name)
        self._sink = contract.load(job.sink, job.out_dir, os.environ)
        self._marks = [folder / f".shared-{name}" for folder in _folders(self._sink, job.out_dir)]
        elsewhere = dataclasses.replace(job, run_dir="")
        self._errand = Errand(elsewhere, item_deadline_s, list(map(str, self._marks)))
        self._window = Window()
        self._sending = ""  # the token of the batch that is on its way to Redis
        self._there: set[str] = set()  # tokens that an earlier start of this crawl has sent
        self._early: dict[str, wire.Ack] = {}  # what was answered before this start
        self._heard: list[str] = []  # answers that are written down and still in Redis
        self._returns: Counter[str] = Counter()
        self._workers = 0
        self._unable = ""  # what the last machine said that would not or could not
        self._alone_s = loop.time()
        meanwhile = "what is scraped waits in the spool"
        self._to, self._from = Line(self._shown, meanwhile), Line(self._shown, meanwhile)
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def trouble(self) -> str:
        """Why nobody works, where that is known."""
        if self._unable:
            return f"a machine takes no batches of this crawl: {self._unable}"
        return "" if self._workers else f"no machine works on them: scrapy batches work --log {self._shown}"

    @property
    def idle(self) -> bool:
        """A machine is there and has, as far as can be known, nothing to do."""
        return not self._window.waiting and len(self._window.sent) < self._workers

    async def start(self) -> None:
        """Reach Redis, see what an earlier start left there. ConfigError if it does not answer."""
        give_up_s = self._loop.time() + START_S
        while True:
            try:
                await self._log.begin(self._errand)
                self._there = await self._log.tokens()
                await self._answers_before()
                break
            except DOWN as error:
                if self._loop.time() > give_up_s or isinstance(error, AuthenticationError):
                    await self._client.aclose()
                    way_out = f"cannot be used ({error}); without BATCH_LOG workers of this machine do it"
                    raise ConfigError("BATCH_LOG", self._shown, way_out) from error
            await asyncio.sleep(0.2)
        for mark in self._marks:
            mark.touch()
        self._tasks = [self._loop.create_task(self._guard(task)) for task in (self._send(), self._listen())]

    def submit(self, batch: Batch, *, first: bool = False) -> None:
        """Have the batch delivered; ``first`` puts it before those that wait."""
        token = token_of(batch)
        if token in self._early:
            self._loop.call_soon(self._apply, batch, self._early.pop(token))
        elif token in self._there:
            self._there.discard(token)
            self._window.add(batch)
        else:
            (self._window.waiting.appendleft if first else self._window.waiting.append)(batch)
            self._wake.set()

    def pause(self) -> None:
        """Send no batches but those of `probe`, until `resume`."""
        self._window.allowed = self._window.allowed or 0

    def resume(self) -> None:
        self._window.allowed = None
        self._wake.set()

    def probe(self, batch: Batch | None) -> None:
        """Have this one, or the first that waits, delivered though the pool is paused."""
        if self._window.allowed is not None:
            self._window.allowed += 1
        if batch:
            self._window.waiting.appendleft(batch)
        self._wake.set()

    async def finish(self) -> str | None:
        """Let the sink finish, in a worker process of this machine. Returns why it could not."""
        job = dataclasses.replace(self._job, steps=[])
        pool = Pool(self._loop, job, 1, self._folder, self._events, self._sink.preload)
        try:
            await pool.start()
            return await pool.finish()
        finally:
            await pool.stop()

    async def stop(self) -> None:
        """Let go of Redis. Where batches are undone, what is there stays for KEEP_S, and the machines go on with it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._window.sent and not self._window.waiting:
            for mark in self._marks:
                mark.unlink(missing_ok=True)
            with contextlib.suppress(*DOWN):  # then its keys expire
                async with asyncio.timeout(5):
                    await self._log.remove()
        with contextlib.suppress(*DOWN):
            await self._client.aclose()

    # --- to Redis ------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while batch := self._window.next():
                token = self._sending = token_of(batch)
                data = _bytes_of(batch)
                try:
                    await self._log.append(batch, data, self._errand.name)
                    self._to.works()
                except DOWN as error:
                    self._window.again(token)
                    await self._broken(self._to, error)
                finally:
                    self._sending = ""

    # --- from Redis ----------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        keep_s = 0.0
        while True:
            try:
                if self._loop.time() >= keep_s:
                    await self._keep()
                    keep_s = self._loop.time() + KEEP_EVERY_S
                await self._hear(BLOCK_S)
                self._from.works()
            except DOWN as error:
                keep_s = 0.0  # it may have lost everything: look at once when it is back
                await self._broken(self._from, error)

    async def _keep(self) -> None:
        """Have Redis keep what it has, send again what it has lost, see who is there."""
        await self._log.keep(self._errand)
        sent = self._window.sent.keys() - {
            self._sending
        }  # before the question: what comes after it may be there
        missing = sent - await self._log.tokens()
        while missing and await self._hear(0):  # an answer goes in as its batch goes out
            pass
        for token in missing:
            self._window.again(token)
        self._wake.set()
        self._workers = await self._log.workers(SEEN_S)
        self._see_if_alone()

    def _see_if_alone(self) -> None:
        undone, now_s = len(self._window.sent) + len(self._window.waiting), self._loop.time()
        if self._workers or not undone:
            self._alone_s = now_s
        elif now_s - self._alone_s > ALONE_S:
            self._alone_s = now_s + 9 * ALONE_S
            text = "%d batches wait and no machine works on them: scrapy batches work --log %s"
            logger.warning(text, undone, self._shown)

    async def _hear(self, block_s: float) -> bool:
        """Do what the answers say; False if there are none."""
        if self._heard:
            await self._log.forget(self._heard)
            self._heard.clear()
        answers = await self._log.answers(block_s)
        for entry, token, answer in answers:
            self._heard.append(entry)
            if batch := self._window.answered(token):
                self._apply(batch, answer or Returned(batch.id, "in words of another version"))
            elif isinstance(answer, Returned) and answer.why:
                self._unable = answer.why
                logger.warning("a machine takes no batches of this crawl: %s", answer.why)
        self._wake.set()
        if answers and self.idle:
            self._events.rested()
        return bool(answers)

    def _apply(self, batch: Batch, answer: Answer) -> None:
        if isinstance(answer, wire.Ack):
            self._returns.pop(batch.id, None)
            self._events.acked(batch, answer)
        elif isinstance(answer, Died):
            self._events.died(batch, answer.index, answer.why)
        elif isinstance(answer, Returned):
            self._returned(batch, answer.why)
        elif answer.passing:
            self._events.refused(batch, answer.cause)
        else:
            self._events.failed(answer.cause)

    def _returned(self, batch: Batch, why: str) -> None:
        if why:
            self._returns[batch.id] += 1
            logger.warning("a machine gives batch %s back: %s", batch.id, why)
        if self._returns[batch.id] >= MAX_RETURNS:
            self._events.failed(f"{MAX_RETURNS} times a machine could not do batch {batch.id}: {why}")
        self.submit(batch, first=True)

    async def _answers_before(self) -> None:
        """What machines answered while nobody was there. Deaths do not count: if it was the item, it kills again."""
        while answers := await self._log.answers(0):
            self._early |= {token: answer for _, token, answer in answers if isinstance(answer, wire.Ack)}
            await self._log.forget([entry for entry, _, _ in answers])
        self._there -= self._early.keys()

    async def _broken(self, line: Line, error: BaseException) -> None:
        if line.broken_s > self._outage_s:
            self._events.failed(f"{self._shown} cannot be used for {self._outage_s:g} s now ({error})")
        await line.broken(error)

    async def _guard(self, task: Coroutine[Any, Any, None]) -> None:
        try:
            await task
        except Exception as error:  # a run whose answers nobody hears would wait for ever
            logger.exception("remote workers")
            self._events.failed(f"remote workers: {type(error).__name__}: {error}")


def _folders(sink: contract.Sink, out_dir: str) -> set[Path]:
    """The folders that it writes to: those of its attribute ``folder``, out_dir where it has none; not addresses, nor what is
    not there though the sink is prepared.
    """
    found = {str(getattr(one, "folder", out_dir)) for one in getattr(sink, "sinks", [sink])}
    return {Path(folder) for folder in found if folder and "://" not in folder and Path(folder).is_dir()}


def _bytes_of(batch: Batch) -> bytes:
    """Its range of the segment; less, where that has been cut: the worker finds items damaged, as one of this machine would."""
    try:
        file = os.open(batch.path, os.O_RDONLY)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(file, batch.size, batch.start)
    finally:
        os.close(file)
