"""robots.txt is waited for, not skipped, where a pool has no room for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.crawls.gateway_for_tests import Asked, Gateway

ROBOTS = b"User-agent: *\nDisallow: /p/\n"


def slow_robots(asked: Asked) -> bytes:
    """Every site behind the gateway: its robots.txt takes a while, and forbids the pages."""
    time.sleep(0.3)
    body = ROBOTS if asked.target.endswith("/robots.txt") else b"<html><p>forbidden</p></html>"
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_no_forbidden_page_is_asked_for_while_the_pool_is_full(
    crawl: Callable[..., Any], tmp_path: Path
) -> None:
    urls = ",".join(f"http://shop{n}.example/p/1" for n in range(12))
    gateway = Gateway("home", slow_robots, folder=str(tmp_path))
    with gateway.running():
        (tmp_path / "proxies.toml").write_text(f"{gateway.pool()}\nthreads = 1\n")
        run = crawl(
            "site", "-a", f"urls={urls}", "-s", f"PROXIES_FILE={tmp_path}/proxies.toml", "-s", "BAN_FAULT_WAIT_S=0.05",
        ).wait(100)  # fmt: skip
    assert all(asked.target.endswith("/robots.txt") for asked in gateway.asked), run.out
    assert len({asked.target for asked in gateway.asked}) == 12
    assert run.report["stats"]["proxies/waits/no_room"] > 0, "the pool was never full"
