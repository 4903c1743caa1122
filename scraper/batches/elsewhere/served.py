"""I/O. One spool's batches on a machine that is not the crawl's: taken from Redis, delivered by a `Pool`, answered.

The machine decides nothing about an item: whatever ends a batch in another way than stored goes back to the crawl, which
keeps the attempts. Only a batch that MAX_MACHINES took and never answered is given up here: whatever is in it, it ends
more than worker processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import msgspec

from scraper.batches import wire
from scraper.batches.elsewhere.link import Line
from scraper.batches.elsewhere.machine import Machine, Unable, check, check_folder, preloads
from scraper.batches.elsewhere.redis_log import DOWN, Answer, Died, Errand, RedisLog, Returned, Taken
from scraper.batches.log import Batch
from scraper.batches.pool import PREFETCH, Pool

MAX_MACHINES = 5  # that died with the same batch in their hands
BLOCK_S = 1.0  # that one question for batches waits; the same again is the most that leaving waits for it
IDLE_S = 60.0  # without a batch, then the workers go: they hold memory, and start in 0.1 s
GONE_S = (
    15.0  # without its keys: three times as long as a crawl takes to put them back when Redis has lost them
)
MAX_REST_S = 10.0  # after the sink refused batches: others may be able to reach it


@dataclass(slots=True)
class _Hand:
    taken: Taken
    batch: Batch
    answer: Answer | None = None


class Served:
    """`run` until the crawl is done, `leave` was called, or this machine turns out to be unable (then Unable is raised)."""

    def __init__(self, log: RedisLog, machine: Machine, line: Line) -> None:
        self._loop = asyncio.get_running_loop()
        self._log, self._machine, self._line = log, machine, line
        self._hands: dict[str, _Hand] = {}  # by entry, until the answer is in Redis
        self._answers: deque[_Hand] = deque()
        self._pool: Pool | None = None
        self._leaving = False
        self._unable = ""
        self._changed = asyncio.Event()  # an answer, an end
        self._used_s = self._loop.time()
        self._rest_s = 0.0  # after a refusal, and when that was
        self._refused_s = 0.0
        self._reclaim_s = self._loop.time()
        self.done = 0  # batches

    def leave(self) -> None:
        """Take no more, finish what is in hand."""
        self._leaving = True
        self._changed.set()

    async def run(self) -> None:
        errand = await self._log.errand()
        if errand is None:
            return
        self._folder = self._machine.folder / self._log.spool
        self._folder.mkdir(parents=True, exist_ok=True)
        check(errand, self._machine)
        tasks = [self._loop.create_task(self._answer_all()), self._loop.create_task(self._renew())]
        try:
            try:
                await self._take_all(errand, errand.name)
            except Unable as error:
                self.failed(str(error))
            except Exception as error:  # noqa: BLE001  # told to the crawl, whole; its batches go back
                self.failed(f"{type(error).__name__}: {error}")
            await self._drain()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._rest()
        if self._unable:
            raise Unable(self._unable)

    # --- events of the pool --------------------------------------------------------------------------------

    def acked(self, batch: Batch, ack: wire.Ack) -> None:
        self._rest_s = 0.0
        self._close(batch, msgspec.structs.replace(ack, worker=f"{self._machine.name}-{ack.worker}"))

    def died(self, batch: Batch | None, index: int, why: str) -> None:
        if batch:
            self._close(batch, Died(batch.id, index, f"{why} (on {self._machine.name})"))

    def refused(self, batch: Batch, why: str) -> None:
        self._rest_s = min(MAX_REST_S, 2 * self._rest_s or 0.5)
        self._refused_s = self._loop.time()
        self._close(batch, wire.Failed(batch.id, f"{why} (on {self._machine.name})", passing=True))

    def failed(self, why: str) -> None:
        said = why.encode(
            "utf-8", "replace"
        ).decode()  # a file's name in it may be no text, and stop every answer
        self._unable = self._unable or said
        self._give_back(f"{self._unable} (on {self._machine.name})")

    def recycled(self) -> None: ...
    def rested(self) -> None: ...

    # --- batches in ----------------------------------------------------------------------------------------

    async def _take_all(self, errand: Errand, name: str) -> None:
        gone_s = self._loop.time()
        while not self._leaving and not self._unable:
            room = self._machine.workers * PREFETCH - len(self._hands)
            rest_s = self._refused_s + self._rest_s - self._loop.time() if self._rest_s else 0.0
            if room <= 0 or rest_s > 0:
                await self._wait(rest_s if room > 0 else None)
                continue
            try:
                taken = await self._take(room)
                self._line.works()
                gone_s = self._loop.time()
            except DOWN as error:
                # What nobody could renew meanwhile is not without an owner.
                self._reclaim_s = self._loop.time() + self._machine.takeover_s
                if not await self._is_gone(error):
                    gone_s = self._loop.time()
                elif self._loop.time() - gone_s > GONE_S:
                    return
                continue
            for one in taken:
                if one.entry not in self._hands:  # else taken from ourselves, as we could not renew it
                    await self._begin(one, errand, name)
            if not self._hands and self._loop.time() - self._used_s > IDLE_S:
                await self._rest()

    async def _take(self, room: int) -> list[Taken]:
        if self._loop.time() >= self._reclaim_s:
            self._reclaim_s = self._loop.time() + self._machine.takeover_s / 5
            found = await self._log.reclaim(self._machine.consumer, self._machine.takeover_s, room)
            if found:
                return found
        return await self._log.read(self._machine.consumer, room, BLOCK_S)

    async def _is_gone(self, error: BaseException) -> bool:
        """Whether the spool has no keys, as its crawl has ended or Redis has lost them; if Redis is away, wait."""
        try:
            if await self._log.errand() is None:
                await self._wait(0.5)
                return True
        except DOWN as worse:
            error = worse
        await self._line.broken(error)
        return False

    async def _begin(self, taken: Taken, errand: Errand, name: str) -> None:
        path = self._folder / taken.entry
        batch = Batch(taken.batch, str(path), 0, 0, len(taken.data), taken.n, taken.skip)
        hand = self._hands[taken.entry] = _Hand(taken, batch)
        self._used_s = self._loop.time()
        if taken.machines > MAX_MACHINES:
            reason = f"{MAX_MACHINES} machines that took its batch never answered"
            items = (index for index in range(taken.n) if index not in taken.skip)
            dead = [wire.Dead(index, "machine", reason) for index in items]
            self._end(hand, wire.Ack(taken.batch, 0, {}, dead))
        elif taken.errand != name:  # the crawl was started again with other steps: have it sent anew
            self._end(hand, Returned(taken.batch, ""))
            self.leave()
        else:
            check_folder(errand, self._machine)  # each time: it may not be mounted any more
            path.write_bytes(taken.data)
            taken.data = b""
            pool = self._pool or await self._workers(errand)
            pool.submit(batch)

    async def _workers(self, errand: Errand) -> Pool:
        machine = self._machine
        job = dataclasses.replace(errand.job, run_dir=str(self._folder))
        self._pool = Pool(
            self._loop, job, machine.workers, self._folder, self, preloads(job), errand.item_deadline_s, machine.max_bytes
        )  # fmt: skip
        await self._pool.start()
        return self._pool

    # --- answers out ---------------------------------------------------------------------------------------

    def _close(self, batch: Batch, answer: Answer) -> None:
        hand = self._hands.get(Path(batch.path).name)
        if hand and hand.answer is None:  # else it was given back already
            self._end(hand, answer)

    def _end(self, hand: _Hand, answer: Answer) -> None:
        hand.answer = answer
        self._answers.append(hand)
        Path(hand.batch.path).unlink(missing_ok=True)
        self._changed.set()

    def _give_back(self, why: str) -> None:
        for hand in self._hands.values():
            if hand.answer is None:
                self._end(hand, Returned(hand.batch.id, why))

    async def _answer_all(self) -> None:
        while True:
            while self._answers:
                hand = self._answers[0]
                try:
                    await self._log.ack(hand.taken, hand.answer or Returned(hand.batch.id, ""))
                except DOWN as error:
                    await self._line.broken(error)
                else:
                    self._answers.popleft()
                    del self._hands[hand.taken.entry]
                    self.done += isinstance(hand.answer, wire.Ack)
                    self._changed.set()
            await self._wait(None)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._machine.takeover_s / 5)
            with contextlib.suppress(*DOWN):  # the others say so
                if self._hands:
                    await self._log.renew(self._machine.consumer, list(self._hands))

    # --- the end -------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Finish what is in hand, give back what takes too long."""
        for seconds in (self._machine.drain_s, 5.0):
            until_s = self._loop.time() + seconds
            while self._hands and (left_s := until_s - self._loop.time()) > 0:
                await self._wait(left_s)
            self._give_back("")

    async def _rest(self) -> None:
        """No workers until there is a batch again."""
        pool, self._pool = self._pool, None
        if pool:
            await pool.stop()

    async def _wait(self, seconds: float | None) -> None:
        """Until something happens here, or ``seconds`` have passed."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
