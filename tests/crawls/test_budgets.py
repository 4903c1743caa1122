"""Budgets: a run, or a site, stops no later than what was in flight, and keeps what it has; cheaper pools come first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.crawls.gateway_for_tests import Gateway, Site, options, site

PAGE_BYTES = 20_000
IN_FLIGHT = 4
GROSS = 1.15  # bytes of a page at the socket by those of its body: heads of both directions
ALWAYS = [
    "-s",
    f"CONCURRENT_REQUESTS_PER_DOMAIN={IN_FLIGHT}",
    "-s",
    "PROXY_STATE_FILE=none",
    "-a",
    "max_depth=0",
]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as running:
        running.page_bytes = PAGE_BYTES
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway("home", folder=str(tmp_path)).running() as running:
        yield running


def urls(*pages: str) -> list[str]:
    return ["-a", "urls=" + "\n".join(pages)]


@pytest.mark.parametrize(
    ("setting", "limit", "unit"), [("PROXY_BUDGET_USD", 0.001, 2e-9), ("PROXY_BUDGET_GB", 0.0005, 1e-9)]
)
def test_a_hard_budget_overshoots_by_no_more_than_what_was_in_flight(
    crawl: Callable[..., Any],
    shop: Site,
    home: Gateway,
    tmp_path: Path,
    setting: str,
    limit: float,
    unit: float,
) -> None:
    """``unit``: of the budget, for a byte."""
    made = options(tmp_path, home.pool(usd_per_gb=2))
    run = crawl(
        "site", *urls(*(f"{shop.url}p/{n}" for n in range(200))), *made, *ALWAYS, "-s", f"{setting}={limit}"
    ).wait()
    assert (run.exit_code, run.outcome) == (12, "failed_budget"), run.out
    spent = run.report["cost"]["usd"] / 2e-9 * unit
    assert limit <= spent <= limit + IN_FLIGHT * GROSS * PAGE_BYTES * unit
    n_pages = len([path for path in shop.paths() if path.startswith("/p/")])
    assert len(run.rows()) >= n_pages - IN_FLIGHT, "what was paid for is kept"
    assert len(run.rows()) > 15
    listed = (run.run_dir / "failed.jsonl").read_text()
    assert listed.count("\n") == 200 - len(run.rows()), "and what is missing is listed"


@pytest.mark.parametrize("setting", ["PROXY_SITE_BUDGET_USD=0.0005", "PROXY_SITE_BUDGET_GB=0.00025"])
def test_the_budget_of_a_site_ends_that_site_only(
    crawl: Callable[..., Any], shop: Site, home: Gateway, tmp_path: Path, setting: str
) -> None:
    other = shop.url.replace("127.0.0.1", "localhost")
    pages = [*(f"{shop.url}p/{n}" for n in range(60)), *(f"{other}p/{n}" for n in range(6))]
    made = options(tmp_path, home.pool(usd_per_gb=2))
    run = crawl("site", *urls(*pages), *made, *ALWAYS, "-s", setting).wait()
    stored = [row["url"] for row in run.rows()]
    assert len([url for url in stored if url.startswith(other)]) == 6
    n_stored = len([url for url in stored if url.startswith(shop.url)])
    assert 8 <= n_stored <= 250_000 / PAGE_BYTES + IN_FLIGHT
    assert run.outcome == "failed_budget", run.out
    assert "127.0.0.1" in (run.run_dir / "failed.jsonl").read_text()
    assert (run.run_dir / "failed.jsonl").read_text().count("site_budget") == 60 - n_stored


def test_from_the_soft_limit_on_a_cheaper_pool_is_taken_even_where_it_passes_less_often(
    crawl: Callable[..., Any], shop: Site, tmp_path: Path
) -> None:
    cheap, dear = Gateway("cheap", folder=str(tmp_path), net=8), Gateway("dear", folder=str(tmp_path))
    shop.page_bytes = 5_000

    def asked_of_cheap(*settings: str) -> float:
        turn = count()
        shop.refuse = lambda address: (
            address.startswith("127.0.8.") and next(turn) % 5 >= 3
        )  # 60 %, below the floor
        cheap.asked.clear()
        dear.asked.clear()
        made = options(tmp_path, cheap.pool(usd_per_gb=0.5), dear.pool(usd_per_gb=10))
        run = crawl(
            "site", *urls(*(f"{shop.url}p/{n}" for n in range(150))), *made, *ALWAYS, *settings
        ).wait()
        assert len(run.rows()) > 120, run.out
        return len(cheap.asked) / (len(cheap.asked) + len(dear.asked))

    with cheap.running(), dear.running():
        usual = asked_of_cheap()
        frugal = asked_of_cheap("-s", "PROXY_BUDGET_USD=0.05", "-s", "PROXY_BUDGET_SOFT=0.001")
    assert usual < 0.6 < 0.9 < frugal
