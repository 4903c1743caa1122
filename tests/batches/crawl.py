"""A crawl of a small local site through the pipeline, run as a script (with no __main__ guard) by the tests.

argv: JSON of {"settings": {...}, "kind": name of a method of TestSpider below, "site": address, "pages": n, "items": n,
"accepted": file for the items that were scraped}.
The last line of stdout is the stats as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import pydantic
import scrapy
from scrapy.crawler import AsyncCrawlerProcess

given: dict[str, Any] = json.loads(sys.argv[1])


@dataclasses.dataclass
class Price:
    amount: Decimal


@dataclasses.dataclass
class DataclassItem:
    title: str
    price: Price


@attrs.define
class AttrsItem:
    title: str
    price: Price


class PydanticItem(pydantic.BaseModel):
    title: str
    price: Decimal


class ScrapyItem(scrapy.Item):
    title = scrapy.Field()
    price = scrapy.Field()


class TestSpider(scrapy.Spider):
    name = "test"

    async def start(self) -> Any:
        async for output in getattr(self, "start_" + given["kind"])():
            yield output

    async def start_pages(self) -> Any:
        for n in range(given["pages"]):
            yield scrapy.Request(f"{given['site']}/page/{n}", dont_filter=True)

    def parse(self, response: Any) -> Any:
        for n in range(given["items"]):
            yield {"page": response.url, "n": n, "body": response.body}

    async def start_items(self) -> Any:
        for n in range(given["items"]):
            yield {"n": n, "body": os.urandom(1000)}

    async def start_kinds(self) -> Any:
        yield {"title": "from start"}
        yield scrapy.Request(f"{given['site']}/page/1", callback=self.kinds)
        yield scrapy.Request("http://127.0.0.1:1/", callback=self.kinds, errback=self.refused)

    def kinds(self, response: Any) -> Any:
        price = Price(Decimal("1.50"))
        yield {"title": "dict", "price": price, "when": datetime(2026, 1, 2, tzinfo=UTC)}
        yield DataclassItem("dataclass", price)
        yield AttrsItem("attrs", price)
        yield PydanticItem(title="pydantic", price=Decimal("1.50"))
        yield ScrapyItem(title="scrapy", price=ScrapyItem(title="nested"))
        same = {"title": "twice"}
        yield same
        yield same
        yield {"title": "replaced"}
        yield {"title": "not encodable", "selector": response.css("a")}

    def refused(self, failure: Any) -> Any:
        yield {"title": "from errback"}


class ReplacingPipeline:
    """A pipeline before ours that returns another object."""

    async def process_item(self, item: Any) -> Any:
        return dict(item) if isinstance(item, dict) and item.get("title") == "replaced" else item


process = AsyncCrawlerProcess(
    {
        "ITEM_PIPELINES": {ReplacingPipeline: 100, "scraper.batches.pipeline.BatchPipeline": 900},
        "SPIDER_MIDDLEWARES": {"scraper.batches.middleware.OriginMiddleware": 10},
        "ITEM_PROCESSOR": "scraper.batches.middleware.OriginProcessor",
        "CONCURRENT_ITEMS": 4,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
        "DOWNLOAD_DELAY": 0,
        "RETRY_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "LOG_LEVEL": "WARNING",
        "RUN_ID": "test-run",
        "BATCH_STEPS": [],
        "SINK": "jsonl",
        "BATCH_WORKERS": 1,
        "BATCH_ITEMS": 100,
        "BATCH_BYTES": 1 << 20,
        "BATCH_AGE_S": 0.5,
        "BATCH_BACKLOG_BYTES": 64 << 20,
        "BATCH_DRAIN_TIMEOUT_S": 60,
        "BATCH_LOG": "",
        "BATCH_ITEM_DEADLINE_S": 30,
        "BATCH_ACK": "spool",
        "BATCH_SYNC_S": 0.5,
        "BATCH_OUTAGE_S": 900,
        "BATCH_WORKER_MAX_MB": 1024,
        "BATCH_KEEP_SEGMENTS": False,
        **given["settings"],
    }
)
crawler = process.create_crawler(TestSpider)


def accepted(item: Any) -> None:
    """One write per item that Scrapy was told is safe."""
    os.write(log, f"{item.get('page')} {item.get('n')}\n".encode())


log = os.open(given["accepted"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
if given["kind"] != "kinds":
    crawler.signals.connect(accepted, scrapy.signals.item_scraped)
process.crawl(crawler)
process.start()
assert crawler.stats is not None
imported = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({**crawler.stats.get_stats(), "imported": imported}, default=str))
