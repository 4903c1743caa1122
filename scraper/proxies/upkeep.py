"""ADAPTER. What has to be done now and then while a crawl runs: publish the books, keep what was learnt, reload the pools."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from typing import TYPE_CHECKING

from scrapy.utils.asyncio import create_looping_call

from scraper.errors import ConfigError
from scraper.proxies import sources, state, watch
from scraper.proxies.broker import Broker
from scraper.proxies.options import Options

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)

TICK_S = 1.0  # seconds between two publications: as often as a person reads the status line


class Upkeep:
    """Begins with ``start`` and ends with ``stop``; ``publish`` may be called at any time, also after that."""

    def __init__(self, crawler: Crawler, broker: Broker, options: Options) -> None:
        self._crawler = crawler
        self._broker = broker
        self._options = options
        self._loop = create_looping_call(self._tick)
        self._busy: asyncio.Task[None] | None = None
        self._stamp = watch.stamp(options.proxies_file)
        now_s = time.monotonic()
        self._next_save_s = now_s + options.state_save_s
        self._next_look_s = now_s + options.reload_s

    def start(self) -> None:
        """From now on."""
        self._loop.start(TICK_S, now=False)

    async def stop(self) -> None:
        """Publish and keep what is left."""
        if self._loop.running:
            self._loop.stop()
        if self._busy is not None:
            await self._busy
        self.publish()
        await self._save()

    def publish(self) -> None:
        """Add to the stats what went over the wire since the last time."""
        for key, value in self._broker.ledger.take().items():
            self._crawler.stats.inc_value(key, value)  # type: ignore[arg-type]  # USD are fractions

    def _tick(self) -> None:
        self.publish()
        now_s = time.monotonic()
        if self._busy is not None and not self._busy.done():
            return
        if now_s >= self._next_save_s:
            self._next_save_s = now_s + self._options.state_save_s
            self._busy = asyncio.get_running_loop().create_task(self._save())
        elif self._options.reload_s and now_s >= self._next_look_s:
            self._next_look_s = now_s + self._options.reload_s
            self._busy = asyncio.get_running_loop().create_task(self._look())

    async def _save(self) -> None:
        path = self._options.state_file
        news = self._broker.beliefs.take_news()
        if path is None or not news:
            return
        try:
            await asyncio.to_thread(state.save, path, news, time.time(), self._options.half_life_s)
        except sqlite3.Error as error:
            self._broker.beliefs.give_back(news)
            logger.warning("what was learnt about proxies could not be kept in %s: %s", path, error)

    async def _look(self) -> None:
        """Take the pools of the file again if it, or a file that it names, was changed."""
        path = self._options.proxies_file
        stamp = await asyncio.to_thread(watch.stamp, path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            pools = await asyncio.to_thread(sources.load, path)
        except ConfigError as error:
            logger.error(
                "%s was changed and is wrong; the crawl goes on with the pools it has: %s", path, error
            )
            self._crawler.stats.inc_value("proxies/reload_refused")
            return
        changed, gone = self._broker.set_pools(pools, time.monotonic())
        self._crawler.stats.inc_value("proxies/reloads")
        logger.info(
            "%s was read again: new or changed: %s; gone: %s",
            path, ", ".join(sorted(changed)) or "none", ", ".join(sorted(gone)) or "none",
        )  # fmt: skip
