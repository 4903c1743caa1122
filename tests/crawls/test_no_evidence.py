"""Answers that say nothing about an exit change no belief about it; and a spider gets the statuses that it asks for."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from scraper.bans.forbidden import FEW, TRIES
from tests.crawls import gateway_for_tests
from tests.crawls.gateway_for_tests import Gateway

SPIDERS = {"PYTHONPATH": str(Path(__file__).parent)}
WALL = (
    b"<!doctype html><html><head><title>Just a moment...</title></head>"
    b"<body><script>window._cf_chl_opt={cType:'managed'};</script></body></html>"
)


class Site(BaseHTTPRequestHandler):
    """``/403/0`` is answered with a 403 and a plain page, ``/403/wall`` with a vendor's challenge; ``/once/503``: once."""

    asked: Counter[str]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        word, status, _ = f"{self.path}//".lstrip("/").split("/", 2)
        if word == "robots.txt":
            return self.answer(404, b"none")
        if word == "once":
            return self.answer(int(status) if self.asked[self.path] == 1 else 200)
        return self.answer(int(word), WALL if status == "wall" else b"")

    def answer(self, status: int, page: bytes = b"") -> None:
        page = page or b"<!doctype html><html><body><h1>%d</h1><p>some words</p></body></html>" % status
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if status not in (204, 304):
            self.wfile.write(page)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[tuple[str, Counter[str]]]:
    handler = type("Handler", (Site,), {"asked": Counter()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler.asked
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[list[str]]:
    """Options of a crawl through a gateway, which keeps what it learns in ``tmp_path/state``."""
    with Gateway("home", folder=str(tmp_path)).running() as gateway:
        given = gateway_for_tests.options(tmp_path, gateway.pool())
        yield [
            *given, "-s", f"PROXY_STATE_FILE={tmp_path}/state", "-s", "SPIDER_MODULES=spiders_of_blocks",
            "-s", "BAN_RATE_LIMIT_WAIT_S=0.01", "-s", "PROXY_PACE_MAX_S=0.1",
        ]  # fmt: skip


def beliefs(folder: Path) -> list[tuple[Any, ...]]:
    """What is believed of each pool and place at each site."""
    with closing(sqlite3.connect(folder / "state")) as database:
        query = (
            "SELECT kind, site, name, good, bad, page_bytes, block_bytes FROM beliefs WHERE kind != 'reach'"
        )
        return sorted(database.execute(query))


def test_404_410_304_and_204_change_no_belief(
    crawl: Callable[..., Any], site: tuple[str, Counter[str]], proxied: list[str], tmp_path: Path
) -> None:
    url, asked = site

    def ask(*paths: str) -> Any:
        urls = ",".join(url + path for path in paths)
        return crawl("wants", "-a", f"urls={urls}", *proxied, env=SPIDERS).wait()

    ask("/200/1", "/200/2", "/200/3")
    before = beliefs(tmp_path)
    assert [(row[0], row[2], round(row[3]), row[4]) for row in before] == [("pool", "home", 3, 0)]
    statuses = ("404", "410", "304", "204")
    run = ask(*(f"/{status}/{n}" for status in statuses for n in range(3)))
    assert run.report["verdicts"]["gone"] == 6, run.out + run.err[-2000:]
    assert {
        path: n for path, n in asked.items() if path[1:4] in statuses and n != 1
    } == {}  # each asked for once
    assert beliefs(tmp_path) == before

    ask("/403/wall")  # what would have shown it
    (row,) = beliefs(tmp_path)
    assert row[4] > 1


def test_pages_that_are_refused_to_everybody_accuse_no_exit_and_soon_cost_two_tries(
    crawl: Callable[..., Any], site: tuple[str, Counter[str]], proxied: list[str], tmp_path: Path
) -> None:
    url, asked = site
    paths = [f"/{status}/{n}" for n in range(FEW + 4) for status in (403, 200)]
    urls = ",".join(url + path for path in paths)
    run = crawl("wants", "-a", f"urls={urls}", *proxied, "-s", "CONCURRENT_REQUESTS=1", env=SPIDERS).wait()
    assert {row["path"] for row in run.rows()} == {path for path in paths if "/200/" in path}
    tries = sorted(n for path, n in asked.items() if path.startswith("/403/"))
    assert tries == [TRIES] * 4 + [6] * FEW
    assert run.report["given_up"] == {"status_403": FEW + 4}
    ((_, _, _, good, bad, *_),) = beliefs(tmp_path)
    assert (round(good), bad) == (FEW + 4, 0)


@pytest.mark.parametrize("how", [("statuses=403,404,429,503",), ("all=1",)], ids=["list", "all"])
def test_a_spider_gets_the_statuses_that_it_asks_for_and_no_wall_among_them(
    crawl: Callable[..., Any],
    site: tuple[str, Counter[str]],
    proxied: list[str],
    tmp_path: Path,
    how: tuple[str, ...],
) -> None:
    """A refusal or an absence is the answer; a busy or broken site is asked again first; a wall is never an answer."""
    url, asked = site
    paths = ("/403/0", "/404/0", "/429/0", "/503/0", "/once/503", "/403/wall", "/200/wall")
    arguments = [
        word for text in (*how, f"urls={','.join(url + path for path in paths)}") for word in ("-a", text)
    ]
    run = crawl("wants", *arguments, *proxied, "-s", "BAN_MAX_ATTEMPTS=4", env=SPIDERS).wait()
    got = {row["path"]: (row["status"], row["attempt"]) for row in run.rows()}
    assert got == {
        "/403/0": (403, 1),
        "/404/0": (404, 1),
        "/429/0": (429, 4),
        "/503/0": (503, 3),  # as often as a broken site is asked at all
        "/once/503": (200, 2),
    }, run.out + run.err[-2000:]
    assert asked["/403/wall"] == asked["/200/wall"] == 4
    assert set(run.report["given_up"]) == {"cloudflare_challenge_page"}


def test_a_page_that_may_not_be_tried_again_is_handed_on_unless_it_is_a_wall(
    crawl: Callable[..., Any], site: tuple[str, Counter[str]], proxied: list[str]
) -> None:
    url, asked = site
    urls = ",".join(url + path for path in ("/403/0", "/503/0", "/200/0", "/200/wall", "/403/wall"))
    arguments = ["-a", f"urls={urls}", "-a", "dont_retry=1", "-a", "statuses=403,503"]
    run = crawl("wants", *arguments, *proxied, env=SPIDERS).wait()
    assert {row["path"] for row in run.rows()} == {"/403/0", "/503/0", "/200/0"}, run.err[-2000:]
    assert max(asked.values()) == 1
    assert sum(run.report["given_up"].values()) == 2
