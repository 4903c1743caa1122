"""The file of pools changes during a run: pools come and go, and what is under way ends as it would have."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.crawls.gateway_for_tests import Gateway, Site, options, refusal, wait_for

AT_ONCE = [
    "-s",
    "PROXIES_RELOAD_S=0.1",
    "-s",
    "CONCURRENT_REQUESTS_PER_DOMAIN=8",
    "-s",
    "PROXY_STATE_FILE=none",
]
LOOK_S = 3.0  # a tick of the upkeep, and a slow machine


def pages(shop: Site, n_pages: int) -> list[str]:
    return ["-a", "urls=" + "\n".join(f"{shop.url}p/{n}" for n in range(n_pages)), "-a", "max_depth=0"]


def test_pools_come_and_go_in_mid_run_and_a_wrong_file_changes_nothing(
    crawl: Callable[..., Any], shop: Site, tmp_path: Path
) -> None:
    shop.page_s = 0.25
    old, new = Gateway("old", folder=str(tmp_path)), Gateway("new", folder=str(tmp_path), net=8)
    with old.running(), new.running():
        run = crawl("site", *pages(shop, 250), *options(tmp_path, old.pool(2)), *AT_ONCE)
        file = tmp_path / "proxies.toml"
        wait_for(lambda: len(old.asked) > 10)
        file.write_text(old.pool(2).replace("usd_per_gb = 2", "usd_per_gb = -2"))
        n_wrong = len(old.asked)
        wait_for(lambda: len(old.asked) > n_wrong + 20)
        file.write_text(old.pool(2) + new.pool(1))
        wait_for(lambda: len(new.asked) > 10)
        file.write_text(new.pool(1))
        time.sleep(LOOK_S)
        n_gone, n_then = len(old.asked), len(new.asked)
        wait_for(lambda: len(new.asked) > n_then + 20)
        assert run.process.poll() is None
        run.wait()
        assert len(old.asked) == n_gone, "nothing new goes out through a pool that went"
    assert shop.own() == []
    assert len(run.rows()) == 250
    assert "is wrong; the crawl goes on with the pools it has" in run.err
    assert "new or changed: new; gone: none" in run.err
    assert "new or changed: none; gone: old" in run.err
    paths = shop.paths()
    assert len(paths) - paths.count("/robots.txt") == 250, "what was under way was not asked for again"
    assert run.report["faults"] == {}


def test_a_password_that_changes_in_mid_run_is_used_from_then_on(
    crawl: Callable[..., Any], shop: Site, tmp_path: Path
) -> None:
    shop.page_s = 0.1
    home = Gateway("home", folder=str(tmp_path))
    accepted = {"example-1"}
    home.answer = lambda asked: (
        None if asked.password in accepted else refusal(407, "Proxy Authentication Required")
    )
    with home.running():
        run = crawl("site", *pages(shop, 150), *options(tmp_path, home.pool(1, "example-1")), *AT_ONCE)
        wait_for(lambda: len(home.asked) > 10)
        accepted.add("example-2")  # providers let both live for a while
        (tmp_path / "home.password").write_text("example-2")
        wait_for(lambda: home.asked[-1].password == "example-2")
        time.sleep(1)
        accepted.remove("example-1")
        run.wait()
        assert {asked.password for asked in home.asked} == {"example-1", "example-2"}
    assert len(run.rows()) == 150
    assert run.report["faults"] == {}
    assert "example-" not in run.err


def test_a_password_mended_in_mid_run_brings_its_pool_back_at_once(
    crawl: Callable[..., Any], shop: Site, tmp_path: Path
) -> None:
    shop.page_s = 0.1
    cheap, dear = Gateway("cheap", folder=str(tmp_path)), Gateway("dear", folder=str(tmp_path), net=8)
    cheap.answer = lambda asked: (
        None if asked.password == "right" else refusal(407, "Proxy Authentication Required")
    )
    with cheap.running(), dear.running():
        run = crawl(
            "site", *pages(shop, 200), *options(tmp_path, cheap.pool(1, "wrong"), dear.pool(5)), *AT_ONCE
        )
        wait_for(lambda: len(dear.asked) > 20)
        assert len(cheap.asked) <= 3
        (tmp_path / "cheap.password").write_text("right")
        wait_for(lambda: len(cheap.asked) > 20)
        run.wait()
    assert len(run.rows()) == 200
    assert shop.own() == []
