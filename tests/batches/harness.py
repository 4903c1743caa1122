"""A Delivery with real worker processes on a real loop, and what it left behind."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from scraper.batches.batcher import Limits
from scraper.batches.delivery import Delivery, Options
from scraper.batches.pool import Pool
from scraper.batches.worker import Job

POISON = "tests.batches.poison.number"


@dataclass
class Run:
    """One run's folder, settings and counts; rows are read from its jsonl sink."""

    folder: Path
    steps: list[Any] = field(default_factory=lambda: [POISON])
    sink: str = "jsonl"
    workers: int = 1
    items: int = 10
    size: int = 1 << 20
    age_s: float = 0.5
    backlog_bytes: int = 64 << 20
    drain_timeout_s: float = 30.0
    item_deadline_s: float = 30.0
    ack: str = "spool"
    sync_s: float = 0.5
    outage_s: float = 0.3
    worker_bytes: int = 1 << 30
    keep_segments: bool = False
    elsewhere: str = ""
    stopping: bool = False
    notices: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def delivery(self) -> Delivery:
        job = Job(self.steps, self.sink, str(self.folder / "out"))
        options = Options(
            self.folder / "run",
            job,
            self.workers,
            Limits(self.items, self.size, self.age_s),
            self.backlog_bytes,
            self.drain_timeout_s,
            self.item_deadline_s,
            self.ack,
            self.sync_s,
            self.outage_s,
            self.worker_bytes,
            self.keep_segments,
            self.elsewhere,
        )
        return Delivery(
            options,
            lambda name, by: self.counts.update({name: by}),
            self.failures.append,
            notice=self.notices.append,
            stopping=lambda: self.stopping,
        )

    def deliver(
        self, rows: Iterable[dict[str, Any]], meanwhile: Callable[[Delivery], Awaitable[None]] | None = None
    ) -> Delivery:
        """Open, put all rows (with ``n`` as their key if they have none), run ``meanwhile``, close."""

        async def go() -> Delivery:
            delivery = self.delivery()
            await delivery.open()
            try:
                for number, row in enumerate(rows):
                    await delivery.put(payload({"n": number, **row}))
                if meanwhile:
                    await meanwhile(delivery)
            finally:
                await delivery.close()
            return delivery

        return asyncio.run(go())

    def count(self, name: str) -> int:
        return self.counts["batches/" + name]

    def rows(self) -> list[dict[str, Any]]:
        lines = (path.read_bytes().splitlines() for path in (self.folder / "out").glob("*.jsonl"))
        return sorted((json.loads(line) for some in lines for line in some), key=lambda row: str(row["n"]))

    def numbers(self) -> list[int]:
        """The ``n`` of all stored rows."""
        return sorted(row["n"] for row in self.rows())

    def letters(self) -> list[dict[str, Any]]:
        path = self.folder / "run" / "dead_letters.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def payload(row: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode(row)


def pool_of(delivery: Delivery) -> Pool:
    assert isinstance(delivery._pool, Pool)
    return delivery._pool


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.002)
