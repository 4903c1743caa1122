"""CPU of choosing a proxy, learning from the answer and metering the bytes, a request; beside stock Scrapy with one fixed proxy.

    python -m benchmarks.proxy_cost [--pages 100] [--runs 5]

Both crawl the open shop of one lab. Ours chooses among its three pools, with identities, verdicts, beliefs, budgets and the
books; the calls into scraper/proxies are timed one by one (thread CPU time), nested calls once. A garbage collection of the whole
process that happens to begin inside one (30-60 ms, a few in a run) is taken out and shown by itself. Stock Scrapy goes through the
residential gateway with one session, and does none of it. Prints the parts, their sum a request, and the whole CPU a page of both.
"""

from __future__ import annotations

import argparse
import functools
import gc
import inspect
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from time import thread_time
from typing import Any

import scrapy
from scrapy.crawler import AsyncCrawlerProcess

from benchmarks.page_cost import Shop, run
from scraper.proxies.broker import Broker
from scraper.proxies.middleware import IdentityMiddleware
from scraper.proxies.sockets import MeteredSocket
from scraper.proxies.upkeep import Upkeep

BAR_MS = 0.15
GARBAGE = "garbage collections"
_TIMED = {
    "choosing": (IdentityMiddleware, "process_request"),
    "releasing": (IdentityMiddleware, "process_response"),
    "learning": (Broker, "heard"),
    "metering": (MeteredSocket, "account"),
    "booking": (IdentityMiddleware, "spent"),
    "publishing": (Upkeep, "publish"),
}


class Timed:
    """Adds up the CPU seconds of some methods; of calls inside each other only the outer one counts."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside = False
        self._collected_s = self._collecting_s = 0.0
        gc.callbacks.append(self._collecting)

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        """A garbage collection begins or ends."""
        if not self._inside:
            return
        if phase == "start":
            self._collecting_s = thread_time()
        elif self._collecting_s:
            self._collected_s += thread_time() - self._collecting_s
            self._collecting_s = 0.0

    def wrap(self, label: str, owner: type, name: str) -> None:
        method = getattr(owner, name)

        def begin() -> float | None:
            if self._inside:
                return None
            self._inside = True
            return thread_time()

        def end(began: float | None) -> None:
            if began is not None:
                self.seconds[label] += thread_time() - began - self._collected_s
                self.seconds[GARBAGE] += self._collected_s
                self._collected_s = 0.0
                self._inside = False

        @functools.wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = begin()
            try:
                return method(*args, **kwargs)
            finally:
                end(began)

        @functools.wraps(method)
        async def timed_async(*args: Any, **kwargs: Any) -> Any:
            began = begin()
            coroutine = method(*args, **kwargs)
            try:
                coroutine.send(None)  # the usual request never has to wait here
            except StopIteration as done:
                end(began)
                return done.value
            except BaseException:
                end(began)
                raise
            end(began)
            raise SystemExit("a request had to wait in process_request: the figure would be wrong")

        setattr(owner, name, timed_async if inspect.iscoroutinefunction(method) else timed)


class Ours(Shop):
    """The shop, with the calls into scraper/proxies timed."""

    name = "proxy_cost"

    @classmethod
    def from_crawler(cls, crawler: Any, *args: Any, **kwargs: Any) -> Any:
        spider = super().from_crawler(crawler, *args, **kwargs)
        spider.timed = Timed()
        for label, (owner, name) in _TIMED.items():
            spider.timed.wrap(label, owner, name)
        return spider

    def report(self) -> None:
        requests = sum(
            value
            for key, value in self.crawler.stats.get_stats().items()
            if key.startswith("proxies/requests/")
        )
        print(json.dumps({label: 1000 * s / requests for label, s in self.timed.seconds.items()}), flush=True)
        super().report()


class Stock(Shop):
    """The same behind one fixed proxy."""

    name = "stock"

    def __init__(self, url: str, proxy: str) -> None:
        super().__init__(url)
        self.proxy = proxy

    async def start(self) -> Any:
        yield scrapy.Request(self.start_urls[0], meta={"proxy": self.proxy})

    def parse(self, response: Any) -> Any:
        for request in super().parse(response):
            request.meta["proxy"] = self.proxy
            yield request


def stock(url: str, proxy: str) -> None:
    """Run the spider with Scrapy's defaults, but for the doors that are open by default and the concurrency."""
    settings = {"CONCURRENT_REQUESTS": 32, "CONCURRENT_REQUESTS_PER_DOMAIN": 32, "LOG_LEVEL": "INFO"}
    closed = {"TELNETCONSOLE_ENABLED": False, "REMOTE_CONTROL_ENABLED": False}
    process = AsyncCrawlerProcess({**settings, **closed})
    process.crawl(Stock, url=url, proxy=proxy)
    process.start()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", type=int, default=100, help="listing pages of the shop, ten products each")
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs")
    parser.add_argument("--stock", nargs=2, metavar=("URL", "PROXY"), help="run the stock side alone")
    options = parser.parse_args()
    if options.stock:
        stock(*options.stock)
        return

    from scraper.lab import process as lab_process

    parts: dict[str, list[float]] = defaultdict(list)
    whole: list[tuple[float, float]] = []
    with (
        tempfile.TemporaryDirectory() as name,
        lab_process.start(Path(name) / "lab", pages=options.pages) as lab,
    ):
        folder = Path(name)
        url = lab.info["sites"]["open"]["start_url"]
        password = (folder / "lab" / "residential.password").read_text().strip()
        gateway = lab.info["pools"]["residential"]["gateway"].removeprefix("http://")
        proxy = f"http://customer-lab-session-a1:{password}@{gateway}"
        for number in range(options.runs):
            command = [
                sys.executable, "-m", "scrapy", "crawl", "proxy_cost", "-a", f"url={url}",
                "-s", "SPIDER_MODULES=benchmarks.proxy_cost", "-s", f"PROXIES_FILE={folder}/lab/proxies.toml",
                "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", "DOWNLOAD_DELAY=0", "-s", "CONCURRENT_REQUESTS=32",
                "-s", "CONCURRENT_REQUESTS_PER_DOMAIN=32", "-s", f"DATA_DIR={folder}/{number}", "-s", "PROXY_BUDGET_USD=100",
            ]  # fmt: skip
            ours = run(command)
            theirs = run([sys.executable, "-m", "benchmarks.proxy_cost", "--stock", url, proxy])
            whole.append((ours.pop("cpu_ms"), theirs["cpu_ms"]))
            ours.pop("pages")
            for label, value in ours.items():
                parts[label].append(value)
    medians = {label: statistics.median(values) for label, values in parts.items()}
    for label, value in medians.items():
        print(f"{label:24} {value:.4f} ms")
    total = sum(value for label, value in medians.items() if label != GARBAGE)
    print(
        f"{'together, a request':24} {total:.4f} ms, bar {BAR_MS} ms: {'met' if total <= BAR_MS else 'missed'}"
    )
    mine, fixed = (statistics.median(pair[side] for pair in whole) for side in (0, 1))
    ratio = statistics.median(pair[0] / pair[1] for pair in whole)
    print(
        f"whole page: ours {mine:.3f} ms, stock Scrapy with one fixed proxy {fixed:.3f} ms, ratio {ratio:.2f} x"
    )


if __name__ == "__main__":
    main()
