from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        page = f"<html><a href=x>{self.path}</a>{'x' * self.server.page_bytes}</html>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def site() -> Iterator[ThreadingHTTPServer]:
    """A site on loopback; every page has ``page_bytes`` bytes and more."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.page_bytes = 1000
        server.daemon_threads = True
        server.handle_error = lambda *args: None
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@dataclass
class Crawl:
    """A crawl in a process of its own, with its folders."""

    process: subprocess.Popen[str]
    run_dir: Path
    out_dir: Path

    def end(self) -> dict[str, Any]:
        """Wait for it; return its stats."""
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        stats: dict[str, Any] = json.loads(out.splitlines()[-1])
        return {**stats, "stderr": err}

    def rows(self) -> list[dict[str, Any]]:
        """What its sink (jsonl) holds."""
        lines = (path.read_bytes().splitlines() for path in self.out_dir.glob("*.jsonl"))
        return [json.loads(line) for some in lines for line in some]


@pytest.fixture
def crawl(site: ThreadingHTTPServer, tmp_path: Path) -> Iterator[Callable[..., Crawl]]:
    """``crawl(kind, pages=, items=, page_bytes=, **settings)`` starts tests/batches/crawl.py."""
    started: list[subprocess.Popen[str]] = []

    def start(
        kind: str, *, pages: int = 0, items: int = 1, page_bytes: int = 1000, **settings: object
    ) -> Crawl:
        site.page_bytes = page_bytes
        run_dir, out_dir = tmp_path / "run", tmp_path / "out"
        folders = {"RUN_DIR": str(run_dir), "OUT_DIR": str(out_dir)}
        address = f"http://127.0.0.1:{site.server_port}"
        order = {
            "kind": kind,
            "site": address,
            "pages": pages,
            "items": items,
            "accepted": str(tmp_path / "accepted"),
            "settings": {**folders, **settings},
        }
        process = subprocess.Popen(
            [sys.executable, "tests/batches/crawl.py", json.dumps(order)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "error"},
        )
        started.append(process)
        return Crawl(process, run_dir, Path(str({**folders, **settings}["OUT_DIR"])))

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
