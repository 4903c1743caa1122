"""Samples of what was refused, and ``scrapy bans`` as it is typed: on a sample, a page, and an address through the pools."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from scraper.bans.samples import from_bytes
from scraper.lab import process as lab_process

ROOT = Path(__file__).parents[2]
CANARY = "canary-5c1d"  # a cookie's value that may be seen nowhere
WALL = b"<html><head><title>Just a moment...</title></head><body>Checking that you are no robot</body></html>"
PAGE = b"<html><title>A page</title><p>Some words.</p></html>"


class Site(BaseHTTPRequestHandler):
    """Refuses the first three requests to its page, the first with a body that is too long to be fetched; forbids all to who
    asks for its robots.txt once more."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        n = self.asked.count("/")
        if self.path == "/robots.txt" and self.asked.count("/robots.txt") > 1:
            self.answer(200, b"User-agent: *\nDisallow: /", {"Content-Type": "text/plain"})
        elif self.path != "/":
            self.answer(404, b"", {})
        elif n == 1:
            body = WALL + b"<!-- " + b"x" * 100_000 + b" -->"
            self.answer(403, body, {"CF-Mitigated": "challenge", "Set-Cookie": f"__cf_bm={CANARY}; path=/"})
        elif n == 2:
            packed = gzip.compress(WALL)
            self.answer(403, packed, {"CF-Mitigated": "challenge", "Content-Encoding": "gzip"})
        elif n == 3:
            self.answer(429, b"slower", {"Retry-After": "0"})
        else:
            self.answer(200, PAGE, {})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/html", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Site,), {"asked": []}))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


def bans(*words: str | Path) -> Any:
    command = [sys.executable, "-m", "scrapy", "bans", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_run_keeps_one_sample_of_each_rule_that_explain_reads(
    crawl: Callable[..., Any], site: str, direct: list[str]
) -> None:
    run = crawl("site", "-a", f"url={site}", *direct).wait()
    assert len(run.rows()) == 1, run.err[-3000:]
    folder = run.run_dir / "blocks"
    assert sorted(path.name for path in folder.iterdir()) == ["cloudflare_challenge.txt", "status_429.txt"]
    sample = from_bytes((folder / "cloudflare_challenge.txt").read_bytes())
    assert sample.body == WALL, "the later one, which has a body, decompressed"
    assert (sample.url, sample.status) == (site, 403)
    assert sample.notes["pool"] == "direct"
    assert sample.notes["verdict"] == "blocked"
    assert ("Cf-Mitigated", "challenge") in sample.headers
    found = bans("explain", folder / "cloudflare_challenge.txt")
    assert found.returncode == 3, found.stderr
    assert "blocked: cloudflare_challenge (cloudflare, challenge)" in found.stdout
    assert "header: cf-mitigated: challenge" in found.stdout
    limited = bans("explain", folder / "status_429.txt")
    assert (limited.returncode, limited.stdout.splitlines()[1]) == (3, "rate_limited: status_429 (rate)")


@pytest.mark.parametrize("settings", [["-s", "BAN_MAX_ATTEMPTS=1"], ["-s", "BAN_SAMPLES=0"]])
def test_a_body_that_was_not_fetched_is_said_and_samples_can_be_switched_off(
    crawl: Callable[..., Any], site: str, direct: list[str], settings: list[str]
) -> None:
    run = crawl("site", "-a", f"url={site}", *direct, *settings).wait()
    path = run.run_dir / "blocks" / "cloudflare_challenge.txt"
    if settings[1] == "BAN_SAMPLES=0":
        assert not path.parent.exists()
        return
    sample = from_bytes(path.read_bytes())
    assert (sample.body, sample.notes["body"]) == (b"", "not fetched: status and headers decided")
    assert ("Set-Cookie", "__cf_bm=***; path=/") in sample.headers
    assert bans("explain", path).returncode == 3
    assert CANARY not in path.read_text()


def test_an_address_that_robots_txt_forbids_is_not_asked_for(site: str, direct: list[str]) -> None:
    assert bans("explain", site, *direct).returncode == 3
    forbidden = bans("explain", site, *direct)
    assert forbidden.returncode == 1
    assert "robots.txt of the site forbids it" in forbidden.stderr


def test_a_folder_that_cannot_be_written_is_told_once_and_stops_nothing(
    crawl: Callable[..., Any], site: str, direct: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "blocks").write_text("a file where the folder has to be")
    run = crawl("site", "-a", f"url={site}", *direct, "-s", f"RUN_DIR={folder}").wait()
    assert len(run.rows()) == 1, run.err[-3000:]
    assert run.err.count("no samples of refused pages are kept") == 1
    assert "Traceback" not in run.err


def test_explain_of_a_bare_page_and_of_a_contract(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_bytes(PAGE)
    assert bans("explain", page).returncode == 0
    walled = bans(
        "explain",
        page,
        "--status",
        "403",
        "--header",
        "cf-mitigated: challenge",
        "--url",
        "https://a.example/",
    )
    assert walled.returncode == 3
    assert "cloudflare_challenge" in walled.stdout
    lacking = bans(
        "explain", page, "--spider", "books", "--callback", "parse_book", "--url", "https://a.example/"
    )
    assert lacking.returncode == 3, lacking.stdout + lacking.stderr
    assert "contract    parse_book: lacks" in lacking.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["explain", "nowhere.html"], 1, "nowhere.html"),
        (["explain", "."], 1, "directory"),
        (["explain", "http://127.0.0.1:1/", "-s", "PROXIES_FILE=nowhere.toml"], 2, "nowhere.toml"),
        (["explain", "http://127.0.0.1:1/", "--status", "200"], 2, "are for files"),
        (["explain", "scrapy.cfg", "--header", "novalue"], 2, "'name: value'"),
        (["explain", "scrapy.cfg", "--spider", "bookz"], 2, "this project has: "),
        (["explain", "scrapy.cfg", "--spider", "books", "--callback", "pars"], 2, "is no callback of spider books"),
        (["explain"], 2, "scrapy bans explain <url or file>"),
        (["lst"], 2, "did you mean list?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_way_out(words: list[str], code: int, said: str) -> None:
    found = bans(*words)
    assert found.returncode == code, found.stdout + found.stderr
    assert said in found.stdout + found.stderr
    assert "Traceback" not in found.stderr


def test_the_tables_are_printed() -> None:
    listed = bans("list")
    assert listed.returncode == 0
    (line,) = [line for line in listed.stdout.splitlines() if " cloudflare_challenge " in line]
    assert "challenge" in line
    assert "strong" in line
    table = bans("reactions")
    assert table.returncode == 0
    assert "rate_limited" in table.stdout


def test_an_address_is_asked_through_the_pools_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with lab_process.start(tmp_path / "lab", pages=1) as lab:
        options = ["-s", f"PROXIES_FILE={lab.info['proxies']}", "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", f"TLS_CA_FILE={lab.info['ca']}",
            "-s", f"DATA_DIR={tmp_path}/data"]  # fmt: skip
        url = lab.info["sites"]["captcha"]["start_url"]
        walled = bans("explain", url, "--pool", "datacentre", *options)
        passed = bans("explain", url, "--pool", "residential", "--country", "de", *options)
        nobody = bans("explain", url, "--pool", "residental", *options)
        served = lab.served()
    assert walled.returncode == 3, walled.stdout + walled.stderr
    assert "fetched through pool datacentre" in walled.stdout
    assert "blocked: " in walled.stdout
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "fetched through pool residential" in passed.stdout
    assert nobody.returncode == 1
    assert "known: datacentre, residential, mobile" in nobody.stderr
    pages = [visit for visit in served if not visit["path"].endswith("robots.txt")]
    assert len(pages) == 2, served
    assert "direct" not in {visit["pool"] for visit in served}
    assert not (tmp_path / "data").exists()
