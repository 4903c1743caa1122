"""ADAPTER. The item pipeline: each item is encoded, spooled and thereby safe; worker processes do the rest.

`process_item` returns when the item is accepted as BATCH_ACK says (by default when it is in the spool, so `item_scraped`
means: no death of any process loses it), and waits while the spool holds too much, which holds the crawl back by itself:
Scrapy takes no new requests while responses wait for their items. It writes the stats ``batches/*``.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from scrapy.exceptions import DropItem
from scrapy.utils.reactor import is_asyncio_reactor_installed

from scraper.batches import encode, wire
from scraper.batches.assembly import ACKS, Options
from scraper.batches.batcher import Limits
from scraper.batches.delivery import Delivery
from scraper.batches.middleware import ORIGIN, OriginMiddleware, OriginProcessor
from scraper.batches.worker import Job, steps_of
from scraper.errors import ConfigError
from scraper.options import read
from scraper.sinks import contract

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)

SETTLED = ("batches/stored", "batches/dropped", "batches/duplicate", "batches/dead_letter")


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """All settings of the folder."""

    run_id: str
    delivery: Options


def options_from(settings: Any) -> PipelineOptions:
    """Read and check the settings; ConfigError names the wrong one."""
    job = Job(
        steps=_listed(settings, "BATCH_STEPS"),
        sink=_listed(settings, "SINK"),
        out_dir=str(Path(_given(settings, "OUT_DIR")).absolute()),
    )
    steps_of(job)
    contract.load(job.sink, job.out_dir, os.environ)
    items = read(settings, "BATCH_ITEMS", int, at_least=1)
    if items > wire.MAX_ITEMS:
        raise ConfigError("BATCH_ITEMS", items, f"must be at most {wire.MAX_ITEMS}")
    return PipelineOptions(
        run_id=_given(settings, "RUN_ID"),
        delivery=Options(
            run_dir=Path(_given(settings, "RUN_DIR")).absolute(),
            job=job,
            workers=read(settings, "BATCH_WORKERS", int, at_least=0),
            limits=Limits(
                items=items,
                size=read(settings, "BATCH_BYTES", int, at_least=1),
                age_s=read(settings, "BATCH_AGE_S", float, at_least=0.01),
            ),
            backlog_bytes=read(settings, "BATCH_BACKLOG_BYTES", int, at_least=0),
            drain_timeout_s=read(settings, "BATCH_DRAIN_TIMEOUT_S", float, at_least=0),
            item_deadline_s=read(settings, "BATCH_ITEM_DEADLINE_S", float, at_least=0.1),
            ack=_one_of(settings, "BATCH_ACK", ACKS),
            sync_s=read(settings, "BATCH_SYNC_S", float, at_least=0),
            outage_s=read(settings, "BATCH_OUTAGE_S", float, at_least=0),
            worker_bytes=read(settings, "BATCH_WORKER_MAX_MB", int, at_least=64) << 20,
            keep_segments=read(settings, "BATCH_KEEP_SEGMENTS", bool),
            elsewhere=_elsewhere(settings, job),
        ),
    )


class BatchPipeline:
    """Settings: BATCH_*, SINK, OUT_DIR, RUN_DIR, RUN_ID; needs OriginMiddleware and OriginProcessor in
    theirs.
    """

    def __init__(self, crawler: Crawler, options: PipelineOptions) -> None:
        assert crawler.stats is not None
        self._crawler = crawler
        self._stats = crawler.stats
        self._options = options
        self._delivery = Delivery(
            options.delivery, self._count, self._failed, notice=logger.warning, stopping=self._is_stopping
        )
        self._looking: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler, options_from(crawler.settings))

    async def open_spider(self) -> None:
        if not is_asyncio_reactor_installed():
            reactor = self._crawler.settings.get("TWISTED_REACTOR")
            raise ConfigError("TWISTED_REACTOR", reactor, "must be Scrapy's default, an asyncio reactor")
        if self._crawler.get_spider_middleware(OriginMiddleware) is None:
            names = "scraper.batches.middleware.OriginMiddleware"
            raise ConfigError("SPIDER_MIDDLEWARES", None, f"must have {names} (10: nearest to the engine)")
        assert self._crawler.engine is not None
        if not isinstance(self._crawler.engine.scraper.itemproc, OriginProcessor):
            processor = self._crawler.settings.get("ITEM_PROCESSOR")
            raise ConfigError(
                "ITEM_PROCESSOR", processor, "must be scraper.batches.middleware.OriginProcessor"
            )
        for name in (*SETTLED, "batches/scraped", "batches/written", "batches/worker_deaths"):
            self._stats.inc_value(name, 0)
        self._opened_s = asyncio.get_running_loop().time()
        await self._delivery.open()
        self._look()
        if recovered := self._stats.get_value("batches/recovered", 0):
            self._stats.inc_value("batches/scraped", recovered)
            logger.info("delivering %(n)d items that an earlier start left in the spool", {"n": recovered})

    async def process_item(self, item: Any) -> Any:
        self._stats.inc_value("batches/scraped")
        origin = ORIGIN.get()
        key = f"{self._options.run_id}/{origin.page}/{origin.ordinal}"
        try:
            row = encode.row_of(item, key=key, url=origin.url, scraped_at=datetime.now(UTC))
            payload = encode.encode(row)
        except encode.NotEncodable as error:
            self._delivery.dead_letter(key, "encode", str(error), item)
            raise DropItem(f"dead letter {key}: {error}") from error
        await self._delivery.put(payload)
        return item

    async def close_spider(self) -> None:
        await self._delivery.close()
        if self._looking:
            self._looking.cancel()
            self._look()
            self._looking.cancel()
        unfinished = self._stats.get_value("batches/scraped", 0) - sum(
            self._stats.get_value(n, 0) for n in SETTLED
        )
        self._stats.set_value("batches/unfinished", unfinished)
        if self._delivery.finish_failure:
            self._stats.set_value("batches/finish_failure", self._delivery.finish_failure)
            logger.warning(
                "all records are stored, but not merged (%(why)s): read the folder with union_by_name",
                {"why": self._delivery.finish_failure},
            )

    def _look(self) -> None:
        """Every second: what waits, for the report and for whoever looks at a running crawl."""
        loop = asyncio.get_running_loop()
        standing = self._delivery.standing
        self._stats.set_value("batches/waiting", standing.items)
        self._stats.set_value("batches/waiting_bytes", standing.size)
        self._stats.set_value("batches/waiting_bytes_max", standing.size_max)
        self._stats.set_value("batches/oldest_s", round(standing.oldest_s, 3))
        self._stats.set_value("batches/wait_max_s", round(standing.wait_max_s, 3))
        self._stats.set_value("batches/trouble", standing.trouble)
        self._stats.set_value("batches/open_s", round(loop.time() - self._opened_s, 3))
        self._looking = loop.call_later(1.0, self._look)

    def _is_stopping(self) -> bool:
        slot = getattr(self._crawler.engine, "_slot", None)  # there is no public word for it
        return slot is None or slot.closing is not None

    def _count(self, name: str, by: float) -> None:
        self._stats.inc_value(name, by)  # type: ignore[arg-type]  # seconds are counted too

    def _failed(self, why: str) -> None:
        self._stats.set_value("batches/failure", why)
        logger.error("storage failed: %(why)s", {"why": why})
        self._closing = asyncio.get_running_loop().create_task(self._stop_crawl())

    async def _stop_crawl(self) -> None:
        engine = self._crawler.engine
        if engine is not None and engine.spider is not None:
            await engine.close_spider_async(reason="storage_failed")


def _listed(settings: Any, name: str) -> list[Any]:
    """A list of names with or without options; on a command line a comma list of names, or JSON."""
    value = settings.get(name)
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return read(settings, name, list)
    try:
        found = json.loads(value)
    except ValueError as error:
        raise ConfigError(name, value, f"is not JSON: {error}") from error
    return found if isinstance(found, list) else [found]


def _one_of(settings: Any, name: str, known: tuple[str, ...]) -> str:
    value = read(settings, name, str)
    if value not in known:
        raise ConfigError(name, value, f"must be one of {', '.join(known)}")
    return value


def _elsewhere(settings: Any, job: Job) -> str:
    """Where workers of other machines get the batches. ConfigError if they cannot."""
    url = read(settings, "BATCH_LOG", str)
    if url:
        if importlib.util.find_spec("redis") is None:
            raise ConfigError("BATCH_LOG", None, 'needs redis, an extra: pip install "scraper[redis]"')
        from scraper.batches.elsewhere import redis_log, remote  # its library is an extra

        redis_log.connect(url)  # only builds it: whether it answers is seen when the crawl opens
        remote.refuse_local(steps_of(job))
    return url


def _given(settings: Any, name: str) -> str:
    value = read(settings, name, str)
    if not value:
        raise ConfigError(name, value, "is empty; the crawl command sets it, else give it with -s")
    return value
