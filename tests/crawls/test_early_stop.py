"""A block that the headers show costs no body, also in the place of robots.txt; a rate limit is read to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.proxies.servers import Gateway, Loop, Site

BIG = 2_000_000  # bytes of the body that nobody should pay for


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Site, Gateway, list[str]]]:
    """A site, the gateway to it, and the options of a crawl through it."""
    with Loop() as loop:
        site, gateway = loop.start(Site()), loop.start(Gateway())
        pools = tmp_path / "proxies.toml"
        (tmp_path / "home.password").write_text("example")
        pools.write_text(
            f'[pools.home]\nkind = "gateway"\ngateway = "http://127.0.0.1:{gateway.port}"\nusd_per_gb = 3\n'
            'username = "customer"\npassword_file = "home.password"\nsession_part = "-{session}"\n'
        )
        yield (
            site,
            gateway,
            ["-s", f"PROXIES_FILE={pools}", "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", "DOWNLOAD_DELAY=0"],
        )


def test_a_block_in_the_headers_costs_no_body_and_the_page_is_tried_again(
    crawl: Callable[..., Any], servers: tuple[Site, Gateway, list[str]]
) -> None:
    site, gateway, options = servers
    run = crawl("site", "-a", f"url=http://site.localhost:{site.port}/blocked-once/{BIG}", *options).wait()
    assert (run.exit_code, len(run.rows())) == (0, 1), run.out + run.err[-2000:]
    assert run.report["blocks"] == {"cloudflare_challenge": 1}
    tries = [user for _, user, target in gateway.users if "/blocked-once/" in target]
    assert len(set(tries)) == len(tries) == 2, "the identity was retired"
    (pool,) = run.report["pools"]
    assert pool["bytes"] < 0.1 * BIG
    assert sum(gateway.by_host.values()) < 0.2 * BIG  # what it had sent before it heard of the end


def test_a_rate_limit_keeps_its_connection(
    crawl: Callable[..., Any], servers: tuple[Site, Gateway, list[str]]
) -> None:
    site, gateway, options = servers
    run = crawl("site", "-a", f"url=http://site.localhost:{site.port}/busy-once/{BIG // 10}", *options).wait()
    assert (run.exit_code, len(run.rows())) == (0, 1), run.out + run.err[-2000:]
    assert len({number for number, _, target in gateway.users if "/busy-once/" in target}) == 1
    (pool,) = run.report["pools"]
    assert pool["bytes"] > 2 * BIG // 10


def test_a_wall_in_the_place_of_robots_txt_costs_no_body(
    crawl: Callable[..., Any], servers: tuple[Site, Gateway, list[str]]
) -> None:
    site, _, options = servers
    site.blocks_robots = True
    run = crawl(
        "site", "-a", f"url=http://site.localhost:{site.port}/p", "-a", "max_depth=0", *options
    ).wait()
    assert run.report["verdict"]["rule"] == "robots_blocked"
    (pool,) = run.report["pools"]
    assert (pool["requests"], pool["good"]) == (6, 0)
    assert pool["bytes"] < 6 * 100_000, "each of them is 200,000 bytes long"
