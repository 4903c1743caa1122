"""What follows from a verdict, in whole crawls: what a page may cost, where it may come from, what a spider gets to see."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crawls.gateway_for_tests import Asked, Gateway, Site, options

HERE = {"PYTHONPATH": str(Path(__file__).parent)}
ASKS = ["asks", "-s", "SPIDER_MODULES=spiders_of_proxies", "-s", "PROXY_STATE_FILE=none"]
WALL = b"<html><h1>403 ERROR</h1>The Amazon CloudFront distribution is configured to block access from your country.</html>"


def failed(run: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.run_dir / "failed.jsonl").read_text().splitlines()]


def test_a_page_is_given_up_when_its_tries_have_cost_too_much(
    crawl: Callable[..., Any], shop: Site, tmp_path: Path
) -> None:
    """A refusal is about 700 bytes of both directions: at 1,000 USD a GB, the second one passes 1 USD a thousand."""
    shop.refuse = lambda address: True
    with Gateway("home", folder=str(tmp_path)).running() as home:
        made = options(tmp_path, home.pool(usd_per_gb=1000))
        run = crawl(*ASKS, "-a", f"url={shop.url}p/1", *made, "-s", "BAN_MAX_PAGE_USD=0.001", env=HERE).wait()
    (page,) = failed(run)
    assert page["rule"] == "page_budget", page
    assert page["evidence"].startswith("status_403, 0.00")
    assert page["attempts"] < 6
    assert shop.paths().count("/p/1") == page["attempts"]


@pytest.mark.parametrize(("meta", "tries"), [({"proxy_country": "de"}, 2), ({}, 6)])
def test_a_geo_wall_is_not_asked_six_times_from_the_one_country_that_may_be_asked(
    crawl: Callable[..., Any], tmp_path: Path, meta: dict[str, str], tries: int
) -> None:
    """Without a country each exit may stand elsewhere."""

    def abroad(asked: Asked) -> bytes:
        status = b"404 Not Found" if asked.target.endswith("robots.txt") else b"403 Forbidden"
        head = b"HTTP/1.1 %s\r\nX-Cache: Error from cloudfront\r\nServer: CloudFront\r\nContent-Type: text/html\r\n"
        return head % status + b"Content-Length: %d\r\n\r\n%s" % (len(WALL), WALL)

    home = Gateway("home", abroad, folder=str(tmp_path))
    with home.running():
        run = crawl(
            *ASKS, "-a", "url=http://shop.example/p/1", "-a", f"meta={json.dumps(meta)}", *options(tmp_path, home.pool()),
            env=HERE,
        ).wait()  # fmt: skip
    assert len([asked for asked in home.asked if asked.target.endswith("/p/1")]) == tries
    (page,) = failed(run)
    assert page["rule"] == ("no_country_passes" if meta else "cloudfront_geo"), page


@pytest.mark.parametrize("asks", ["dont_retry", "handle_httpstatus_list"])
def test_a_refusal_that_a_spider_asked_to_see_reaches_it_and_not_the_cache(
    crawl: Callable[..., Any], shop: Site, tmp_path: Path, direct: list[str], asks: str
) -> None:
    meta = {"handle_httpstatus_list": [403], asks: [403]}
    options = [
        *ASKS, "-a", f"url={shop.url}p/1", "-a", f"meta={json.dumps(meta)}", *direct, "-s", "BAN_MAX_ATTEMPTS=2",
        "-s", "HTTPCACHE_ENABLED=1", "-s", f"HTTPCACHE_DIR={tmp_path}/cache",
        "-s", "HTTPCACHE_POLICY=scrapy.extensions.httpcache.DummyPolicy",
    ]  # fmt: skip
    shop.refuse = lambda address: True
    first = crawl(*options, env=HERE).wait()
    assert [row["path"] for row in first.rows()] == ["/p/1"], first.out
    assert shop.paths().count("/p/1") == 1
    shop.refuse = lambda address: False
    second = crawl(*options, env=HERE).wait()
    assert second.report["pages"]["good"] == 1, "it was asked for again"
