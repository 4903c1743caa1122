"""A site where nothing passes any more is left alone and tried again: its pages are not burnt, and the run says so."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Thread
from typing import Any

import pytest

N_PAGES = 40
ALWAYS = ["-a", "max_depth=0", "-s", "BAN_SITE_PAUSE_AFTER=1", "-s", "BAN_MAX_ATTEMPTS=2"]
LOST = 3  # pages: a bare 403 counts a third
IN_FLIGHT = 4


class Moody:
    """Serves ``good`` pages of 127.0.0.1, then refuses its pages for ``sulks_s`` seconds, and is as before."""

    def __init__(self, good: int, sulks_s: float) -> None:
        self.good = good
        self.sulks_s = sulks_s
        self.since_s: float | None = None  # of the first refusal
        self.asked: list[tuple[float, str, int]] = []  # when, host and path, status

    def status(self, now_s: float) -> int:
        if self.since_s is None and len(self.times_s("127.0.0.1")) >= self.good:
            self.since_s = now_s
        return 403 if self.since_s is not None and now_s < self.since_s + self.sulks_s else 200

    def times_s(self, host: str) -> list[float]:
        return [at_s for at_s, page, _ in self.asked if page.startswith(host)]


@pytest.fixture
def serve() -> Iterator[Callable[[Moody], str]]:
    servers = []

    def start(moody: Moody) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, now_s = 404, time.monotonic()
                if self.path != "/robots.txt":
                    host = self.headers["Host"].partition(":")[0]
                    status = 200 if host == "localhost" else moody.status(now_s)
                    moody.asked.append((now_s, host + self.path, status))
                body = b"<html lang=en><title>Page</title><p>Some words of a page.</p></html>"
                self.send_response(status)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def pages(url: str) -> str:
    return "urls=" + ",".join(f"{url}p/{n}" for n in range(N_PAGES))


def failed(run: Any) -> list[dict[str, Any]]:
    lines = (run.run_dir / "failed.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def listed(run: Any) -> Counter[str]:
    return Counter(page["rule"] for page in failed(run))


def test_a_site_that_refuses_for_a_while_is_waited_for(
    crawl: Callable[..., Any], serve: Callable[[Moody], str], direct: list[str]
) -> None:
    moody = Moody(good=10, sulks_s=3.0)
    url = serve(moody)
    run = crawl("site", "-a", pages(url), *direct, *ALWAYS, "-s", "BAN_SITE_PAUSES_S=4").wait()
    lost = listed(run)["status_403"]
    assert LOST <= lost <= LOST + IN_FLIGHT, run.out
    assert len(run.rows()) == N_PAGES - lost, "all others were stored"
    tries = Counter(page for _, page, _ in moody.asked)
    assert max(tries.values()) <= 2
    refused = Counter(status for _, _, status in moody.asked)[403]
    assert refused <= 2 * (LOST + IN_FLIGHT), "nobody asked during the pause"
    times_s = moody.times_s("127.0.0.1")
    assert 3.5 < max(later - earlier for earlier, later in pairwise(times_s)) < 8
    (of_site,) = run.report["sites"]
    assert of_site["pauses"] == 1
    assert 3.5 < of_site["paused_s"] < 8
    assert "paused    127.0.0.1  1 time, 4" in run.out
    assert "nothing passes at 127.0.0.1 any more (status_403): it is left alone for 4 s" in run.err
    assert "the pause of 127.0.0.1 is over: one page is tried" in run.err
    assert "pages of 127.0.0.1 pass again" in run.err


def test_a_site_that_never_opens_again_is_given_up_while_others_go_on(
    crawl: Callable[..., Any], serve: Callable[[Moody], str], direct: list[str]
) -> None:
    """Both names lead to the same server, which only sulks at 127.0.0.1."""
    moody = Moody(good=10, sulks_s=999.0)
    url = serve(moody)
    other = url.replace("127.0.0.1", "localhost")
    run = crawl(
        "site", "-a", pages(url) + "," + pages(other).removeprefix("urls="), *direct, *ALWAYS,
        "-s", "BAN_SITE_PAUSES_S=1,2", "-s", "DOWNLOAD_DELAY=0.05",
    ).wait()  # fmt: skip
    assert len([row for row in run.rows() if row["url"].startswith(other)]) == N_PAGES
    assert len(run.rows()) == N_PAGES + 10
    rules = listed(run)
    assert sum(rules.values()) == N_PAGES - 10
    assert rules["site_given_up"] >= N_PAGES - 10 - LOST - IN_FLIGHT - 2, rules
    refused = Counter(status for _, _, status in moody.asked)[403]
    assert refused <= 2 * (LOST + IN_FLIGHT) + 2 * 2, "two probes of two tries each"
    (of_site,) = (site for site in run.report["sites"] if site["pauses"])
    assert (of_site["site"], of_site["pauses"]) == ("127.0.0.1", 2)
    assert "127.0.0.1 is given up, 2 pauses were in vain (status_403)" in run.err
    unasked = [page for page in failed(run) if page["rule"] == "site_given_up"]
    assert {page["evidence"] for page in unasked} == {"status_403 at 127.0.0.1"}
    assert {page["attempts"] for page in unasked} <= {0, 1}, "some had been tried once before the pause"
    assert unasked[-1]["attempts"] == 0
    assert run.exit_code == 11, run.out


def test_a_pause_does_not_outlast_the_time_that_the_run_has(
    crawl: Callable[..., Any], serve: Callable[[Moody], str], direct: list[str]
) -> None:
    moody = Moody(good=10, sulks_s=999.0)
    url = serve(moody)
    began_s = time.monotonic()
    run = crawl(
        "site", "-a", pages(url), *direct, *ALWAYS, "-s", "BAN_SITE_PAUSES_S=600", "-s", "CLOSESPIDER_TIMEOUT=5"
    ).wait()  # fmt: skip
    assert time.monotonic() - began_s < 30
    assert run.outcome == "timed_out", run.out
    assert listed(run)["not_asked"] == N_PAGES - 10 - listed(run)["status_403"], "the others can be fed back"
    assert 1 < run.report["sites"][0]["paused_s"] < 10
