"""No page vanishes: whatever an answer does to the middlewares on its way, the page is stored or stands in failed.jsonl."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

SPIDERS = {"PYTHONPATH": str(Path(__file__).parent)}
PAGE = b"<!doctype html><html><body><h1>Page</h1><p>some words</p></body></html>"


def refresh(to: str) -> bytes:
    return f'<html><head><meta http-equiv="refresh" content="0; url={to}"></head><body>wait</body></html>'.encode()


#: path: status, headers, body, and the rule it is listed with ("": it is stored)
PAGES: dict[str, tuple[int, dict[str, str], bytes, str]] = {
    "/plain": (200, {}, PAGE, ""),
    "/character": (200, {}, b"<html><body><p>&#" + b"1" * 5000 + b";</p></body></html>", ""),
    "/retry-after": (429, {"Retry-After": "\xb2"}, b"busy", "status_429"),
    "/redirects-for-ever": (302, {"Location": "/redirects-for-ever"}, b"", "redirect_loop"),
    "/refreshes-for-ever": (200, {}, refresh("/refreshes-for-ever"), "redirect_loop"),
    "/refresh-to-nothing": (200, {}, refresh("http://[x/"), "bad_location"),
    "/cookie-wall": (302, {"Location": "/cookie-wall", "Set-Cookie": "seen=1"}, b"", ""),
    "/nowhere": (302, {}, b"", "bad_location"),
    "/port": (302, {"Location": "http://127.0.0.1:99999999/"}, b"", "bad_location"),
    "/ftp": (302, {"Location": "ftp://127.0.0.1/file"}, b"", "bad_location"),
    "/login": (401, {}, b"<html><body>who are you?</body></html>", "site_refused"),
    "/sent-on": (200, {}, refresh("/plain?from=sent-on"), ""),
    "/plain?from=sent-on": (200, {}, PAGE, ""),
    "/markup-as-json": (200, {"Content-Type": "application/json"}, PAGE, ""),
    "/blank-lines-and-a-wall": (
        200, {}, b"\n" * 2000 + b"<html><title>Just a moment...</title><script>window._cf_chl_opt={};</script></html>",
        "cloudflare_challenge_page",
    ),
    "/blank": (200, {}, b"\n" * 2000, "empty_page"),
}  # fmt: skip


@pytest.fixture
def site() -> Iterator[tuple[str, Counter[str]]]:
    asked: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked[self.path] += 1
            status, headers, body, _ = PAGES.get(self.path, (404, {}, b"none", ""))
            if self.path == "/cookie-wall" and "seen=1" in self.headers.get("Cookie", ""):
                status, headers, body = 200, {}, PAGE
            self.send_response(status)
            for name, value in {
                "Content-Type": "text/html",
                "Content-Length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("contract", [False, True], ids=["no_contract", "contract"])
def test_every_page_is_stored_or_listed(
    crawl: Callable[..., Any], site: tuple[str, Counter[str]], direct: list[str], contract: bool
) -> None:
    """With a contract that every good page holds, too: a page that only leads on is not asked for it."""
    url, asked = site
    paths = [path for path in PAGES if "?" not in path]
    run = crawl(
        "holds" if contract else "sees", "-a", f"urls={','.join(url + path for path in paths)}", *direct,
        "-s", "SPIDER_MODULES=spiders_of_blocks", "-s", "BAN_RATE_LIMIT_WAIT_S=0.01", "-s", "BAN_MAX_ATTEMPTS=2",
        "-s", "PROXY_PACE_MAX_S=0.1", "-s", "BAN_SITE_PAUSE_AFTER=50", env=SPIDERS,
    ).wait()  # fmt: skip
    lines = [json.loads(line) for line in (run.run_dir / "failed.jsonl").read_text().splitlines()]
    listed = {line["url"].removeprefix(url): line["rule"] for line in lines}
    wanted = {path: rule for path, (*_, rule) in PAGES.items() if rule}
    if contract:  # those two have no heading, and lead nowhere
        wanted["/character"] = wanted["/refresh-to-nothing"] = "contract_parse_css"
    assert listed == wanted, run.out + run.err[-3000:]
    stored = {row["path"] for row in run.rows()}
    assert stored == {"/plain", "/cookie-wall", "/character", "/markup-as-json"} - set(wanted)
    assert asked["/sent-on"] == 1
    assert "could not be judged" not in run.err
