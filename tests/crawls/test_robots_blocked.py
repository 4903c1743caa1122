"""A robots.txt that cannot be had is neither obeyed nor taken for leave: asked again, then the site is left alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crawls.gateway_for_tests import Asked, Gateway, options

PAGE = b"<html lang=en><title>Page</title><p>Words of a page of this shop.</p></html>"
CHALLENGE = b"<html><title>Just a moment...</title><script>window._cf_chl_opt={};</script></html>"
RULES = b"User-agent: *\nDisallow: /p/1\n"
SHELL = b"<!doctype html><html><title>Shop</title><div id=root></div><script src=/app.js></script></html>"


def http(status: str, body: bytes, *headers: bytes, kind: bytes = b"text/html") -> bytes:
    lines = [
        b"HTTP/1.1 " + status.encode(),
        b"Content-Type: " + kind,
        b"Content-Length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


WALLS = {
    "header": http("403 Forbidden", CHALLENGE, b"cf-mitigated: challenge", b"Server: cloudflare"),
    "body_403": http("403 Forbidden", CHALLENGE, b"Server: cloudflare"),
    "body_200": http("200 OK", CHALLENGE, b"Server: cloudflare"),
}


class Web:
    """Every site behind a gateway: ``robots`` are its answers, one after the other, the last for ever."""

    def __init__(self, folder: Path, *robots: bytes) -> None:
        self.robots = list(robots)
        self.gateway = Gateway("home", self.answer, folder=str(folder))
        self.options = ["-s", "PROXY_STATE_FILE=none", "-a", "max_depth=0"]

    def answer(self, asked: Asked) -> bytes:
        if not asked.target.endswith("/robots.txt"):
            return http("200 OK", PAGE)
        return self.robots.pop(0) if len(self.robots) > 1 else self.robots[0]

    def crawl(self, crawl: Callable[..., Any], folder: Path, *more: str) -> Any:
        urls = ",".join(f"http://shop.example/p/{n}" for n in range(4))
        with self.gateway.running():
            made = options(folder, self.gateway.pool())
            return crawl("site", "-a", f"urls={urls}", *made, *self.options, *more).wait()

    def asked(self) -> Counter[str]:
        return Counter(asked.target.rpartition("/")[2] for asked in self.gateway.asked)


def failed(run: Any) -> Counter[tuple[str, str]]:
    lines = (run.run_dir / "failed.jsonl").read_text().splitlines()
    return Counter((page["rule"], page["outcome"]) for page in map(json.loads, lines))


@pytest.mark.parametrize("form", WALLS)
def test_a_wall_in_its_place_forbids_the_site_and_the_run_says_so(
    crawl: Callable[..., Any], tmp_path: Path, form: str
) -> None:
    web = Web(tmp_path, WALLS[form])
    run = web.crawl(crawl, tmp_path, "-s", "BAN_MAX_ATTEMPTS=4")
    assert web.asked() == {"robots.txt": 4}, "no page was asked for"
    assert len({asked.user for asked in web.gateway.asked}) == 4, "each try came from another exit"
    assert failed(run) == {("robots_blocked", "blocked"): 4}
    assert (run.outcome, run.exit_code) == ("failed_blocked", 11)
    assert "[robots_blocked]" in " ".join(run.out.split())
    assert run.report["stats"]["robots/blocked"] == 4
    assert run.report["blocks"] == {}, "no page met one"
    assert sum(run.report["robots"]["bans"].values()) == 4
    assert "  robots    cloudflare_" in run.out
    assert "-s ROBOTSTXT_OBEY=0" in run.report["verdict"]["next_step"]
    (page, *_) = map(json.loads, (run.run_dir / "failed.jsonl").read_text().splitlines())
    assert page["attempts"] == 0
    assert f"given up, never asked: {page['url']} (robots_blocked: robots.txt: cloudflare_" in run.err
    assert "robots.txt of shop.example could not be had" in run.err


def test_another_exit_that_gets_it_is_believed(crawl: Callable[..., Any], tmp_path: Path) -> None:
    web = Web(tmp_path, WALLS["body_200"], http("200 OK", RULES, kind=b"text/plain"))
    run = web.crawl(crawl, tmp_path)
    assert web.asked() == {"robots.txt": 2, "0": 1, "2": 1, "3": 1}
    assert len(run.rows()) == 3
    assert run.outcome == "succeeded", run.out


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([http("403 Forbidden", b"no")], 2),
        ([http("401 Unauthorized", b"no")], 2),
        ([http("404 Not Found", b"User-agent: *\nDisallow: /\n", kind=b"text/plain")], 1),
        ([http("200 OK", b"", kind=b"text/plain")], 1),
        ([http("200 OK", SHELL)], 1),
    ],
    ids=["403", "401", "404", "empty", "shell"],
)
def test_what_is_not_there_or_holds_no_rules_forbids_nothing(
    crawl: Callable[..., Any], tmp_path: Path, answers: list[bytes], asked: int
) -> None:
    web = Web(tmp_path, *answers)
    run = web.crawl(crawl, tmp_path)
    assert web.asked() == {"robots.txt": asked, "0": 1, "1": 1, "2": 1, "3": 1}
    assert (run.outcome, len(run.rows())) == ("succeeded", 4), run.out


def test_a_403_that_one_exit_got_alone_is_not_leave(crawl: Callable[..., Any], tmp_path: Path) -> None:
    web = Web(tmp_path, http("403 Forbidden", b"no"), http("200 OK", RULES, kind=b"text/plain"))
    run = web.crawl(crawl, tmp_path)
    assert web.asked() == {"robots.txt": 2, "0": 1, "2": 1, "3": 1}
    assert len({asked.user for asked in web.gateway.asked[:2]}) == 2
    assert run.outcome == "succeeded", run.out


def test_5xx_that_does_not_go_away_forbids_the_site(crawl: Callable[..., Any], tmp_path: Path) -> None:
    web = Web(tmp_path, http("503 Service Unavailable", b"later"))
    run = web.crawl(crawl, tmp_path)
    assert web.asked() == {"robots.txt": 3}
    assert failed(run) == {("robots_unreachable", "site_error"): 4}
    assert (run.outcome, run.exit_code) == ("failed_error", 14)
    assert "[robots_unreachable]" in " ".join(run.out.split())


def test_5xx_that_goes_away_does_not(crawl: Callable[..., Any], tmp_path: Path) -> None:
    web = Web(tmp_path, http("503 Service Unavailable", b"later"), http("200 OK", RULES, kind=b"text/plain"))
    assert len(web.crawl(crawl, tmp_path).rows()) == 3
