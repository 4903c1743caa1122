"""A million items of 2 kB through the whole way, with the memory of the crawler and its workers watched each second.

    python -m benchmarks.million [--items 1000000] [--crawled 100000] [--backlog-mb 80]

Encoded, spooled, `clean` and `content_hash` in one worker, durable Parquet, merged at the end; then the result is opened by pyarrow, duckdb, pandas
and polars, which must all find every item once. First by a Delivery alone, then (fewer) by a crawl. Then a worker is stopped (SIGSTOP)
while 80 MB of items come in: what does such a backlog cost the crawler? Bars: memory grows by 10 MB at most once a fifth of the items is
through; the backlog costs 10 MB at most; row groups of 10,000 rows at least, but for the last of a file.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.batch_crawl import ROOT, figures, ours, start
from benchmarks.batch_workers import encoded, options_for
from benchmarks.batches import judged
from benchmarks.memory import MB, Sampler, flatness, rss
from benchmarks.pages import pieces, served, texts
from scraper.batches.delivery import Delivery

MAX_GROWTH_MB, MAX_BACKLOG_MB, MIN_GROUP_ROWS = 10.0, 10.0, 10_000
STEPS = ["clean", "content_hash"]
TEXT = 1_750  # characters: 2 kB as an item


class Items:
    """``of(n)``: about 2 kB, no two alike, none kept."""

    def __init__(self) -> None:
        self._texts = texts(TEXT)

    def of(self, n: int) -> bytes:
        text = self._texts[n % len(self._texts)]
        at = n // len(self._texts) % TEXT
        fields = {"sku": f"{n:08}", "price": n % 1000 / 10, "currency": "EUR", "in_stock": n % 3 > 0}
        page = f"https://shop.example/p/{n}"
        return encoded({"page": page, "n": n, **fields, "text": f"{n} {text[at:]}{text[:at]}"})


class Counted:
    """A Delivery and its counts."""

    def __init__(self, folder: Path, *, backlog: int, steps: list[Any], sink: str) -> None:
        self.counts: dict[str, float] = {}
        self.delivery = Delivery(
            options_for(folder, steps, sink, 1, backlog=backlog), self._count, lambda why: None
        )

    def of(self, name: str) -> int:
        return int(self.counts.get(f"batches/{name}", 0))

    def _count(self, name: str, by: float) -> None:
        self.counts[name] = self.counts.get(name, 0) + by


async def through(folder: Path, items: int, every_s: float = 1.0) -> dict[str, Any]:
    """Deliver ``items``; seconds, samples of memory, and the worker's peak while it merged."""
    made = Items()
    run = Counted(folder, backlog=64 << 20, steps=STEPS, sink="parquet")
    await run.delivery.open()
    sampler = Sampler(lambda: run.of("stored"), every_s)
    began_s = time.perf_counter()
    for n in range(items):
        await run.delivery.put(made.of(n))
        if n % 10 == 0:
            await asyncio.sleep(0)
    while run.delivery.unfinished and not run.delivery.failure:
        await asyncio.sleep(0.01)
    sampler.take()
    stored_s, watched = time.perf_counter() - began_s, len(sampler.samples)
    await run.delivery.close()
    sampler.stop()
    if run.delivery.failure or run.of("stored") != items:
        raise SystemExit(f"{items} items in, {run.counts}: {run.delivery.failure}")
    merging = max((sample[2] for sample in sampler.samples[watched:]), default=0) / MB
    return {
        "stored_s": stored_s,
        "all_s": time.perf_counter() - began_s,
        "samples": sampler.samples[:watched],
        "merge_mb": merging,
    }


async def backlog(folder: Path, size_mb: int) -> dict[str, Any]:
    """MB of this process before and after ``size_mb`` of items came in that nobody takes."""
    made = Items()
    run = Counted(folder, backlog=2 * size_mb * MB, steps=[], sink="memory")
    await run.delivery.open()
    pool: Any = run.delivery._pool
    n = 0
    while n < 5_000 or run.delivery.unfinished:  # to warm up, and until there is nothing left
        if n < 5_000:
            await run.delivery.put(made.of(n))
            n += 1
        await asyncio.sleep(0 if n % 10 else 0.001)
    gc.collect()
    before = rss(os.getpid())
    for pid in pool.pids:
        os.kill(pid, signal.SIGSTOP)
    while run.delivery.backlog < size_mb * MB:
        await run.delivery.put(made.of(n))
        n += 1
        if n % 10 == 0:
            await asyncio.sleep(0)
    waiting, after = run.delivery.backlog / MB, rss(os.getpid())
    for pid in pool.pids:
        os.kill(pid, signal.SIGCONT)
    await run.delivery.close()
    if run.of("stored") != n:
        raise SystemExit(f"{n} items in, {run.counts}: {run.delivery.failure}")
    return {"backlog_mb": waiting, "cost_mb": (after - before) / MB}


def read_by_all(folder: Path, items: int) -> dict[str, Any]:
    """What four engines find in the folder, opened with no option; SystemExit if one of them misses or doubles an item."""
    import duckdb
    import pandas
    import polars
    import pyarrow.dataset
    import pyarrow.parquet as pq

    wanted = (items, items * (items - 1) // 2, items)
    numbers = pyarrow.dataset.dataset(folder).to_table(columns=["n"])["n"].to_numpy()
    frame = pandas.read_parquet(folder, columns=["n"])["n"]
    lazy = polars.scan_parquet(folder).select(
        rows=polars.len(), whole=polars.col("n").sum(), distinct=polars.col("n").n_unique()
    )
    query = f"select count(*), sum(n), count(distinct n) from read_parquet('{folder}/*.parquet')"
    found = {
        "pyarrow": (len(numbers), int(numbers.sum()), len(set(numbers.tolist()))),
        "duckdb": duckdb.connect().execute(query).fetchall()[0],
        "pandas": (len(frame), int(frame.sum()), int(frame.nunique())),
        "polars": lazy.collect().row(0),
    }
    if wrong := {name: rows for name, rows in found.items() if rows != wanted}:
        raise SystemExit(f"rows, sum and distinct should be {wanted}: {wrong}")
    files = [pq.ParquetFile(path) for path in sorted(folder.glob("*.parquet"))]
    groups = [[file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)] for file in files]
    sizes = [path.stat().st_size / MB for path in folder.glob("*.parquet")]
    inner = [rows for one in groups for rows in one[:-1]] or [rows for one in groups for rows in one]
    return {
        "files_mb": sizes,
        "groups": sum(map(len, groups)),
        "least": min(inner),
        "most": max(map(max, groups)),
    }


def child(order: dict[str, Any]) -> dict[str, Any]:
    """Run one part in a process of its own, whose memory nobody else has used."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.million", "--child", json.dumps(order)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{order} failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def crawled(folder: Path, items: int) -> dict[str, Any]:
    """The same by a crawl: ten items of 2 kB of each page."""
    pages = pieces(1_000)
    with served(pages) as url:
        settings = ours(folder, BATCH_STEPS=STEPS, SINK="parquet", BATCH_WORKERS=1)
        order = {"url": url, "pages": items // 10, "served": len(pages), "items": 10, "size": 1_900}
        found = figures(start({**order, "sample": True, "settings": settings}))
    if found["stats"]["batches/stored"] != items:
        raise SystemExit(f"{items} items wanted, {found['stats']}")
    return found


def shown(label: str, samples: list[Any]) -> list[str]:
    """Print what memory did; the lines of its bars."""
    lines = []
    for who, m in flatness(samples).items():
        print(
            f"{label}, {who}: {m['warm_mb']:.0f} MB warm, {m['max_mb']:.0f} MB at most since, {m['slope_mb']:+.2f} MB per 100,000 items"
        )
        grown = m["max_mb"] - m["warm_mb"]
        lines.append(judged(f"{label}, {who}, MB grown since warm", grown, MAX_GROWTH_MB, at_most=True))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--crawled", type=int, default=100_000, help="items of the crawl; 0: none")
    parser.add_argument("--backlog-mb", type=int, default=80)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        order = json.loads(options.child)
        folder = Path(order["folder"])
        if order["what"] == "through":
            part = through(folder, order["n"], order.get("every_s", 1.0))
        else:
            part = backlog(folder, order["n"])
        print(json.dumps(asyncio.run(part)))
        return
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = child({"what": "through", "folder": str(folder / "direct"), "n": options.items})
        print(
            f"{options.items:,} items of 2 kB in {whole['stored_s']:.0f} s ({options.items / whole['stored_s']:,.0f}/s), "
            f"merged after {whole['all_s'] - whole['stored_s']:.0f} s more, by {whole['merge_mb']:.0f} MB"
        )
        lines += shown("direct", whole["samples"])
        read = read_by_all(folder / "direct" / "out", options.items)
        print(
            f"pyarrow, duckdb, pandas and polars find every item once: {len(read['files_mb'])} files of {min(read['files_mb']):.0f} to "
            f"{max(read['files_mb']):.0f} MB, {read['groups']} row groups of {read['least']:,} to {read['most']:,} rows"
        )
        lines.append(judged("rows of the least row group", read["least"], min(MIN_GROUP_ROWS, options.items)))
        if options.crawled:
            found = crawled(folder / "crawl", options.crawled)
            rate = options.crawled / found["crawl_s"]
            print(f"crawl of {options.crawled:,} items: {rate:,.0f} items/s, {rate / 10:,.0f} pages/s")
            lines += shown("crawl", found["samples"])
        cost = child({"what": "backlog", "folder": str(folder / "backlog"), "n": options.backlog_mb})
        print(f"a backlog of {cost['backlog_mb']:.0f} MB costs the crawler {cost['cost_mb']:.1f} MB")
        lines.append(judged("backlog, MB of the crawler", cost["cost_mb"], MAX_BACKLOG_MB, at_most=True))
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
