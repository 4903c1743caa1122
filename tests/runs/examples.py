"""Stats of runs as they end, for the tests of rules, report and summary."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from scraper.runs.facts import Facts, Limits, facts_from
from scraper.runs.outcome import decide
from scraper.runs.report import build

LIMITS = Limits(min_items=1, max_error_rate=0.5, max_given_up_rate=0.2, warn_rate=0.01)
STARTED = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def good_stats(pages: int) -> dict[str, Any]:
    """``pages`` good pages, one record each, everything stored, nothing else."""
    return {
        "item_scraped_count": pages,
        "batches/scraped": pages,
        "batches/stored": pages,
        "verdicts/good": pages,
    }


PROXIED: dict[str, Any] = {
    "item_scraped_count": 49_120,
    "batches/scraped": 49_120,
    "batches/stored": 48_912,
    "batches/dropped": 131,
    "batches/duplicate": 70,
    "batches/dead_letter": 7,
    "batches/written": 492,
    "batches/worker_deaths": 1,
    "batches/held_back_s": 12.4,
    "batches/bytes": 510_000_000,
    "batches/waiting_bytes_max": 67_100_000,
    "batches/wait_s": 39_000.0,
    "batches/wait_max_s": 21.4,
    "batches/open_s": 6000.0,
    "batches/worker_busy_s/0": 1500.0,
    "batches/worker_busy_s/1": 1440.0,
    "batches/outages": 1,
    "batches/outage_s": 9.0,
    "verdicts/good": 61_044,
    "verdicts/blocked": 2_959,
    "verdicts/rate_limited": 400,
    "verdicts/gone": 300,
    "verdicts/fault": 100,
    "bans/captcha_marker": 1_902,
    "bans/status_403": 957,
    "bans/empty_body": 70,
    "bans/redirect_blocked": 20,
    "bans/poison": 10,
    "pages/given_up": 41,
    "pages/given_up/captcha_marker": 30,
    "pages/given_up/connect_timeout": 11,
    "runs/given_up/blocked": 30,
    "runs/given_up/fault": 11,
    "pages/retries": 3_418,
    "proxies/usd": 6.3117,
    "proxies/usd_wasted": 1.1,
    "proxies/bytes": 1_580_000_000,
    "proxies/requests/datacentre": 60_000,
    "proxies/bytes/datacentre": 1_200_000_000,
    "proxies/usd/datacentre": 0.6,
    "proxies/requests/residential": 4_803,
    "proxies/bytes/residential": 380_000_000,
    "proxies/usd/residential": 5.7117,
    "sites/shop-a.example/good": 8_100,
    "sites/shop-a.example/blocked": 1_902,
    "sites/shop-a.example/usd": 4.2,
    "sites/shop-a.example/pauses": 2,
    "sites/shop-a.example/paused_s": 372.5,
    "sites/shop-b.example/good": 52_944,
    "sites/shop-b.example/blocked": 1_057,
    "sites/shop-b.example/fault": 100,
    "sites/shop-b.example/usd": 2.1117,
    "sites/open.example/good": 10,
}


def report_of(
    stats: dict[str, Any],
    *,
    seconds: float = 2472,
    finish_reason: str = "finished",
    samples: Sequence[str] = (),
    **changes: Any,
) -> dict[str, Any]:
    """Report of a run with ``stats`` that took ``seconds`` and kept ``samples``; ``changes`` are of its record."""
    facts: Facts = facts_from(stats, finish_reason, None, LIMITS, samples=samples)
    folder = "data/runs/books_eu-20261123T030000Z-1a2b"
    record: dict[str, Any] = {
        "run_id": "books_eu-20261123T030000Z-1a2b",
        "spider": "books_eu",
        "arguments": {"max_pages": "70000"},
        "settings": {},
        "command": ["scrapy", "crawl", "books_eu", "-a", "max_pages=70000"],
        "version": "3f2c1a9",
        "versions": {},
        "host": "crawler-1",
        "pid": 4242,
        "started": STARTED,
        "ended": STARTED + timedelta(seconds=seconds),
        "paths": {
            "data": "data/out/books_eu-20261123T030000Z-1a2b",
            "failed": f"{folder}/failed.jsonl",
            "log": f"{folder}/run.log",
            "report": f"{folder}/report.json",
        },
        **changes,
    }
    return build(record, decide(facts), facts, stats, [])
