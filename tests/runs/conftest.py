"""A small project of its own, a small site, and `scrapy crawl` as a whole process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


class _Pages(BaseHTTPRequestHandler):
    release = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.release.wait(20)
        body = b"<html><title>page</title></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    _Pages.release.set()
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Crawl:
    """What one process left behind."""

    code: int
    out: str
    err: str
    cwd: Path
    folder: Path | None  # its run folder

    def _json(self, name: str) -> dict[str, Any]:
        assert self.folder is not None, self.err
        found: dict[str, Any] = json.loads((self.folder / name).read_text())
        return found

    @property
    def record(self) -> dict[str, Any]:
        return self._json("run.json")

    @property
    def report(self) -> dict[str, Any]:
        return self._json("report.json")


@dataclass
class Project:
    folder: Path
    site: str

    def command(self, spider: str, *options: str) -> list[str]:
        return [sys.executable, "-m", "scrapy", "crawl", spider, "-a", f"site={self.site}", *options]

    @property
    def env(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key not in ("RUN_ID", "NO_COLOR", "UV")}
        return {**kept, "PYTHONPATH": f"{self.folder}{os.pathsep}{HERE.parents[1]}", "COLUMNS": "100"}

    def crawl(self, spider: str, *options: str) -> Crawl:
        """Run it to its end; in a folder of its own, so that the run's folder is the only one."""
        done = subprocess.run(
            self.command(spider, *options),
            check=False,
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return self.result(done.returncode, done.stdout, done.stderr)

    def result(self, code: int, out: str, err: str) -> Crawl:
        runs = sorted((self.folder / "data" / "runs").glob("*"))
        return Crawl(code, out, err, self.folder, runs[-1] if runs else None)


def make_project(folder: Path, site: str) -> Project:
    shutil.copytree(
        HERE / "project", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    return Project(folder, site)


@pytest.fixture
def project(tmp_path: Path, site: str) -> Project:
    return make_project(tmp_path, site)


CANARY = "exampleCANARYexample"

# What is run, once each and side by side, before the tests look at what it left behind.
CRAWLS: dict[str, tuple[str, ...]] = {
    "good": ("good", "-o", "pages.jsonl:csv", "-s", "LOG_FILE=crawl.log", "-s", "RUN_ID=nightly-1"),
    "stored": (
        "endless",
        "-s",
        "CLOSESPIDER_ITEMCOUNT=2",
        "-s",
        'ITEM_PIPELINES={"proj.components.Storage": 1}',
    ),
    "raises": ("raises",),
    "start_raises": ("start_raises",),
    "empty": ("empty",),
    "gives_up": ("gives_up",),
    "loses_items": ("good", "-s", 'ITEM_PIPELINES={"proj.components.LosesItems": 1}'),
    "full_disk": ("full_disk", "-a", "pages=1"),
    "timeout": ("endless", "-s", "CLOSESPIDER_TIMEOUT=0.5"),
    "no_item": ("slow", "-s", "CLOSESPIDER_TIMEOUT_NO_ITEM=1", "-s", "DOWNLOAD_TIMEOUT=2"),
    "sigterm": ("endless", "-a", "kill=SIGTERM"),
    "sigint": ("endless", "-a", "kill=SIGINT"),
    "sighup": ("endless", "-a", "kill=SIGHUP"),
    "sigint_twice": ("slow", "-a", "kill=SIGINT,SIGINT"),
    "sigterm_opening": ("good", "-s", 'ITEM_PIPELINES={"proj.components.OpensForEver": 1}'),
    "unknown_spider": ("godo",),
    "wrong_argument": ("wrong_argument", "-a", "max_page=3"),
    "wrong_setting": ("good", "-s", 'DOWNLOADER_MIDDLEWARES={"proj.components.WrongSetting": 1}'),
    "wrong_at_open": ("good", "-s", 'ITEM_PIPELINES={"proj.components.OpensWrong": 1}'),
    "wrong_own_setting": ("good", "-s", "RUN_MIN_ITEMS=many"),
    "wrong_run_id": ("good", "-s", "RUN_ID=../elsewhere"),
    "unwritable": ("good", "-s", "DATA_DIR=scrapy.cfg"),
    "broken_project": ("good", "-s", "SPIDER_MODULES=proj.broken"),
    "no_extension": ("good", "-s", 'EXTENSIONS={"scraper.runs.extension.RunExtension": null}'),
    "two_spiders": ("good", "raises"),
    "crash": ("crash", "-s", "LOG_FILE=crawl.log"),
    "talks": (
        *("talks", "-L", "DEBUG", "-a", f"password={CANARY}", "-a", f"proxy=http://u:{CANARY}@h.example"),
        *("-s", f"PROXY_PASSWORD={CANARY}", "-s", f"STORE_ADDRESS=ftp://u:{CANARY}@h.example/x"),
    ),
}


@pytest.fixture(scope="session")
def crawls(site: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Crawl]:
    folder = tmp_path_factory.mktemp("crawls")

    def run(name: str) -> Crawl:
        return make_project(folder / name, site).crawl(*CRAWLS[name])

    with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:
        return dict(zip(CRAWLS, pool.map(run, CRAWLS), strict=True))
