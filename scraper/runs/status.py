"""Rule: the one line that says how a run is doing, for a terminal each second and for the log each minute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scraper.runs.facts import good_pages, stored_records, verdict_counts
from scraper.runs.words import count, duration, money, percent, plural, size
from scraper.verdicts import BLOCKED


def pending_pages(stats: Mapping[str, Any]) -> int | None:
    """Pages asked for and not yet done, where the frontier counts them."""
    for asked, done in (("frontier/enqueued", "frontier/done"), ("scheduler/enqueued", "scheduler/dequeued")):
        if asked in stats:
            return max(0, int(stats[asked]) - int(stats.get(done) or 0))
    return None


def status_line(
    stats: Mapping[str, Any],
    elapsed_s: float,
    good_per_min: float,
    *,
    stopping: bool = False,
    now_s: float = 0.0,
    width: int = 110,
) -> str:
    """``41s  1,204 good pages, 312/min  980 records stored ...``, the least important parts left out beyond ``width`` columns.

    ``now_s``: by the clock of ``pauses/until_s``.
    """
    verdicts = verdict_counts(stats)
    parts = ["stopping, again to cut it short"] if stopping else []
    parts += [
        duration(elapsed_s),
        *_paused(stats, now_s),  # so far to the front, since a crawl that waits looks like one that hangs
        *_held(stats),
        f"{plural(good_pages(stats), 'good page')}, {good_per_min:,.0f}/min",
        f"{plural(stored_records(stats), 'record')} stored",
    ]
    if verdicts:
        parts.append(f"{percent(verdicts.get(BLOCKED, 0), sum(verdicts.values()))} blocked")
    if (usd := stats.get("proxies/usd")) is not None:
        parts.append(f"{money(float(usd))} so far")
    if (pending := pending_pages(stats)) is not None:
        parts.append(f"{count(pending)} pending")
    if given_up := int(stats.get("pages/given_up") or 0):
        parts.append(f"{count(given_up)} given up")
    if errors := int(stats.get("spider_exceptions/count") or 0):
        parts.append(plural(errors, "error"))
    while len(parts) > 1 and len("  ".join(parts)) > width:
        parts.pop()
    return "  ".join(parts)[:width]


def _held(stats: Mapping[str, Any]) -> list[str]:
    """A store or disk that takes nothing now, and what waits for it."""
    where = stats.get("batches/trouble")
    return [f"{where} takes nothing, {size(int(stats['batches/waiting_bytes']))} wait"] if where else []


def _paused(stats: Mapping[str, Any], now_s: float) -> list[str]:
    """Sites that are left alone now, since nothing passes there, and how long the first of them still is."""
    sites = int(stats.get("pauses/sites") or 0)
    if not sites:
        return []
    left = duration(max(0.0, stats["pauses/until_s"] - now_s))
    return [f"{plural(sites, 'site')} paused, {left} left" + (" for the first" if sites > 1 else "")]
