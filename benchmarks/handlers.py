"""Our download handler beside Scrapy's own, through the same gateway to the same site, each run a process of its own.

    python -m benchmarks.handlers [--requests 1000] [--runs 3]

Cases: every request as a session of its own ("fresh": the identity is retired with its answer), and all as 16 sessions
("reused"), to a page of 1 KB over https and http, 16 at once. Gateway and site are two more processes on this machine.
Nothing else of this project runs, so that the handlers are compared and not what stands around them; CPU is that of the
crawl's process from spider_opened to its last answer. Sockets are those of the crawl's process when the last answer has come, before
anything is shut down. httpx is measured where httpx2 is installed: ``uv run --with httpx2 python -m benchmarks.handlers``.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import scrapy
import trustme
from scrapy import signals
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.exceptions import DontCloseSpider

from scraper import names
from scraper.proxies.connections import Connections
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.handler import ProxyDownloadHandler
from scraper.proxies.pools import Pool
from tests.proxies.servers import HOST, Gateway, Site

ROOT = Path(__file__).parents[1]
STOCK = "scrapy.core.downloader.handlers"
HANDLERS = {
    "ours": "benchmarks.handlers.Ours",
    "http11": f"{STOCK}.http11.HTTP11DownloadHandler",
    "aiohttp": f"{STOCK}._aiohttp.AiohttpDownloadHandler",
    "httpx": f"{STOCK}._httpx.HttpxDownloadHandler",
}
AT_ONCE = 16


class Everyone:
    """In the place of IdentityMiddleware: whoever is asked for is a live identity of one gateway."""

    def __init__(self, settings: Any) -> None:
        self.connections = Connections.read(settings)
        self.on_retired: list[Any] = []
        self.roster = self
        self.n_bytes = 0
        self._gateway = int(settings["GATEWAY"])

    def get(self, name: str) -> Any:
        endpoint = Endpoint("http", HOST, self._gateway, f"customer-{name}", "example")
        pool = Pool("home", "gateway", endpoints=(endpoint,))
        return SimpleNamespace(id=name, endpoint=endpoint, arm=SimpleNamespace(pool=pool), proxy_headers={})

    def spent(self, identity: Any, site: str, n_bytes: int) -> None:
        self.n_bytes += n_bytes


class Ours(ProxyDownloadHandler):
    """Told by Everyone instead of the middleware."""

    def _middleware(self) -> Any:
        if self._found is None:
            everyone = self.crawler.spider.everyone
            self.crawler.get_downloader_middleware = lambda _: everyone  # type: ignore[method-assign]  # no middlewares run here: the handler asks for the one it needs
        return super()._middleware()


class Asks(scrapy.Spider):
    """Asks ``n`` times for one page; says at the end what it cost."""

    name = "asks"

    @classmethod
    def from_crawler(cls, crawler: Any, *args: Any, **kwargs: Any) -> Asks:
        spider = super().from_crawler(crawler, *args, **kwargs)
        spider.everyone = Everyone(crawler.settings)
        spider.seen, spider.errors, spider.rss, spider.peak = 0, {}, [], 0
        crawler.signals.connect(spider.opened, signal=signals.spider_opened)
        crawler.signals.connect(spider.stay, signal=signals.spider_idle)
        return spider

    def stay(self) -> None:
        """Nothing is shut down before the report."""
        raise DontCloseSpider

    def opened(self) -> None:
        self.before = sockets()
        self.began = time.monotonic(), time.process_time()

    async def start(self) -> AsyncIterator[scrapy.Request]:
        settings = self.crawler.settings
        ours = settings["DOWNLOAD_HANDLERS"]["https"] == HANDLERS["ours"]
        for n in range(int(settings["ASKED"])):
            session = f"s{n}" if settings.getbool("FRESH") else f"s{n % AT_ONCE}"
            proxy = f"http://customer-{session}:example@{HOST}:{settings['GATEWAY']}"
            meta = {names.IDENTITY: session} if ours else {"proxy": proxy}
            yield scrapy.Request(settings["PAGE"], meta=meta, dont_filter=True, errback=self.failed)

    def parse(self, response: Any) -> None:
        self.count(response.request)

    def failed(self, failure: Any) -> None:
        word = type(failure.value).__name__
        self.errors[word] = self.errors.get(word, 0) + 1
        self.count(failure.request)

    def count(self, request: scrapy.Request) -> None:
        settings, asked = self.crawler.settings, int(self.crawler.settings["ASKED"])
        if settings.getbool("FRESH"):
            for close in self.everyone.on_retired:
                close(request.meta.get(names.IDENTITY, ""))
        self.seen += 1
        if self.seen % max(1, asked // 100) == 0:
            self.peak = max(self.peak, sockets() - self.before)
        if self.seen % (asked // 4) == 0:
            self.rss.append(rss_mb())
        if self.seen == asked:
            wall_s, cpu_s = time.monotonic() - self.began[0], time.process_time() - self.began[1]
            asyncio.get_running_loop().call_later(
                0.3, self.report, wall_s, cpu_s
            )  # the loop closes what is let go

    def report(self, wall_s: float, cpu_s: float) -> None:
        print(json.dumps({
            "left": sockets() - self.before, "peak": self.peak, "rss_mb": self.rss, "errors": self.errors,
            "per_s": self.seen / wall_s, "cpu_ms": 1000 * cpu_s / self.seen, "metered": self.everyone.n_bytes / self.seen,
        }), flush=True)  # fmt: skip
        os._exit(0)  # what shutting down costs is not asked


def sockets() -> int:
    """Of this process, TCP."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that lists them
            found += str(link.readlink()).startswith("socket:")
    return found


def rss_mb() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def crawl(settings: dict[str, Any]) -> None:
    """One run, in this process."""
    process = AsyncCrawlerProcess({
        "CONCURRENT_REQUESTS": AT_ONCE, "CONCURRENT_REQUESTS_PER_DOMAIN": AT_ONCE, "LOG_LEVEL": "ERROR", "RETRY_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False, "REMOTE_CONTROL_ENABLED": False, "ALLOW_PRIVATE_ADDRESSES": True, "TLS_CA_FILE": "",
        "DOWNLOAD_VERIFY_CERTIFICATES": False, "PROXY_CONNECT_TIMEOUT_S": 1.0, "PROXY_IDENTITY_MAX_IDLE_S": 48.0,
        "DOWNLOAD_TIMEOUT": 5, "CONCURRENT_ITEMS": 4, "DOWNLOAD_DELAY": 0, "ASYNCIO_EVENT_LOOP": "uvloop.Loop", **settings,
    })  # fmt: skip
    process.crawl(Asks)
    process.start()


async def serve(manner: str, folder: str) -> None:
    """Gateway and sites, until stdin ends; says then what came."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert(HOST, "site.localhost").configure_cert(tls)
    gateway, sites = (
        await Gateway(manner).start(),
        {"https": await Site(tls).start(), "http": await Site().start()},
    )
    ports = {name: site.port for name, site in sites.items()}
    print(json.dumps({"gateway": gateway.port, **ports}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    n_bytes = sum(wire.n_bytes for wire in gateway.wires)
    Path(folder, "gateway.json").write_text(json.dumps({"connections": len(gateway.wires), "bytes": n_bytes}))
    os._exit(0)


@contextmanager
def servers(manner: str, folder: str) -> Iterator[dict[str, int]]:
    """Ports of a gateway and two sites in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.handlers", "--serve", manner, folder]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.stdin.close()
        process.wait(20)


def measure(
    handler: str,
    scheme: str = "https",
    *,
    n: int,
    fresh: bool,
    manner: str = "well",
    timeout_s: float = 600.0,
) -> dict[str, Any]:
    """One run. Returns what Asks.report says, and the gateway's ``connections`` and ``bytes`` a request."""
    path = HANDLERS[handler]
    with tempfile.TemporaryDirectory() as folder:
        with servers(manner, folder) as ports:
            settings = {"DOWNLOAD_HANDLERS": {"http": path, "https": path}, "GATEWAY": ports["gateway"], "ASKED": n, "FRESH": fresh,
                        "PAGE": f"{scheme}://site.localhost:{ports[scheme]}/bytes/1000"}  # fmt: skip
            command = [sys.executable, "-m", "benchmarks.handlers", "--crawl", json.dumps(settings)]
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        if not done.stdout.startswith("{"):
            raise SystemExit(f"{handler}: no figures\n{done.stdout}\n{done.stderr[-3000:]}")
        seen = json.loads(Path(folder, "gateway.json").read_text())
    return {**json.loads(done.stdout), "connections": seen["connections"], "bytes": seen["bytes"] / n}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000, help="of each run")
    parser.add_argument("--runs", type=int, default=3, help="of each case; the median is shown")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--crawl", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(*options.serve))
    elif options.crawl:
        crawl(json.loads(options.crawl))
    else:
        handlers = [name for name in HANDLERS if name != "httpx" or importlib.util.find_spec("httpx2")]
        print(
            "| handler | sessions | page | connections | sockets left | peak | RSS MB | requests/s | CPU ms/request | gateway bytes/request |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
        for fresh in (True, False):
            for scheme in ("https", "http"):
                for (
                    name
                ) in handlers:  # one after the other, so that a busy moment of the machine hits them all
                    runs = [
                        measure(name, scheme, n=options.requests, fresh=fresh) for _ in range(options.runs)
                    ]
                    middle = {
                        key: statistics.median(run[key] for run in runs)
                        for key in ("connections", "left", "peak", "per_s", "cpu_ms", "bytes")
                    }
                    rss = statistics.median(run["rss_mb"][-1] for run in runs)
                    print(
                        f"| {name} | {'fresh' if fresh else 'reused'} | {scheme} | {middle['connections']:.0f} | {middle['left']:.0f} "
                        f"| {middle['peak']:.0f} | {rss:.0f} | {middle['per_s']:.0f} | {middle['cpu_ms']:.2f} | {middle['bytes']:,.0f} |"
                        + (f" errors: {runs[0]['errors']}" if runs[0]["errors"] else ""),
                        flush=True,
                    )


if __name__ == "__main__":
    main()
