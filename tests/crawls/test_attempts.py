"""No page is tried more often than BAN_MAX_ATTEMPTS says, whatever went wrong each time and wherever it went wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scraper.lab.process import LabProcess, start

SPIDERS = {"PYTHONPATH": str(Path(__file__).parent)}
ON_THE_WAY = ("/hello", "/blocked", "/captcha")  # where the hostile site sends its visitors


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[LabProcess]:
    """Its gateways carry few requests at once, so that they answer some themselves, and their homes do not last."""
    with start(tmp_path / "lab", pages=3, world="walls", threads=5, stall_seconds=1) as running:
        yield running


@pytest.mark.timeout(150)
@pytest.mark.parametrize("most", [6, 2])
def test_no_page_is_tried_more_often_than_its_cap_over_all_causes(
    crawl: Callable[..., Any], lab: LabProcess, most: int
) -> None:
    start_url = lab.info["sites"]["hostile"]["start_url"]
    listings = ",".join([start_url, *(f"{start_url}?page={number}" for number in (2, 3))])
    given = {
        "PROXIES_FILE": lab.info["proxies"], "ALLOW_PRIVATE_ADDRESSES": 1, "DOWNLOAD_DELAY": 0, "DOWNLOAD_TIMEOUT": 3,
        "BAN_FAULT_WAIT_S": 0.01, "BAN_RATE_LIMIT_WAIT_S": 0.01, "BAN_SITE_PAUSE_AFTER": 1000, "BAN_MAX_ATTEMPTS": most,
        "PROXY_WAIT_FOR_CHEAPER_S": 0, "PROXY_PACE_MAX_S": 0.05,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 8, "PROXY_DEAD_AFTER": 1000, "SPIDER_MODULES": "spiders_of_blocks",
    }  # fmt: skip
    settings = [word for name, value in given.items() for word in ("-s", f"{name}={value}")]
    run = crawl("sees", "-a", f"urls={listings}", *settings, env=SPIDERS).wait(140)

    served = [line for line in lab.served() if line["site"] == "hostile.localhost"]
    tries = Counter(line["path"].partition("?")[0] for line in served if line["path"].startswith("/p/"))
    products = {p["path"] for p in lab.truth()["sites"]["hostile.localhost"]["products"].values()}
    assert set(tries) == products
    assert max(tries.values()) == most, tries  # all of them are needed, and never one more
    hops = Counter(line["path"] for line in served if line["path"].startswith(ON_THE_WAY))
    assert hops
    assert max(hops.values()) <= most  # a redirect is part of its try; each names the page it came from

    lines = (run.run_dir / "failed.jsonl").read_text(encoding="utf-8").splitlines()
    lost = {
        json.loads(line)["url"].partition("hostile.localhost")[2].partition("/")[2]: line for line in lines
    }
    stored = {row["path"].lstrip("/") for row in run.rows() if row["path"].startswith("/p/")}
    assert {path.lstrip("/") for path in products} == stored | set(lost)  # each once, here or there
    assert not stored & set(lost)
    for line in lines:
        page = json.loads(line)
        path = "/" + page["url"].partition("hostile.localhost")[2].partition("/")[2]
        assert tries[path] <= page["attempts"] <= most, page
    # the gateways' own refusals are tries too
    pages = sum(books["requests"] for books in lab.truth()["pools"].values())
    causes = len({*run.report["blocks"], *run.report["faults"]})
    assert causes >= 12, run.report
    assert pages <= most * len(products) + sum(hops.values()) + len(served) - sum(tries.values())
