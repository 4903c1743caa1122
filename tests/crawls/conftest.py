"""Whole crawls as a user starts them: ``scrapy crawl ...`` in a process of its own, its data in a folder of the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow.dataset
import pytest

from tests.crawls.gateway_for_tests import Site, site

ROOT = Path(__file__).parents[2]


@dataclass
class Crawl:
    """A crawl that runs or has run; its data lie in ``folder``."""

    process: subprocess.Popen[str]
    folder: Path
    out: str = ""
    err: str = ""

    def wait(self, timeout_s: float = 100.0) -> Crawl:
        try:
            self.out, self.err = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.out, self.err = self.process.communicate()
            pytest.fail(f"the crawl did not end in {timeout_s} s:\n{self.err[-3000:]}")
        assert "Deprecat" not in self.err, self.err
        return self

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @property
    def exit_code(self) -> int:
        return self.process.returncode

    @property
    def run_dir(self) -> Path:
        (found,) = (self.folder / "runs").iterdir()
        return found

    @property
    def report(self) -> dict[str, Any]:
        return json.loads((self.run_dir / "report.json").read_text(encoding="utf-8"))

    @property
    def outcome(self) -> str:
        return json.loads((self.run_dir / "run.json").read_text(encoding="utf-8"))["outcome"]

    def rows(self) -> list[dict[str, Any]]:
        """All stored records."""
        out = self.folder / "out"
        folders = [path for path in out.iterdir() if path.is_dir()] if out.exists() else []
        if not folders or not list(folders[0].glob("*.parquet")):
            return []
        return pyarrow.dataset.dataset(str(folders[0])).to_table().to_pylist()


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[Callable[..., Crawl]]:
    """``crawl("site", "-a", "url=...")`` starts a crawl; ``.wait()`` for its end."""
    started: list[Crawl] = []

    def start(*arguments: str, env: dict[str, str] | None = None, folder: Path | None = None) -> Crawl:
        data = folder or tmp_path / f"data{len(started)}"
        command = [sys.executable, "-m", "scrapy", "crawl", *arguments, "-s", f"DATA_DIR={data}"]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(Crawl(process, data))
        return started[-1]

    yield start
    for run in started:
        if run.process.poll() is None:
            run.process.kill()
            run.process.communicate()


@dataclass
class Target:
    """A site on loopback that remembers who asked for what."""

    url: str
    asked: list[tuple[str, str]] = field(default_factory=list)  # address, path
    times_s: list[float] = field(default_factory=list)  # of each of them
    robots: str = ""  # robots.txt; none where empty
    refused: str = ""  # Host whose pages, but its listing, are answered with 403
    etag: str = ""  # of every page; asked with it again, the answer is 304
    busy: dict[str, int] = field(default_factory=dict)  # path -> Retry-After, answered once with 429


@pytest.fixture
def target() -> Iterator[Target]:
    """A listing at ``/`` with links to ``/p/0`` ... ``/p/29``; every answer takes 20 ms."""
    found = Target("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.asked.append((self.client_address[0], self.path))
            found.times_s.append(time.monotonic())
            time.sleep(0.02)
            if self.path == "/robots.txt" and not found.robots:
                self.send_error(404)
                return
            if (
                found.refused
                and self.headers["Host"].startswith(found.refused)
                and self.path.startswith("/p/")
            ):
                self.send_response(403)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if (wait_s := found.busy.pop(self.path, None)) is not None:
                self.send_response(429)
                self.send_header("Retry-After", str(wait_s))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if found.etag and self.headers["If-None-Match"] == found.etag:
                self.send_response(304)
                self.send_header("ETag", found.etag)
                self.end_headers()
                return
            links = "".join(f"<a href='/p/{n}'>{n}</a>" for n in range(30)) if self.path == "/" else ""
            page = found.robots if self.path == "/robots.txt" else ""
            page = (
                page
                or f"<html lang=en><title>Page {self.path}</title><p>Some text of page {self.path}.</p>{links}</html>"
            )
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            if found.etag:
                self.send_header("ETag", found.etag)
                self.send_header("Cache-Control", "max-age=0")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def direct(tmp_path: Path) -> list[str]:
    """Options of a crawl of loopback without proxies, at full speed."""
    path = tmp_path / "direct.toml"
    path.write_text('[pools.direct]\nkind = "direct"\n')
    return ["-s", f"PROXIES_FILE={path}", "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", "DOWNLOAD_DELAY=0"]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Site]:
    """A site over http and https that remembers each visit with the address that it came from."""
    with site(tmp_path) as running:
        yield running
