"""Samples of what was refused, and ``scrapy bans`` as it is typed: on a sample, a page, and an address through the pools."""

from __future__ import annotations

import gzip
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    asks for its robots.txt once more. Sends /old on to its page. ``walled``: refuses robots.txt; ``flaky``: hangs
    up on the first who asks for /old."""

    protocol_version = "HTTP/1.1"
    asked: list[str]
    walled = False
    flaky = False

    def do_GET(self) -> None:
        self.asked.append(self.path)
        n = self.asked.count("/")
        if self.path == "/robots.txt" and self.walled:
            packed = gzip.compress(WALL)
            self.answer(403, packed, {"CF-Mitigated": "challenge", "Content-Encoding": "gzip"})
        elif self.path == "/old" and self.flaky and self.asked.count("/old") == 1:
            self.close_connection = True
        elif self.path == "/old":
            self.answer(301, b"", {"Location": "/"})
        elif self.path == "/robots.txt" and self.asked.count("/robots.txt") > 1:
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


@contextmanager
def serving(**given: Any) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Site,), {"asked": [], **given}))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def site() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture
def walled_site() -> Iterator[str]:
    with serving(walled=True) as url:
        yield url


def bans(*words: str | Path, given: str | None = None) -> Any:
    command = [sys.executable, "-m", "scrapy", "bans", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, input=given)


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
    assert (sample.notes["spider"], sample.notes["callback"]) == ("site", "parse")
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
    assert "robots.txt of the site forbids it; -s ROBOTSTXT_OBEY=0" in forbidden.stderr
    asked = bans("explain", site + "robots.txt", *direct)
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert asked.stdout.splitlines()[1] == "good"


def test_a_robots_txt_behind_a_wall_is_explained_in_the_place_of_its_page(
    walled_site: str, direct: list[str]
) -> None:
    found = bans("explain", walled_site, *direct)
    assert found.returncode == 3, found.stdout + found.stderr
    assert "was not asked for: its robots.txt, fetched through pool direct, is explained here" in found.stdout
    assert "-s ROBOTSTXT_OBEY=0 asks for the page all the same" in found.stdout
    assert "blocked: cloudflare_challenge" in found.stdout
    assert "title       just a moment..." in found.stdout, "decompressed"
    assert "title       just a moment..." in bans("explain", walled_site + "robots.txt", *direct).stdout
    page = bans("explain", walled_site, *direct, "-s", "ROBOTSTXT_OBEY=0")
    assert page.stdout.startswith(f"{walled_site}, fetched through pool direct"), page.stdout + page.stderr


def test_what_was_sent_on_says_which_address_answered_after_a_fault_too(direct: list[str]) -> None:
    with serving(flaky=True) as site:
        found = bans("explain", site + "old", *direct)
    assert found.returncode == 3, found.stdout + found.stderr
    assert found.stdout.splitlines()[0] == f"{site}old, fetched through pool direct, answered by {site}"


def test_a_page_that_broke_a_contract_is_explained_by_that_contract(
    crawl: Callable[..., Any], site: str, direct: list[str], tmp_path: Path
) -> None:
    run = crawl("books", "-a", f"url={site}", *direct).wait()
    path = run.run_dir / "blocks" / "contract_parse_listing_css.txt"
    found = bans("explain", path)
    assert found.returncode == 3, found.stdout + found.stderr
    assert "blocked: contract_parse_listing_css (contract)" in found.stdout
    assert "contract    parse_listing of spider books: lacks" in found.stdout
    assert "the run" not in found.stdout
    nobodys = tmp_path / "a.txt"
    nobodys.write_text(re.sub("Sample-(Spider|Callback): .*\n", "", path.read_text()))
    other = bans("explain", nobodys)
    assert other.returncode == 0
    assert "the run     said contract_parse_listing_css; give its --spider" in other.stdout
    gone = tmp_path / "b.txt"
    gone.write_text(path.read_text().replace("Spider: books", "Spider: bookz"))
    assert "not asked: this project has no parse_listing of a spider bookz" in bans("explain", gone).stdout


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
    assert "contract    parse_book of spider books: lacks" in lacking.stdout
    page.write_bytes(b"HTTP/1.1 403 Forbidden\n\n" + PAGE)
    assert "contract    not asked: status 403" in bans(
        "explain", page, "--spider", "books", "--callback", "parse_book"
    ).stdout  # fmt: skip
    assert (
        "spider books has none for parse at this address" in bans("explain", page, "--spider", "books").stdout
    )


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ("HTTP/2 429\nDate: Tue, 24 Nov 2026 14:00:00 GMT\nRetry-After: Tue, 24 Nov 2026 14:01:00 GMT\n\nslow", 3, "after 60 s (its Retry-After)"),
        ("HTTP/2 200\ncontent-length: 9000\n\n", 1, "curl -i prints both"),
        ("HTTP/2 200\ncontent-length: 0\n\n", 3, "empty_page"),
        ("HTTP/2 200\ncf-mitigated: challenge\n\n", 3, "cloudflare_challenge"),
        ("< HTTP/2 403\n< server: x\n", 1, "curl -v"),
        ("", 1, "nothing to judge"),
    ],
    ids=["a date", "curl -I", "empty", "told by headers", "curl -v", "nothing"],
)  # fmt: skip
def test_the_standard_input_is_explained_as_a_file(given: str, code: int, said: str) -> None:
    found = bans("explain", "-", given=given)
    assert (found.returncode, said in found.stdout + found.stderr) == (code, True), (
        found.stdout + found.stderr
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["explain", "nowhere.html"], 1, "no such file; an address begins with http"),
        (["explain", "ftp://a.example/"], 2, "only http:// and https://"),
        (["explain", "http:///x"], 2, "names no host"),
        (["explain", "a.example:80/x"], 2, "must begin with http:// or https://"),
        (["explain", "http://a.example:x/"], 2, "is no address"),
        (["explain", "http://user:canary@a.example:x/"], 2, "is no address"),
        (["explain", "http://10.0.0.1/"], 2, "ALLOW_PRIVATE_ADDRESSES=1"),
        (["explain", "http://127.0.0.1:1/", "--country", "deu"], 2, "two-letter"),
        (["explain", "scrapy.cfg", "--pool", "direct", "--country", "de"], 2, "--pool, --country: are for addresses"),
        (["explain", "scrapy.cfg", "--callback", "parse"], 2, "needs its --spider"),
        (["explain", "scrapy.cfg", "--status", "99"], 2, "100 to 999"),
        (["explain", "scrapy.cfg", "--url", "a.example/p"], 2, "must begin with"),
        (["explain", "scrapy.cfg", "--rule", "akamai_denid"], 2, "did you mean akamai_denied?"),
        (["reactions", "x"], 2, "reactions takes no word"),
        (["list", "--pool", "x"], 2, "--pool: for explain only"),
        (["list", "zzz"], 1, "in no signature's id, vendor or kind"),
        (["show", "zzz"], 2, "is no signature"),
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
    assert "canary" not in found.stderr


def test_the_tables_are_printed() -> None:
    listed = bans("list")
    assert listed.returncode == 0
    (line,) = [line for line in listed.stdout.splitlines() if " cloudflare_challenge " in line]
    assert "challenge" in line
    assert "strong" in line
    akamai = bans("list", "Akamai").stdout
    assert "akamai_denied" in akamai
    assert "cloudflare" not in akamai
    one = bans("show", "akamai_denied")
    assert (one.returncode, one.stdout.splitlines()[0]) == (0, "akamai_denied")
    assert "reference #" in one.stdout
    half = bans("explain", "-", "--rule", "akamai_denied", given="HTTP/2 403\n\n<html>Access Denied</html>")
    assert "akamai_denied does not hold" in half.stdout
    assert "missing     text: permission to access" in half.stdout
    table = bans("reactions")
    assert table.returncode == 0
    assert "| rate_limited |" in table.stdout


def test_a_terminal_shows_the_reactions_as_a_table() -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "scrapy", "bans", "reactions"]
    done = subprocess.run(command, cwd=ROOT, stdout=theirs, timeout=60, env={**os.environ, "COLUMNS": "150"})
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the other end is closed, and all is read
        pass
    os.close(ours)
    assert done.returncode == 0
    assert b"rate_limited" in shown
    assert b"|---|" not in shown


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
    assert nobody.returncode == 2
    assert "known: datacentre, residential, mobile" in nobody.stderr
    pages = [visit for visit in served if not visit["path"].endswith("robots.txt")]
    assert len(pages) == 2, served
    assert "direct" not in {visit["pool"] for visit in served}
    assert not (tmp_path / "data").exists()


def test_the_answer_is_judged_and_shown_decompressed_whatever_its_status(tmp_path: Path) -> None:
    with lab_process.start(tmp_path / "lab", pages=1, world="walls") as lab:
        options = ["-s", f"PROXIES_FILE={lab.info['proxies']}", "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", f"TLS_CA_FILE={lab.info['ca']}"]  # fmt: skip
        for label in ("status202", "status405", "status999"):
            url = lab.info["sites"][label]["start_url"]
            found = bans("explain", url, "--pool", "datacentre", *options)
            assert found.returncode == 3, found.stdout + found.stderr
            assert f"{url}, fetched through pool datacentre" in found.stdout
            page = next(line for line in found.stdout.splitlines() if "the page" in line)
            assert f"status {label[6:]}, html" in page, "and not the bytes of an encoding"
