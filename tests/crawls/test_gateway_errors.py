"""What a gateway refuses decides what follows: each class costs what it must and no more. Gateways and site are real."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crawls.gateway_for_tests import HTTP11, Asked, Gateway, Site, options, refusal

HERE = {"PYTHONPATH": str(Path(__file__).parent)}
BOTH_HANDLERS = pytest.mark.parametrize("handler", ["", HTTP11], ids=["ours", "http11"])
MANY = ["-s", "CONCURRENT_REQUESTS_PER_DOMAIN=16"]
ALWAYS = ["-s", "PROXY_STATE_FILE=none", "-s", "ROBOTSTXT_OBEY=0"]


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[tuple[Gateway, Gateway]]:
    """The first is the cheaper one."""
    cheap, dear = Gateway("cheap", folder=str(tmp_path), net=8), Gateway("dear", folder=str(tmp_path))
    with cheap.running(), dear.running():
        yield cheap, dear


def pages(*bases: str, n_pages: int = 30) -> list[str]:
    return ["-a", "urls=" + "\n".join(f"{base}p/{n}" for base in bases for n in range(n_pages))]


def asks(meta: dict[str, Any]) -> list[str]:
    return ["-a", f"meta={json.dumps(meta)}", "-s", "SPIDER_MODULES=spiders_of_proxies"]


@BOTH_HANDLERS
@pytest.mark.parametrize(
    ("status", "reason", "rule"),
    [
        (407, "Proxy Authentication Required", "gateway_config"),
        (402, "Payment Required", "gateway_account"),
        (407, "Traffic exhausted", "gateway_account"),
    ],
)
def test_a_wrong_password_or_an_empty_account_costs_3_requests_at_most(
    crawl: Callable[..., Any], gateways: tuple[Gateway, Gateway], shop: Site, tmp_path: Path,
    status: int, reason: str, rule: str, handler: str,
) -> None:  # fmt: skip
    cheap, dear = gateways
    cheap.answer = lambda asked: refusal(status, reason)
    made = options(tmp_path, cheap.pool(1), dear.pool(5), handler=handler, ca_file=shop.ca_file)
    run = crawl("asks", *pages(shop.tls_url), *made, *ALWAYS, *asks({}), env=HERE).wait()
    assert 1 <= len(cheap.asked) <= 3
    assert run.report["faults"] == {rule: len(cheap.asked)}
    assert {row["pool"] for row in run.rows()} == {"dear"}
    assert len(run.rows()) == 30
    assert "pool cheap is left alone" in run.err
    assert str(status) in run.err


@BOTH_HANDLERS
def test_on_plain_http_the_gateways_refusal_is_not_taken_for_the_sites(
    crawl: Callable[..., Any], gateways: tuple[Gateway, Gateway], shop: Site, tmp_path: Path, handler: str
) -> None:
    cheap, dear = gateways
    cheap.answer = lambda asked: refusal(407, "Proxy Authentication Required")
    made = options(tmp_path, cheap.pool(1), dear.pool(5), handler=handler)
    run = crawl("asks", *pages(shop.url), *made, *ALWAYS, *asks({}), env=HERE).wait()
    assert 1 <= len(cheap.asked) <= 3
    assert run.report["faults"] == {"gateway_config": len(cheap.asked)}
    assert len(run.rows()) == 30


@pytest.mark.parametrize("n_gateways", [1, 2])
def test_where_every_gateway_refuses_the_password_the_run_ends_at_once_and_says_why(
    crawl: Callable[..., Any], gateways: tuple[Gateway, Gateway], shop: Site, tmp_path: Path, n_gateways: int
) -> None:
    def answer(asked: Asked) -> bytes:
        time.sleep(0.3)  # time enough for many requests to be on their way
        return refusal(407, "Proxy Authentication Required")

    used = gateways[:n_gateways]
    for each in used:
        each.answer = answer
    made = options(tmp_path, *(each.pool() for each in used), ca_file=shop.ca_file)
    run = crawl("asks", *pages(shop.tls_url), *made, *ALWAYS, *MANY, *asks({}), env=HERE).wait(30)
    assert all(1 <= len(each.asked) <= 3 for each in used)
    assert run.outcome.startswith("failed"), run.out
    assert "407" in run.out + run.err
    assert shop.visits == []


def test_a_provider_that_fails_in_mid_run_is_left_for_the_other(
    crawl: Callable[..., Any], gateways: tuple[Gateway, Gateway], shop: Site, tmp_path: Path
) -> None:
    cheap, dear = gateways
    cheap.answer = lambda asked: refusal(500, "Internal Error") if len(cheap.asked) > 15 else None
    made = options(tmp_path, cheap.pool(1), dear.pool(5), ca_file=shop.ca_file)
    run = crawl(
        "asks", *pages(shop.tls_url, n_pages=60), *made, *ALWAYS, *asks({"proxy_fresh": True}), env=HERE
    ).wait()
    assert len(run.rows()) == 60, run.out
    assert {row["pool"] for row in run.rows()} == {"cheap", "dear"}
    assert run.report["faults"]["gateway_transient"] <= 10, "left alone after some failures in a row"
    assert "pool cheap is left alone" in run.err


def test_a_country_without_exits_is_asked_of_another_pool_and_never_left_out(
    crawl: Callable[..., Any], gateways: tuple[Gateway, Gateway], shop: Site, tmp_path: Path
) -> None:
    cheap, dear = gateways
    cheap.answer = lambda asked: refusal(503, "No exit for this targeting")
    made = options(tmp_path, cheap.pool(1), dear.pool(5), ca_file=shop.ca_file)
    run = crawl("asks", *pages(shop.tls_url), *made, *ALWAYS, *asks({"proxy_country": "de"}), env=HERE).wait()
    assert {row["pool"] for row in run.rows()} == {"dear"}
    assert len(run.rows()) == 30
    assert len(cheap.asked) <= 4
    dear.answer = cheap.answer
    n_visits = len(shop.visits)
    failed = crawl(
        "asks", *pages(shop.tls_url, n_pages=3), *made, *ALWAYS, *asks({"proxy_country": "de"}), env=HERE
    ).wait()
    assert failed.exit_code != 0
    assert len(shop.visits) == n_visits
    assert all("-country-de" in asked.user for each in gateways for asked in each.asked)


def test_a_site_that_a_provider_forbids_is_asked_of_it_no_more_while_others_are(
    crawl: Callable[..., Any], gateways: tuple[Gateway, Gateway], shop: Site, tmp_path: Path
) -> None:
    cheap, dear = gateways

    def answer(asked: Asked) -> bytes | None:
        return (
            refusal(403, "Target not allowed", "X-Error-Description: blocked")
            if "localhost" in asked.target
            else None
        )

    cheap.answer = answer
    other = shop.url.replace("127.0.0.1", "localhost")
    made = options(tmp_path, cheap.pool(1), dear.pool(5))
    run = crawl("asks", *pages(shop.url, other), *made, *ALWAYS, *asks({}), env=HERE).wait()
    assert len(run.rows()) == 60, run.out
    assert len([asked for asked in cheap.asked if "localhost" in asked.target]) <= 4, (
        "what was in flight by then"
    )
    assert {row["pool"] for row in run.rows()} == {"cheap", "dear"}
    assert "is left alone" not in run.err, "the pool itself is not to blame"


def test_a_lost_session_is_replaced_at_once_and_nobody_is_blamed(
    crawl: Callable[..., Any], gateways: tuple[Gateway, Gateway], shop: Site, tmp_path: Path
) -> None:
    """A wait of a fault would take 30 s here."""
    cheap, dear = gateways
    cheap.answer = lambda asked: (
        refusal(502, "Session failed, start a new one") if len(cheap.asked) % 4 == 0 else None
    )
    made = options(tmp_path, cheap.pool(1), dear.pool(5), ca_file=shop.ca_file)
    began_s = time.monotonic()
    run = crawl(
        "asks",
        *pages(shop.tls_url),
        *made,
        *ALWAYS,
        *asks({"proxy_fresh": True}),
        "-s",
        "BAN_FAULT_WAIT_S=30",
        env=HERE,
    ).wait()
    assert time.monotonic() - began_s < 25
    assert len(run.rows()) == 30
    assert run.report["faults"]["gateway_session_lost"] >= 5
    assert "is left alone" not in run.err
    assert len([row for row in run.rows() if row["pool"] == "cheap"]) >= 15, "it goes on with the pool"
