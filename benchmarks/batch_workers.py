"""What an item costs the crawl's process, what a second worker brings, and how soon a killed worker is replaced.

    python -m benchmarks.batch_workers [--runs 3] [--items 20000]

Without Scrapy: a Delivery on its loop. Pages of 10 kB of benchmarks/pages.py, each run in a process of its own.

- CPU of the crawler: making a row of an item, encoding it, and put() into the spool, with all that follows (acknowledgements, books, syncs),
  while a worker does an empty job; CPU of the whole process, less that of a loop that only makes the items.
- One worker and two: items/s from the first put() until the last is stored, in turns. Work is the main text of the page.
- SIGKILL of the one worker, busy with batches of 10, until the first batch of its replacement is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.batch_crawl import ROOT, Gaps
from benchmarks.batches import judged, text_by
from benchmarks.pages import pieces
from scraper.batches import encode
from scraper.batches.assembly import Options
from scraper.batches.batcher import Limits
from scraper.batches.delivery import Delivery
from scraper.batches.worker import Job

MAX_CPU_US, MIN_SCALING, MAX_RESTART_MS = 14.0, 1.7, 100.0
KILLS = 20


def options_for(
    folder: Path, steps: list[Any], sink: Any, workers: int, *, items: int = 100, backlog: int = 64 << 20
) -> Options:
    job = Job(steps, sink, str(folder / "out"))
    return Options(folder / "run", job, workers, Limits(items, 1 << 20, 0.5), backlog, 600.0)


def item_of(n: int, body: bytes) -> dict[str, Any]:
    """An item as a spider's."""
    return {"page": f"https://docs.example/{n}", "n": n, "status": 200, "body": body}


def encoded(item: dict[str, Any]) -> bytes:
    """As the pipeline does it."""
    key = f"benchmark-20260102T030405Z-1a2b/{item['n']:040x}/0"
    return encode.encode(encode.row_of(item, key=key, url=item["page"], scraped_at=datetime.now(UTC)))


class Watched(Delivery):
    """Calls ``seen`` after each batch that is stored."""

    seen: Any = None

    def acked(self, batch: Any, ack: Any) -> None:
        super().acked(batch, ack)
        if self.seen:
            self.seen()


async def put_cost(folder: Path, items: int) -> dict[str, float]:
    """Microseconds of CPU an item, by part."""
    bodies = pieces(2_000)
    counts: dict[str, float] = {}

    def count(name: str, by: float) -> None:
        counts[name] = counts.get(name, 0) + by

    delivery = Delivery(options_for(folder, [], "memory", 1), count, lambda why: None)

    async def loop_alone() -> float:
        began_s = time.process_time()
        for n in range(items):
            item_of(n, bodies[n % len(bodies)])
            if n % 10 == 0:  # as many turns of the loop as a crawl would have at least
                await asyncio.sleep(0)
        return time.process_time() - began_s

    await delivery.open()
    empty_s = await loop_alone()
    began_s = time.process_time()
    for n in range(items):
        encoded(item_of(n, bodies[n % len(bodies)]))
    encoded_s = time.process_time() - began_s
    gaps = Gaps()
    began_s = time.process_time()
    for n in range(items):
        await delivery.put(encoded(item_of(n, bodies[n % len(bodies)])))
        if n % 10 == 0:
            await asyncio.sleep(0)
    while delivery.unfinished:
        await asyncio.sleep(0.001)
    all_s = time.process_time() - began_s - empty_s
    gaps.stop()
    await delivery.close()
    if counts["batches/stored"] != items:
        raise SystemExit(f"{items} items in, {counts}")
    per = 1e6 / items
    return {
        "encode_us": (encoded_s - empty_s) * per,
        "all_us": all_s * per,
        "gap_p99_ms": gaps.p(0.99),
        "gap_max_ms": gaps.p(1, own=True),
    }


async def rate(folder: Path, steps: list[Any], sink: str, workers: int, items: int) -> dict[str, float]:
    """Items a second through ``workers``, from the first put() to the last acknowledgement."""
    payloads = [encoded(item_of(n, body)) for n, body in enumerate(pieces(items))]
    done = asyncio.Event()
    delivery = Watched(options_for(folder, steps, sink, workers), lambda name, by: None, lambda why: None)
    await delivery.open()
    while not delivery._pool.idle:  # until they have loaded what they need
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    delivery.seen = lambda: done.set() if not delivery.unfinished else None
    began_s = time.perf_counter()
    for payload in payloads:
        await delivery.put(payload)
    while delivery.unfinished:
        done.clear()
        await done.wait()
    spent_s = time.perf_counter() - began_s
    await delivery.close()
    if delivery.failure:
        raise SystemExit(delivery.failure)
    return {"rate": len(payloads) / spent_s}


async def restarts(folder: Path, kills: int) -> dict[str, Any]:
    """Milliseconds from SIGKILL to the replacement's first stored batch."""
    payloads = [encoded(item_of(n, body)) for n, body in enumerate(pieces(500))]
    times: list[float] = []
    options = options_for(folder, text_by("resiliparse"), "parquet", 1, items=10, backlog=8 << 20)
    delivery = Watched(options, lambda name, by: None, lambda why: None)
    await delivery.open()
    pool: Any = delivery._pool
    victim, killed_s, last_s = 0, 0.0, time.monotonic()

    def seen() -> None:
        nonlocal victim, killed_s, last_s
        now_s = time.monotonic()
        if victim and victim not in pool.pids:  # the first word of another one
            times.append(1000 * (now_s - killed_s))
            victim, last_s = 0, now_s

    delivery.seen = seen
    n = 0
    while len(times) < kills:
        await delivery.put(payloads[n % len(payloads)])
        n += 1
        await asyncio.sleep(0)
        if not victim and time.monotonic() - last_s > 0.3 + 0.037 * (len(times) % 7):
            victim, killed_s = pool.pids[0], time.monotonic()
            os.kill(victim, signal.SIGKILL)
    await delivery.close()
    if delivery.failure:
        raise SystemExit(delivery.failure)
    return {"ms": times}


def child(order: dict[str, Any]) -> dict[str, Any]:
    """Run one of the three in a process of its own; what it returned."""
    with tempfile.TemporaryDirectory() as name:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.batch_workers", "--child", json.dumps({**order, "folder": name})],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{order} failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def judge(runs: int, items: int = 20_000) -> list[str]:
    """Measure all of it; print the figures, return the lines of the bars."""
    puts = [child({"what": "put", "items": items}) for _ in range(runs)]
    put = {name: statistics.median(run[name] for run in puts) for name in puts[0]}
    print(
        f"\ncrawler's CPU an item of 10 kB: {put['all_us']:.1f} us, of it row and encoding {put['encode_us']:.1f} us; "
        f"loop late p99 {put['gap_p99_ms']:.1f} ms, held by itself at most {put['gap_max_ms']:.1f} ms"
    )
    lines = [judged("crawler's CPU an item of 10 kB, us", put["all_us"], MAX_CPU_US, at_most=True)]
    for by, sink, n in (
        ("resiliparse", "memory", 4_000),
        ("resiliparse", "parquet", 4_000),
        ("trafilatura", "parquet", 1_600),
    ):
        orders = [
            {"what": "rate", "by": by, "sink": sink, "items": n, "workers": workers} for workers in (1, 2)
        ]
        pairs = [[child(order)["rate"] for order in orders] for _ in range(runs)]
        one, two = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
        print(f"{by} into {sink}: one worker {one:,.0f} items/s, two {two:,.0f}, {ratio:.2f} x pair by pair")
        lines.append(judged(f"two workers to one, {by} into {sink}", ratio, MIN_SCALING))
    times = child({"what": "restarts", "kills": KILLS})["ms"]
    print(
        f"kill to the replacement's first batch, {KILLS} kills: {statistics.median(times):.0f} ms, worst {max(times):.0f} ms"
    )
    lines.append(
        judged("kill to first result, median, ms", statistics.median(times), MAX_RESTART_MS, at_most=True)
    )
    lines.append(judged("kill to first result, worst, ms", max(times), MAX_RESTART_MS, at_most=True))
    return lines


def run_child(order: dict[str, Any]) -> dict[str, Any]:
    folder = Path(order["folder"])
    if order["what"] == "put":
        return asyncio.run(put_cost(folder, order["items"]))
    if order["what"] == "rate":
        steps = text_by(order["by"])
        return asyncio.run(rate(folder, steps, order["sink"], order["workers"], order["items"]))
    return asyncio.run(restarts(folder, order["kills"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--items", type=int, default=20_000, help="for the crawler's CPU")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(run_child(json.loads(options.child))))
    else:
        print("\n" + "\n".join(judge(options.runs, options.items)))


if __name__ == "__main__":
    main()
