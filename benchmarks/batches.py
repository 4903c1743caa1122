"""What storing items costs a crawl: our batches beside no pipeline, Scrapy's feeds, work inline, and executors.

    python -m benchmarks.batches [--pages 3000] [--runs 3] [--only WORD] [--no-workers]

One crawl after the other of the same pages of 10 kB, in turns; benchmarks/batch_crawl.py says how it is measured, rival_pipelines.py
what the others do. The work is the main text of the page, by resiliparse or trafilatura, stored as Parquet: ours durably, the others' unsynced.
"stock" rows have Scrapy's own settings (CONCURRENT_ITEMS 100), the others the two of the project's engine (4, and uvloop). One worker each.
Every run is checked: as many rows as pages, or the program ends. Needs nginx and python3-doc; loky's rows are left out where it is missing.

"pages/s" counts until the last item was through the pipelines, "all/s" until everything was stored: where the work is more than
a worker can do meanwhile, ours (and "batches") let the crawl finish first. Then the parts of it: benchmarks/batch_workers.py.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.batch_crawl import ENGINE, figures, ours, start
from benchmarks.pages import pieces, served

SERVED = 1_000  # different pages
FEED = "benchmark.jsonl"


@dataclass(frozen=True)
class Way:
    """One row: ``settings(folder)`` of the crawl; ``share`` of the pages (work of 10 ms inline takes long)."""

    name: str
    settings: Callable[[Path], dict[str, Any]]
    stored: bool = True
    text: bool = False  # Scrapy's JSON encoder takes no bytes
    share: float = 1.0


def nothing(folder: Path) -> dict[str, Any]:
    return {}


def engine(folder: Path) -> dict[str, Any]:
    return ENGINE


def feed(base: dict[str, Any]) -> Callable[[Path], dict[str, Any]]:
    return lambda folder: {**base, "FEEDS": {str(folder / "out" / FEED): {"format": "jsonlines"}}}


def rival(base: dict[str, Any], pipeline: str, by: str, pool: str = "") -> Callable[[Path], dict[str, Any]]:
    def settings(folder: Path) -> dict[str, Any]:
        own = {
            "BENCH_BY": by,
            "BENCH_POOL": pool,
            "BENCH_FILE": str(folder / "out" / "rows.parquet"),
            "ITEM_PIPELINES": {f"benchmarks.rival_pipelines.{pipeline}": 900},
        }
        return {**base, **own}

    return settings


def batches(steps: list[Any], sink: str) -> Callable[[Path], dict[str, Any]]:
    return lambda folder: ours(folder, BATCH_STEPS=steps, SINK=sink, BATCH_WORKERS=1)


def text_by(by: str) -> list[Any]:
    return [{"main_text": {"keep": False, "by": by}}]


MAX_LATE_MS = 10.0
FAST, SLOW = "resiliparse", "trafilatura"
EMPTY, OURS, SLOW_OURS = "ours: empty job", f"ours: {FAST}, Parquet", f"ours: {SLOW}, Parquet"
NONE, STOCK_INLINE, SLOW_INLINE = "no pipeline", f"stock, inline {FAST}", f"inline {SLOW}"
WAYS = [
    Way("stock, no pipeline", nothing, stored=False),
    Way("stock, feed jsonlines", feed({}), text=True),
    Way(STOCK_INLINE, rival({}, "Inline", FAST)),
    Way(NONE, engine, stored=False),
    Way("feed jsonlines", feed(ENGINE), text=True),
    Way(f"inline {FAST}", rival(ENGINE, "Inline", FAST)),
    Way(f"ProcessPoolExecutor, each item, {FAST}", rival(ENGINE, "PerItem", FAST, "ppe")),
    Way(f"ProcessPoolExecutor, batches, {FAST}", rival(ENGINE, "Batches", FAST, "ppe")),
    Way(f"loky, each item, {FAST}", rival(ENGINE, "PerItem", FAST, "loky")),
    Way(f"loky, batches, {FAST}", rival(ENGINE, "Batches", FAST, "loky")),
    Way(EMPTY, batches([], "memory"), stored=False),
    Way(OURS, batches(text_by(FAST), "parquet")),
    Way(SLOW_INLINE, rival(ENGINE, "Inline", SLOW), share=0.15),
    Way(f"ProcessPoolExecutor, each item, {SLOW}", rival(ENGINE, "PerItem", SLOW, "ppe"), share=0.15),
    Way(f"ProcessPoolExecutor, batches, {SLOW}", rival(ENGINE, "Batches", SLOW, "ppe"), share=0.5),
    Way(SLOW_OURS, batches(text_by(SLOW), "parquet"), share=0.5),
]
#: The bars: the ratio of the pages/s of the first to those of the second, at least, pair by pair.
BARS = [
    (EMPTY, NONE, 0.9, "spool with an empty job, to no pipeline"),
    (OURS, STOCK_INLINE, 1.5, "text extraction into Parquet, to stock settings with the work inline"),
    (SLOW_OURS, SLOW_INLINE, 4.0, "trafilatura, to inline"),
]


def stored_rows(folder: Path) -> int:
    """How many rows a run left."""
    out = folder / "out"
    if (out / FEED).exists():
        with (out / FEED).open("rb") as lines:
            return sum(1 for _ in lines)
    return sum(pq.read_metadata(path).num_rows for path in out.glob("*.parquet"))


def measure(way: Way, url: str, pages: int) -> dict[str, Any]:
    """One crawl. SystemExit if anything is missing at its end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n = max(100, round(pages * way.share))
        order = {
            "url": url,
            "pages": n,
            "served": SERVED,
            "text": way.text,
            "settings": way.settings(folder),
        }
        found = figures(start(order))
        kept = stored_rows(folder) if way.stored else n
        books = [found["stats"].get(f"batches/{name}", n) for name in ("scraped", "stored")]
        if found["pages"] != n or kept != n or books != [n, n]:
            raise SystemExit(
                f"{way.name}: {n} pages wanted, {found['pages']} came, {kept} stored, books {books}\n{found['stderr']}"
            )
        return found


def medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {
        "rate": statistics.median(run["pages"] / run["crawl_s"] for run in runs),
        "all": statistics.median(run["pages"] / run["all_s"] for run in runs),
        "cpu": statistics.median(run["cpu_us"] for run in runs),
        "p99": statistics.median(run["late_ms"][0] for run in runs),
        "own": statistics.median(run["own_ms"][0] for run in runs),
        "max": statistics.median(run["own_ms"][1] for run in runs),
        "rss": statistics.median(run["rss_mb"] for run in runs),
    }


def judged(label: str, value: float, bar: float, *, at_most: bool = False) -> str:
    """A line with its bar. ``label`` has the unit."""
    met = value <= bar if at_most else value >= bar
    return f"{'met   ' if met else 'MISSED'} {label}: {value:.2f} (bar: at {'most' if at_most else 'least'} {bar:g})"


def turns(ways: list[Way]) -> list[Way]:
    """The order to run them in: the two of each bar one after the other."""
    paired = [name for bar in BARS for name in bar[:2]]
    return sorted(ways, key=lambda way: paired.index(way.name) if way.name in paired else len(paired))


def ratio(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> float:
    """Of the pages/s, pair by pair; the median."""
    rates = [[run["pages"] / run["crawl_s"] for run in runs] for runs in (some, others)]
    return float(statistics.median(a / b for a, b in zip(*rates, strict=True)))


def crawls(pages: int, runs: int, only: str) -> list[str]:
    """The table, and the lines of the bars. Prints each run as it ends."""
    ways = [way for way in WAYS if only in way.name]
    if importlib.util.find_spec("loky") is None:
        ways = [way for way in ways if not way.name.startswith("loky")]
    taken: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with served(pieces(SERVED)) as url:
        for number in range(runs):
            for way in turns(ways)[:: -1 if number % 2 else 1]:  # there and back: what drifts, drifts for all
                found = measure(way, url, pages)
                taken[way.name].append(found)
                print(f"# {number} {way.name}: {found['pages'] / found['crawl_s']:.0f} pages/s", flush=True)
    of = {name: medians(found) for name, found in taken.items()}
    ordered = [way.name for way in ways]
    print(
        f"\n| {pages} pages, {runs} runs | pages/s | all/s | crawler CPU us/page | loop late p99 ms | held by the crawl p99, max ms | peak MB |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, m in sorted(of.items(), key=lambda one: ordered.index(one[0])):
        print(
            f"| {name} | {m['rate']:,.0f} | {m['all']:,.0f} | {m['cpu']:,.0f} | {m['p99']:.1f} | {m['own']:.1f}, {m['max']:.0f} | {m['rss']:.0f} |"
        )
    lines = [
        judged(f"{what}, pages/s", ratio(taken[a], taken[b]), bar)
        for a, b, bar, what in BARS
        if a in of and b in of
    ]
    lines += [
        judged(f"{name}, p99 of the loop's lateness, ms", of[name]["p99"], MAX_LATE_MS, at_most=True)
        for name in (EMPTY, OURS, SLOW_OURS)
        if name in of
    ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name has this word")
    parser.add_argument("--no-workers", action="store_true", help="the crawls alone")
    options = parser.parse_args()
    lines = crawls(options.pages, options.runs, options.only)
    if not options.no_workers:
        from benchmarks import batch_workers

        lines += batch_workers.judge(options.runs)
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
