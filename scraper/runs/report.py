"""Rule: the whole run as one dict, which report.json holds. ``schema`` grows when a key changes its meaning.

Every rate stands beside the two numbers it is made of. Records are counted where the store acknowledged them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from scraper.runs.facts import Facts, group, verdict_counts
from scraper.runs.outcome import Outcome
from scraper.runs.redact import redact
from scraper.verdicts import GOOD, OUTCOMES

SCHEMA = 1
SUSPICIONS = "suspicions/found"  # the stat in which bans/ leaves them
MAX_SITES = 1000  # sites listed one by one, the costliest first; the rest is summed as "other sites"


def build(
    record: Mapping[str, Any],
    outcome: Outcome,
    facts: Facts,
    stats: Mapping[str, Any],
    errors: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Report of a run. ``record`` is a RunRecord as a mapping, with its end; ``stats`` are Scrapy's."""
    ended: datetime = record["ended"]
    duration_s = max(0.0, (ended - record["started"]).total_seconds())
    retries = int(stats.get("pages/retries") or stats.get("retry/count") or 0)
    keys = (
        "run_id",
        "spider",
        "arguments",
        "settings",
        "command",
        "version",
        "host",
        "pid",
        "started",
        "ended",
    )
    return {
        "schema": SCHEMA,
        "verdict": {
            "outcome": outcome.word,
            "rule": outcome.rule,
            "reason": redact(outcome.reason),
            "next_step": outcome.next_step,
            "exit_code": outcome.exit_code,
        },
        "run": {
            **{key: record[key] for key in keys},
            "duration_s": duration_s,
            "finish_reason": facts.finish_reason,
        },
        "records": {
            "scraped": facts.scraped,
            "stored": facts.stored,
            "dropped": facts.dropped,
            "duplicate": facts.duplicate,
            "dead_letter": facts.dead_letter,
            "unaccounted": facts.unaccounted,
        },
        "cost": _cost(facts, stats),
        "pages": {
            "good": facts.pages_good,
            "gone": facts.pages_gone,
            "given_up": facts.pages_given_up,
            "downloads": facts.downloads,
            "good_rate": _rate(facts.pages_good, facts.downloads),
            "good_per_min": _rate(facts.pages_good * 60, duration_s),
            "retries": retries,
            "retries_per_record": _rate(retries, facts.stored),
        },
        "verdicts": verdict_counts(stats),
        "blocks": _largest_first(group(stats, "bans/")),
        "faults": _largest_first(group(stats, "faults/")),
        "robots": {name: _largest_first(group(stats, f"robots/{name}/")) for name in ("bans", "faults")},
        "samples": len(facts.samples),
        "given_up": _largest_first(group(stats, "pages/given_up/")),
        "suspicions": _suspicions(stats),
        "pools": _pools(stats),
        "sites": _sites(stats),
        "batches": _batches(stats),
        "errors": [dict(error) for error in errors],
        "paths": record["paths"],
        "stats": {
            key: _plain(value)
            for key, value in sorted(stats.items())
            if not key.startswith(("sites/", SUSPICIONS))
        },
    }


def _cost(facts: Facts, stats: Mapping[str, Any]) -> dict[str, Any]:
    usd = float(stats.get("proxies/usd") or 0)
    at_socket = "proxies/bytes" in stats
    seen = ("downloader/request_bytes", "downloader/response_bytes")
    size = int(stats["proxies/bytes"]) if at_socket else sum(int(stats.get(key) or 0) for key in seen)
    return {
        "usd": usd,
        "usd_wasted": float(stats.get("proxies/usd_wasted") or 0),
        "usd_per_1000_records": _rate(usd * 1000, facts.stored),
        "bytes": size,
        "bytes_per_record": _rate(size, facts.stored),
        "bytes_counted_at": "socket"
        if at_socket
        else "scrapy",  # Scrapy sees no TLS, no CONNECT: up to 7.5 x less
    }


def _batches(stats: Mapping[str, Any]) -> dict[str, Any]:
    """The way from the spool to the store: counts, what waited there and how long, how busy each worker was."""
    whole = (
        "written",
        "bytes",
        "worker_deaths",
        "worker_recycled",
        "quarantined",
        "unfinished",
        "outages",
        "waiting_bytes_max",
    )
    seconds = ("held_back_s", "outage_s", "wait_max_s")
    done = sum(
        int(stats.get(f"batches/{name}") or 0) for name in ("stored", "dropped", "duplicate", "dead_letter")
    )
    busy = group(stats, "batches/worker_busy_s/")
    open_s = float(stats.get("batches/open_s") or 0)
    return {
        **{name: int(stats.get(f"batches/{name}") or 0) for name in whole},
        **{name: float(stats.get(f"batches/{name}") or 0) for name in seconds},
        "wait_mean_s": _rate(float(stats.get("batches/wait_s") or 0), done),
        "workers": {worker: _rate(busy[worker], open_s) for worker in sorted(busy)},
        "step_s": _largest_first(group(stats, "batches/step_s/")),
    }


def _pools(stats: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By pool: requests and good pages, bytes, USD, what of it was wasted, and both by country."""
    requests, usd = group(stats, "proxies/requests/"), group(stats, "proxies/usd/")
    size, good = group(stats, "proxies/bytes/"), group(stats, "proxies/good/")
    wasted, opened = group(stats, "proxies/usd_wasted/"), group(stats, "proxies/circuit_opened/")
    refused = group(stats, "proxies/refused/")
    return [
        {
            "pool": pool,
            "requests": requests.get(pool, 0),
            "good": good.get(pool, 0),
            "bytes": size.get(pool, 0),
            "usd": usd.get(pool, 0.0),
            "usd_wasted": wasted.get(pool, 0.0),
            "usd_per_1000_good": _rate(usd.get(pool, 0.0) * 1000, good.get(pool, 0)),
            "countries": _countries(stats, pool),
            "left_alone": opened.get(pool, 0),
            "last_failure": _plain(refused[pool]) if pool in refused else "",
        }
        for pool in sorted(
            {*requests, *usd, *size, *opened},
            key=lambda pool: (-usd.get(pool, 0), -requests.get(pool, 0), pool),
        )
    ]


def _countries(stats: Mapping[str, Any], pool: str) -> dict[str, dict[str, float]]:
    size = group(stats, f"proxies/countries/bytes/{pool}/")
    usd = group(stats, f"proxies/countries/usd/{pool}/")
    return {country: {"bytes": size[country], "usd": usd.get(country, 0.0)} for country in sorted(size)}


def _suspicions(stats: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Pages with a good verdict that look like one soft block, most pages first; addresses may hold a password."""
    return [
        {
            key: _plain(value) if key != "examples" else [redact(url) for url in value]
            for key, value in one.items()
        }
        for one in stats.get(SUSPICIONS, ())
    ]


_SPENT = ("usd", "usd_wasted", "bytes", "pauses", "paused_s")  # of a site, beside its outcomes


def _sites(stats: Mapping[str, Any]) -> list[dict[str, Any]]:
    sites: dict[str, dict[str, Any]] = {}
    for key, value in group(stats, "sites/").items():
        host, _, field = key.rpartition("/")
        if host and field in (*OUTCOMES, *_SPENT):
            sites.setdefault(host, _site(host))[field] = value
    listed = sorted(sites.values(), key=lambda site: (-site["usd"], -_bad(site), -site[GOOD], site["site"]))
    rest = listed[MAX_SITES:]
    if rest:
        other = _site(f"{len(rest)} other sites")
        for field in (*OUTCOMES, *_SPENT):
            other[field] = sum(site[field] for site in rest)
        listed[MAX_SITES:] = [other]
    return listed


def _site(name: str) -> dict[str, Any]:
    return {"site": name, **dict.fromkeys(OUTCOMES, 0), **dict.fromkeys(_SPENT, 0)}


def _bad(site: Mapping[str, Any]) -> int:
    return sum(int(site[outcome]) for outcome in OUTCOMES if outcome != GOOD)


def _rate(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _largest_first(counts: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, datetime)) or value is None else redact(str(value))
