"""Components that start wrongly, never, or lose what they are given."""

import asyncio
import os
import signal
from pathlib import Path

from scraper import names
from scraper.errors import ConfigError


class WrongSetting:
    @classmethod
    def from_crawler(cls, crawler):
        raise ConfigError("PROXIES_FILE", "proxies.toml", "no such file; copy proxies.example.toml")


class OpensWrong:
    async def open_spider(self):
        raise ConfigError("SINK", "parqet", "unknown sink; did you mean parquet?")

    async def process_item(self, item):
        return item


class OpensForEver:
    """Is told to stop before the crawl has begun."""

    async def open_spider(self):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(20)

    async def process_item(self, item):
        return item


class LosesItems:
    def process_item(self, item):
        raise ValueError("cannot process")


class Storage:
    @classmethod
    def from_crawler(cls, crawler):
        pipeline = cls()
        pipeline.stats = crawler.stats
        crawler.signals.connect(pipeline.run_ended, signal=names.RUN_ENDED)
        return pipeline

    def run_ended(self, report):
        Path("told.txt").write_text(report["verdict"]["outcome"])

    def process_item(self, item):
        self.stats.inc_value("batches/scraped")
        return item

    def close_spider(self):
        self.stats.set_value("batches/stored", self.stats.get_value("batches/scraped", 0))
