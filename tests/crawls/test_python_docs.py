"""`scrapy crawl site` over 530 pages that nobody here wrote, served by nginx, alone and through a real proxy."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import lxml.html
import pytest

from tests.services import nginx, python_docs, tinyproxy

pytestmark = pytest.mark.service
OPTIONS = [
    "-s",
    "ALLOW_PRIVATE_ADDRESSES=1",
    "-s",
    "DOWNLOAD_DELAY=0",
    "-s",
    "CONCURRENT_REQUESTS_PER_DOMAIN=8",
]


def reachable(root: Path, start: str) -> set[str]:
    """The addresses of the HTML files that links lead to, found by reading the files."""
    host = urlsplit(start).netloc
    seen, queue = {start}, deque([start])
    pages = set()
    while queue:
        url = queue.popleft()
        file = root / unquote(urlsplit(url).path).lstrip("/")
        if file.is_dir():
            file = file / "index.html"
        if file.suffix != ".html" or not file.is_file():
            continue
        pages.add(url)
        for element in lxml.html.parse(str(file)).getroot().iter("a", "area", "frame", "iframe"):
            target = urldefrag(urljoin(url, element.get("href") or element.get("src") or "")).url
            if urlsplit(target).netloc == host and target not in seen:
                seen.add(target)
                queue.append(target)
    return pages


def check(run: Any, root: Path, start: str, requests: list[Any]) -> None:
    assert (run.exit_code, run.outcome) == (0, "succeeded"), run.out + run.err[-2000:]
    expected = reachable(root, start)
    rows = run.rows()
    stored = Counter(row["final_url"] for row in rows)
    assert len(expected) > 500
    assert set(stored) == expected
    assert set(stored.values()) == {1}
    asked = Counter(request.path for request in requests)
    assert [path for path, times in asked.items() if times > 1 and path != "/robots.txt"] == []
    assert all(row["title"] and row["content_hash"] for row in rows)
    assert sum(bool(row["main_text"]) for row in rows) > 0.98 * len(rows)


def test_every_reachable_page_is_stored_once(crawl: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "proxies.toml").write_text('[pools.direct]\nkind = "direct"\n')
    root = python_docs()
    with nginx(root, tmp_path) as web:
        start = f"{web.url}index.html"
        run = crawl(
            "site", "-a", f"url={start}", "-s", f"PROXIES_FILE={tmp_path}/proxies.toml", *OPTIONS
        ).wait()
        check(run, root, start, web.requests())


def test_through_a_proxy_no_request_comes_from_anywhere_else(
    crawl: Callable[..., Any], tmp_path: Path
) -> None:
    root = python_docs()
    with (
        nginx(root, tmp_path) as web,
        tinyproxy(tmp_path, goes_out_as="127.0.0.9", user="me", password="example") as proxy,
    ):
        (tmp_path / "squad.txt").write_text(proxy.url)
        (tmp_path / "proxies.toml").write_text(
            '[pools.squad]\nkind = "list"\nfile = "squad.txt"\nusd_per_gb = 1.0\n'
        )
        start = f"{web.url}index.html"
        run = crawl(
            "site", "-a", f"url={start}", "-s", f"PROXIES_FILE={tmp_path}/proxies.toml", *OPTIONS
        ).wait()
        check(run, root, start, web.requests())
        assert {request.address for request in web.requests()} == {"127.0.0.9"}
    assert run.report["cost"]["usd"] > 0
