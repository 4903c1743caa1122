"""What others do with items that cost CPU: in the crawl itself, in an executor item by item, in an executor by batches.

All do the same work with the same code as our step `main_text`, and write Parquet as a careful user would by hand: 100 rows a row
group, zstd, nothing synced. Settings: BENCH_BY (resiliparse or trafilatura), BENCH_POOL (ppe or loky), BENCH_FILE, BENCH_WORKERS.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
from concurrent.futures import Executor, ProcessPoolExecutor  # noqa: TID251  # it is what ours is compared with
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from scraper.batches.jobs.pages import MainText
from scraper.batches.steps import Place, Row

BATCH = 100


@functools.cache
def extractor(by: str) -> MainText:
    """The step, loaded once in each process."""
    step = MainText(Place(), by=by, keep=False)
    step.open()
    return step


def extract(by: str, row: Row) -> Row:
    return extractor(by).run(row)


def extract_and_write(by: str, rows: list[Row], path: str) -> int:
    """A batch in a worker; returns how many."""
    write_rows(Path(path), [extract(by, row) for row in rows])
    return len(rows)


def write_rows(path: Path, rows: list[Row]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")


class _Pipeline:
    def __init__(self, settings: Any) -> None:
        self.by = settings.get("BENCH_BY")
        self.file = Path(settings.get("BENCH_FILE"))
        self.pool_name = settings.get("BENCH_POOL")
        self.workers = settings.getint("BENCH_WORKERS", 1)

    @classmethod
    def from_crawler(cls, crawler: Any) -> Self:
        return cls(crawler.settings)

    def open_pool(self) -> Executor:
        if self.pool_name == "loky":
            executor: Executor = importlib.import_module("loky").ProcessPoolExecutor(self.workers)
            return executor
        return ProcessPoolExecutor(self.workers)


class _Writing(_Pipeline):
    """Writes the rows itself."""

    async def open_spider(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.rows: list[Row] = []
        self.writer: pq.ParquetWriter | None = None
        pa.Table.from_pylist([{"a": "b"}])  # imports what it wants to import, which takes 1 s

    def add(self, row: Row) -> None:
        self.rows.append(row)
        if len(self.rows) >= BATCH:
            self.write()

    def write(self) -> None:
        table = pa.Table.from_pylist(self.rows)
        self.writer = self.writer or pq.ParquetWriter(self.file, table.schema, compression="zstd")
        self.writer.write_table(table)
        self.rows = []

    async def close_spider(self) -> None:
        if self.rows:
            self.write()
        if self.writer:
            self.writer.close()


class Inline(_Writing):
    """All in the crawl's own process."""

    async def open_spider(self) -> None:
        await super().open_spider()
        extractor(self.by)

    async def process_item(self, item: Row) -> Row:
        self.add(extract(self.by, dict(item)))
        return item


class PerItem(_Writing):
    """``await loop.run_in_executor(...)`` for each item: the page goes to a process, the text comes back."""

    async def open_spider(self) -> None:
        await super().open_spider()
        self.loop = asyncio.get_running_loop()
        self.pool = self.open_pool()
        await self.loop.run_in_executor(self.pool, extractor_warm, self.by)

    async def process_item(self, item: Row) -> Row:
        self.add(await self.loop.run_in_executor(self.pool, extract, self.by, item))
        return item

    async def close_spider(self) -> None:
        await super().close_spider()
        self.pool.shutdown()


class Batches(_Pipeline):
    """A list of 100 items goes to a process, which also writes them. Nobody waits for it: a kill loses whatever is in memory."""

    async def open_spider(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.loop = asyncio.get_running_loop()
        self.pool = self.open_pool()
        await self.loop.run_in_executor(self.pool, extractor_warm, self.by)
        self.rows: list[Row] = []
        self.sent: list[asyncio.Future[int]] = []

    async def process_item(self, item: Row) -> Row:
        self.rows.append(item)
        if len(self.rows) >= BATCH:
            self.send()
        return item

    def send(self) -> None:
        path = self.file.with_name(f"{self.file.stem}-{len(self.sent):05d}.parquet")
        self.sent.append(
            self.loop.run_in_executor(self.pool, extract_and_write, self.by, self.rows, str(path))
        )
        self.rows = []

    async def close_spider(self) -> None:
        if self.rows:
            self.send()
        await asyncio.gather(*self.sent)
        self.pool.shutdown()


def extractor_warm(by: str) -> None:
    """What a worker has to import, before the clock runs."""
    extractor(by)
    pa.Table.from_pylist([{"a": "b"}])
