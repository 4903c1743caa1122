"""A site whose answers are wrong in every way: what can be had is stored, the rest is listed, nothing vanishes."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

PAGE = b"<!doctype html><html><body><h1>%s</h1>" + b"<p>words</p>" * 50 + b"</body></html>"
LINKS = (
    "good", "cut-gzip", "cut-close", "wrong-gzip", "bomb", "bad-location", "latin-header", "rot13", "moved", "blocked-once", "gone",
    "captcha-solving-guide", "poison-once", "empty-once",
)  # fmt: skip


class Site(BaseHTTPRequestHandler):
    """What is wrong with a path is wrong the first time it is asked for; the second time the page is whole."""

    asked: Counter[str]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.strip("/")
        self.asked[path] += 1
        first = self.asked[path] == 1
        page = PAGE % (path.encode() or b"home")
        packed = gzip.compress(page)
        match path, first:
            case "", _:
                self.answer(
                    b"<html><body>%s</body></html>"
                    % b"".join(b"<a href=/%s>x</a>" % x.encode() for x in LINKS)
                )
            case "robots.txt", _:
                self.answer(b"no robots for you", 403)
            case "cut-gzip", True:
                self.answer(packed[:-30], 200, {"Content-Encoding": "gzip"})
            case "wrong-gzip", True:
                self.answer(page, 200, {"Content-Encoding": "gzip"})
            case "bomb", _:
                self.answer(gzip.compress(b"0" * 8_000_000), 200, {"Content-Encoding": "gzip"})
            case "cut-close", _:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(page[:200] if first else page)
                self.close_connection = True
            case "bad-location", _:
                self.answer(b"", 302, {"Location": "http://[::1"})
            case "latin-header", _:
                self.answer(page, 200, {"X-Name": "caf\u00e9"})
            case "rot13", _:
                self.answer(page, 200, {"Content-Type": "text/html; charset=rot13"})
            case "start", _:
                self.answer(b"", 302, {"Location": "/"})
            case "moved", _:
                self.answer(b"", 302, {"Location": "/new-place"})
            case "blocked-once", True:
                self.answer(b"go away", 403)
            case "poison-once", True:
                self.answer(page.replace(b"h1>", b"h2>"))
            case "empty-once", True:
                self.answer(b"")
            case "gone", _:
                self.answer(b"gone", 410)
            case _:
                self.answer(page)

    def answer(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/html; charset=utf-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[tuple[str, Counter[str]]]:
    handler = type("Handler", (Site,), {"asked": Counter()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", handler.asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_every_page_ends_stored_or_listed(
    crawl: Callable[..., Any], site: tuple[str, Counter[str]], direct: list[str]
) -> None:
    url, asked = (
        site  # the listing is reached by a redirect, whose traces its children copy and must not keep
    )
    run = crawl(
        "copies", "-a", f"url={url}start", *direct, "-s", "SPIDER_MODULES=spiders_for_tests", "-s", "BAN_FAULT_WAIT_S=0.05",
        "-s", "DOWNLOAD_MAXSIZE=2000000", env={"PYTHONPATH": str(Path(__file__).parent)},
    ).wait()  # fmt: skip
    lost = {"bomb", "bad-location", "gone"}
    stored = {row["link"].strip("/"): row for row in run.rows()}
    assert set(stored) == set(LINKS) - lost, run.err[-3000:]
    assert all(row["h1"] == row["path"].strip("/") for row in stored.values())
    assert stored["moved"]["path"] == "/new-place"
    listed = [
        json.loads(line) for line in (run.run_dir / "failed.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert {page["url"].rpartition("/")[2]: page["rule"] for page in listed} == {
        "bomb": "too_large",
        "bad-location": "bad_location",
    }
    report = run.report
    assert report["blocks"] == {"contract_parse_page_css": 1, "empty_page": 1, "status_403": 1}
    assert report["faults"] == {"bad_location": 3, "body_cut": 2, "body_undecodable": 1, "too_large": 1}
    assert report["verdicts"]["gone"] == 1
    assert {path: asked[path] for path in ("good", "blocked-once", "bomb", "gone", "robots.txt")} == {
        "good": 1,
        "blocked-once": 2,
        "bomb": 1,
        "gone": 1,
        "robots.txt": 2,  # a bare 403 is asked about once more
    }


def test_a_site_where_nothing_passes_is_given_up_and_the_others_go_on(
    crawl: Callable[..., Any], site: tuple[str, Counter[str]], target: Any, direct: list[str]
) -> None:
    """127.0.0.1 is the open one; localhost answers every page but its listing with 403."""
    blocked = target.url.replace("127.0.0.1", "localhost")
    target.refused = "localhost"
    run = crawl(
        "site", "-a", f"urls={blocked},{target.url}", *direct, "-s", "CONCURRENT_REQUESTS_PER_DOMAIN=1",
        "-s", "BAN_SITE_PAUSE_AFTER=1", "-s", "BAN_SITE_PAUSES_S=", "-s", "BAN_MAX_ATTEMPTS=2",
    ).wait()  # fmt: skip
    assert (run.exit_code, run.outcome) == (11, "failed_blocked"), run.out
    assert run.report["given_up"] == {"site_given_up": 27, "status_403": 3}
    assert len(run.rows()) == 32
