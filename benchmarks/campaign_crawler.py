"""The crawler that campaigns kill: it puts numbered items, some of them poison, and writes down which were accepted.

    python -m benchmarks.campaign_crawler ORDER     JSON, see `Order`; campaign.py starts it

An item's key is ``<start>/<n>/<what it does to its worker>``, so its fate is known: see campaign.py. It is written to the file
``accepted`` when `put` (or Scrapy's signal item_scraped) says that it is safe, before the next is put. Prints the counts as
JSON; exit code 1 if the run says that it failed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from scraper import settings
from scraper.batches.assembly import Options
from scraper.batches.batcher import Limits
from scraper.batches.delivery import Delivery
from scraper.batches.spool import Spool
from scraper.batches.worker import Job
from scraper.errors import SinkError

FINE = "fine"
# What an item does -> how often among all, unless the order lists what each of them does.
DEEDS = {"raise": 0.004, "drop": 0.004, "kill": 0.003, "abort": 0.002, "hang": 0.0004, "spin": 0.0002}


class Order(msgspec.Struct):
    """What a crawler is to do in its life number ``start``."""

    folder: str
    sink: Any
    start: int = 0
    form: str = "delivery"  # or "crawl": a whole Scrapy crawl
    items: int = 0
    deeds: list[str] = []  # of the first items, one after the other; the rest by chance
    poison: bool = True
    rate: float = 0  # items/s, 0 as fast as they are taken
    seed: int = 0
    workers: int = 1
    batch: int = 20
    age_s: float = 0.2
    backlog_bytes: int = 1 << 20
    segment_bytes: int = 1 << 14  # so small that segments come and go all the time
    deadline_s: float = 2.0  # for an item
    ack: str = "spool"  # BATCH_ACK
    sync_s: float = 0.5
    lanes: int = 1  # puts at once; an ack that waits for a disk or a store needs many
    drain_timeout_s: float = 120.0
    stays: bool = False  # once all is put, wait to be killed

    @property
    def run_dir(self) -> Path:
        return Path(self.folder) / "data" / "run"

    @property
    def out_dir(self) -> Path:
        return Path(self.folder) / "data" / "out"


def rows(order: Order) -> Iterator[dict[str, Any]]:
    chance = random.Random(f"{order.seed} {order.start}")
    for n in range(order.items):
        drawn = chance.choices([FINE, *DEEDS], [1 - sum(DEEDS.values()), *DEEDS.values()])[0]
        deed = order.deeds[n] if n < len(order.deeds) else drawn if order.poison else FINE
        text = "x" * chance.randrange(300)
        yield {"key": f"{order.start}/{n}/{deed}", "do": deed, "text": text, "log": order.folder}


def misbehave(row: dict[str, Any], *, meek: bool = False) -> dict[str, Any] | None:
    """The step. What an item does is written down first. ``meek``: nothing hangs, and what would kill raises."""
    deed = row["do"]
    if deed == FINE:
        return row
    note(Path(row["log"]) / "deeds", row["key"])
    if deed == "drop":
        return None
    if deed == "raise" or (meek and deed in ("kill", "abort")):
        raise ValueError(f"cannot do {row['key']}")
    if deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "abort":
        os.abort()
    if deed == "hang" and not meek:
        time.sleep(3600)
    if deed == "spin":
        re.match(r"(a+)+$", "a" * 60 + "b")  # holds the interpreter lock for years
    return row


def note(path: Path, line: str) -> None:
    handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    os.write(handle, line.encode() + b"\n")
    os.close(handle)


def options(order: Order) -> Options:
    step = {"benchmarks.campaign_crawler.misbehave": {"meek": order.workers == 0}}
    return Options(
        order.run_dir,
        Job([step], order.sink, str(order.out_dir)),
        order.workers,
        Limits(order.batch, 1 << 20, order.age_s),
        order.backlog_bytes,
        order.drain_timeout_s,
        order.deadline_s,
        ack=order.ack,
        sync_s=order.sync_s,
    )


def small_segments(order: Order) -> None:
    """The size is no option for users, only the last argument of a spool by its place."""
    init = vars(Spool)["__init__"]
    assert len(init.__defaults__) == 1
    init.__defaults__ = (order.segment_bytes,)


async def deliver(order: Order) -> tuple[dict[str, float], str]:
    """Put all items, deliver them, close. Returns the counts and why the run failed, or ""."""
    counts: Counter[str] = Counter()
    delivery = Delivery(options(order), lambda name, by: counts.update({name: by}), lambda why: None)
    left = rows(order)

    async def lane() -> None:
        for row in left:
            if delivery.failure:
                break
            await delivery.put(msgspec.msgpack.encode(row))
            note(Path(order.folder) / "accepted", row["key"])
            counts["put"] += 1
            await asyncio.sleep(order.lanes / order.rate if order.rate else 0)

    try:
        await delivery.open()
    except SinkError as error:  # a store that is down at the start: nothing has begun
        return dict(counts), str(error)
    try:
        await asyncio.gather(*(lane() for _ in range(order.lanes)))
        if order.stays:
            note(Path(order.folder) / "put", str(counts["put"]))
            await asyncio.sleep(3600)
    finally:
        await delivery.close()
    counts["unfinished"] = delivery.unfinished
    return dict(counts), delivery.failure or delivery.finish_failure


def crawl(order: Order) -> tuple[dict[str, float], str]:
    """The same by a whole Scrapy crawl: the spider's start yields the items."""
    import scrapy
    from scrapy.crawler import AsyncCrawlerProcess

    class Items(scrapy.Spider):
        name = "items"

        async def start(self) -> Any:
            for row in rows(order):
                yield row
                if order.rate:
                    await asyncio.sleep(1 / order.rate)

    given = options(order)
    process = AsyncCrawlerProcess(
        {
            "ITEM_PIPELINES": {"scraper.batches.pipeline.BatchPipeline": 900},
            "SPIDER_MIDDLEWARES": {"scraper.batches.middleware.OriginMiddleware": 10},
            "ITEM_PROCESSOR": "scraper.batches.middleware.OriginProcessor",
            "TELNETCONSOLE_ENABLED": False,
            "LOG_LEVEL": "ERROR",
            **{name: value for name, value in vars(settings).items() if name.startswith(("BATCH_", "SINK"))},
            "RUN_ID": "campaign",
            "RUN_DIR": str(order.run_dir),
            "OUT_DIR": str(order.out_dir),
            "BATCH_STEPS": given.job.steps,
            "SINK": order.sink,
            "BATCH_WORKERS": order.workers,
            "BATCH_ITEMS": order.batch,
            "BATCH_AGE_S": order.age_s,
            "BATCH_BACKLOG_BYTES": order.backlog_bytes,
            "BATCH_ITEM_DEADLINE_S": order.deadline_s,
            "BATCH_DRAIN_TIMEOUT_S": order.drain_timeout_s,
            "BATCH_ACK": order.ack,
            "BATCH_SYNC_S": order.sync_s,
        }
    )
    crawler = process.create_crawler(Items)
    accepted = Path(order.folder) / "accepted"

    def scraped(item: Any) -> None:
        note(accepted, item["key"])

    crawler.signals.connect(scraped, scrapy.signals.item_scraped)
    process.crawl(crawler)
    process.start()
    assert crawler.stats is not None
    stats = crawler.stats.get_stats()
    counts = {name: value for name, value in stats.items() if name.startswith("batches/")}
    counts["put"] = counts.get("batches/scraped", 0) - counts.get("batches/recovered", 0)
    counts["unfinished"] = counts.pop("batches/unfinished", 0)
    return counts, str(counts.pop("batches/failure", "")) or str(counts.pop("batches/finish_failure", ""))


def main() -> int:
    order = msgspec.json.decode(sys.argv[1], type=Order)
    small_segments(order)
    counts, failure = crawl(order) if order.form == "crawl" else asyncio.run(deliver(order))
    sys.stdout.write(json.dumps({"counts": counts, "failure": failure}) + "\n")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
