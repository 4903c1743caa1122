"""``crawl`` runs one spider in another process, with Scrapy's stock components and no proxies; ``web`` and ``files``
are web servers for it to crawl."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
SETTINGS = {
    "SPIDER_MODULES": ["spiders"],
    "TELNETCONSOLE_ENABLED": False,
    "REMOTE_CONTROL_ENABLED": False,
    "CONCURRENT_ITEMS": 4,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
    "ROBOTSTXT_OBEY": True,
    "LOG_LEVEL": "WARNING",
}
# Crawls one after the other, as lines of standard input ask for: starting Python and Scrapy takes a second.
PROGRAM = """
import asyncio, importlib, json, logging, sys
from scrapy.crawler import AsyncCrawlerRunner
from scrapy.utils.defer import deferred_from_coro
from scrapy.utils.reactor import install_reactor

class Lines(logging.Handler):
    def emit(self, record):
        lines.append(self.format(record))

async def crawl(path, module, arguments, settings):
    lines.clear()
    sys.path.insert(0, path)
    try:
        known = vars(importlib.import_module(module)).values()
        (spider,) = [one for one in known if isinstance(one, type) and one.__module__ == module and hasattr(one, "from_crawler")]
        crawler = AsyncCrawlerRunner(settings).create_crawler(spider)
        await crawler.crawl_async(**arguments)
        return crawler.stats.get_stats()
    finally:
        sys.path.remove(path)

async def main():
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            stats, error = await crawl(*json.loads(line)), ""
        except Exception as raised:
            stats, error = {}, f"{type(raised).__name__}: {raised}"
        print(json.dumps([stats, error, lines], default=str), flush=True)

lines = []
logging.getLogger().addHandler(Lines(logging.WARNING))
install_reactor("twisted.internet.asyncioreactor.AsyncioSelectorReactor")
from twisted.internet.task import react
react(lambda _: deferred_from_coro(main()))
"""


@dataclass(frozen=True)
class Crawled:
    items: list[dict[str, Any]]
    stats: dict[str, Any]
    log: str


@pytest.fixture(scope="session")
def crawler_process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=pipe, stdout=pipe, text=True, encoding="utf-8"
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def crawl(tmp_path: Path, crawler_process: subprocess.Popen[str]) -> Callable[..., Crawled]:
    """``crawl("spiders.site", url=...)`` returns what was scraped, the stats, and the log from WARNING on.

    ``path``: folder to import the module from, beside the project's. An error at the start is raised as AssertionError.
    """

    def run(
        module: str, *, path: Path = PROJECT, settings: dict[str, Any] | None = None, **arguments: str
    ) -> Crawled:
        feed = tmp_path / "items.jsonl"
        feed.unlink(missing_ok=True)
        every = {**SETTINGS, "FEEDS": {str(feed): {"format": "jsonlines"}}, **(settings or {})}
        assert crawler_process.stdin is not None
        assert crawler_process.stdout is not None
        print(json.dumps([str(path), module, arguments, every]), file=crawler_process.stdin, flush=True)
        stats, error, log = json.loads(crawler_process.stdout.readline())
        assert not error, error
        items = [json.loads(line) for line in feed.read_text("utf-8").splitlines()] if feed.exists() else []
        return Crawled(items, stats, "\n".join(log))

    return run


@dataclass
class Web:
    """A web server on loopback. ``routes``: path to (status, headers, body); ``asked``: the paths in order."""

    url: str
    asked: list[str]
    routes: dict[str, tuple[int, dict[str, str], bytes]]

    def page(self, path: str, *links: str, head: str = "", **headers: str) -> None:
        anchors = "".join(f"<a href='{link}'>to {link}</a>" for link in links)
        html = f"<html><head><title>{path}</title>{head}</head><body>{anchors}</body></html>"
        kind = {"Content-Type": "text/html; charset=utf-8"}
        self.routes[path] = (200, kind | {k.replace("_", "-"): v for k, v in headers.items()}, html.encode())


@contextmanager
def serve(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web("", [], {})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            status, headers, body = made.routes.get(self.path, (404, {}, b"no such page"))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with serve(Handler) as url:
        made.url = url
        yield made


@pytest.fixture
def files() -> Callable[[Path], Any]:
    """``with files(folder) as web``: the folder's files on a web server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    @contextmanager
    def served(folder: Path) -> Iterator[Web]:
        with serve(partial(Quiet, directory=str(folder))) as url:
            yield Web(url, [], {})

    return served
