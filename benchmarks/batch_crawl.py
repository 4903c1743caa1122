"""One crawl of the pages of benchmarks/pages.py, in a process of its own, with its figures; the benchmarks of batches start it.

    python -m benchmarks.batch_crawl '{"url": ..., "pages": n, "settings": {...}}'

No proxies, no robots.txt, Scrapy's own handler and scheduler: only what becomes of the items differs. The last line of stdout is JSON:
pages; seconds until the last item was through the pipelines and until all was stored; CPU of this process until then, in us a page; how late a timer of
5 ms came (p99 and the worst, ms), and at most how much of that this process held the loop itself; peak memory, MB; Scrapy's stats.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.memory import Sampler
from scraper import settings as project

ROOT = Path(__file__).parents[1]
TICK_S = 0.005
COMMON = {
    "CONCURRENT_REQUESTS": 16,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
    "DOWNLOAD_DELAY": 0,
    "ROBOTSTXT_OBEY": False,
    "TELNETCONSOLE_ENABLED": False,
    "REMOTE_CONTROL_ENABLED": False,
    "LOG_LEVEL": "WARNING",
}
#: The two settings of Scrapy's engine that the project changes for speed.
ENGINE: dict[str, Any] = {
    "CONCURRENT_ITEMS": project.CONCURRENT_ITEMS,
    "ASYNCIO_EVENT_LOOP": project.ASYNCIO_EVENT_LOOP,
}
#: What the project needs to store items, without its proxies, verdicts, frontier and run record.
OURS: dict[str, Any] = {
    **ENGINE,
    "SPIDER_MIDDLEWARES": {"scraper.batches.middleware.OriginMiddleware": 10},
    "ITEM_PROCESSOR": "scraper.batches.middleware.OriginProcessor",
    "ITEM_PIPELINES": {"scraper.batches.pipeline.BatchPipeline": 900},
    "RUN_ID": "benchmark",
}


def ours(folder: Path, **settings: Any) -> dict[str, Any]:
    """Settings for our pipeline, with the project's own values where none are given."""
    defaults = {name: value for name, value in vars(project).items() if name.startswith("BATCH_")}
    places = {"RUN_DIR": str(folder / "run"), "OUT_DIR": str(folder / "out")}
    return {**OURS, **defaults, **places, "BATCH_DRAIN_TIMEOUT_S": 600, **settings}


def start(order: dict[str, Any]) -> subprocess.Popen[str]:
    """Start the crawl; `figures` waits for it."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.batch_crawl", json.dumps(order)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def figures(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the crawl printed. SystemExit with its stderr if it printed nothing or not all its pages came."""
    out, err = process.communicate()
    lines = out.splitlines()
    if process.returncode or not lines or not lines[-1].startswith("{"):
        raise SystemExit(f"the crawl failed with {process.returncode}:\n{out[-1000:]}\n{err[-3000:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return {**found, "stderr": err}


class Gaps:
    """How late a timer comes: what a turn of the loop that takes long does to all the others."""

    def __init__(self) -> None:
        self.late_s: list[float] = []
        self.own_s: list[float] = []  # of it, at most: CPU of this thread since the last tick
        self._loop = asyncio.get_running_loop()
        self._timer = self._next()

    def stop(self) -> None:
        self._timer.cancel()

    def p(self, share: float, *, own: bool = False) -> float:
        """The delay, ms, that this share of the ticks is not above; ``own``: without the time in which others had the CPU."""
        ordered = sorted(self.own_s if own else self.late_s) or [0.0]
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def _next(self) -> asyncio.TimerHandle:
        self._due_s, self._cpu_s = time.monotonic() + TICK_S, time.thread_time()
        return self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        # Not loop.time(): uvloop's stands still within a turn.
        late_s = max(0.0, time.monotonic() - self._due_s)
        self.late_s.append(late_s)
        self.own_s.append(min(late_s, time.thread_time() - self._cpu_s))
        self._timer = self._next()


def run(order: dict[str, Any]) -> dict[str, Any]:
    """``order``: url, pages, settings; ``served`` pages there are (1,000); ``items`` of each page (1), of ``size`` bytes
    (the whole page); ``text``: the page as str; ``accepted``: file for a line for each item that was through the pipelines;
    ``sample``: memory each second, see `memory.Sampler`.
    """
    import scrapy
    from scrapy import signals
    from scrapy.crawler import AsyncCrawlerProcess

    result: dict[str, Any] = {}

    class Pages(scrapy.Spider):
        name = "pages"

        async def start(self) -> Any:
            for n in range(order["pages"]):
                yield scrapy.Request(f"{order['url']}{n % order.get('served', 1_000)}.html?n={n}")

        def parse(self, response: Any) -> Any:
            body = response.text if order.get("text") else response.body
            size, many = order.get("size") or len(body), order.get("items", 1)
            room = max(1, len(body) - size)
            for n in range(many):
                part = body[n * size % room :][:size] if many > 1 or order.get("size") else body
                yield {"page": response.url, "n": n, "status": response.status, "body": part}

    def opened() -> None:
        result["gaps"] = Gaps()
        if order.get("sample"):
            result["sampler"] = Sampler(lambda: crawler.stats.get_value("batches/stored", 0))
        result["began"] = (time.perf_counter(), time.process_time())

    def through() -> None:
        result.setdefault("through", (time.perf_counter(), time.process_time()))

    def closed() -> None:
        result["closed"] = time.perf_counter()
        result["gaps"].stop()
        if order.get("sample"):
            result["sampler"].stop()

    process = AsyncCrawlerProcess({**COMMON, **order["settings"]})
    crawler = process.create_crawler(Pages)
    for handler, signal in (
        (opened, signals.spider_opened), (through, signals.spider_idle), (closed, signals.spider_closed),
    ):  # fmt: skip
        crawler.signals.connect(handler, signal=signal)
    if order.get("accepted"):
        log = os.open(order["accepted"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)

        def accepted(item: Any) -> None:
            os.write(log, f"{time.time():.3f} {item['page']} {item['n']}\n".encode())

        crawler.signals.connect(accepted, signal=signals.item_scraped)
    process.crawl(crawler)
    process.start()
    assert crawler.stats is not None
    pages = crawler.stats.get_value("response_received_count", 0)
    (began_s, began_cpu_s), (through_s, through_cpu_s) = result["began"], result.get("through", (0.0, 0.0))
    return {
        "pages": pages,
        "crawl_s": through_s - began_s,
        "all_s": result["closed"] - began_s,
        "cpu_us": 1e6 * (through_cpu_s - began_cpu_s) / max(1, pages),
        "late_ms": [result["gaps"].p(share) for share in (0.99, 1)],
        "own_ms": [result["gaps"].p(share, own=True) for share in (0.99, 1)],
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "samples": result["sampler"].samples if order.get("sample") else [],
        "stats": crawler.stats.get_stats(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(json.loads(sys.argv[1])), default=str) + "\n")
