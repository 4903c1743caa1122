"""I/O. Deliver what a run left in its spool: ``python -m scraper.batches.drain RUN_DIR``.

For runs that were killed or could not store. Uses the steps, the sink and the folder that the run had.
Exit code 0: everything is in the store; 1: it is not, the reason is printed; 2: there is nothing to deliver
from, or somebody else is at it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

import msgspec

from scraper.batches import spool
from scraper.batches.batcher import Limits
from scraper.batches.delivery import Delivery, Options
from scraper.batches.worker import Job
from scraper.errors import ConfigError, SinkError


async def drain(run_dir: Path, *, workers: int, timeout_s: float) -> tuple[Counter[str], str]:
    """Deliver the spool of ``run_dir``; return the counts by stats key, and why it failed, or ""."""
    job = msgspec.convert(spool.about(run_dir / "spool")["job"], Job)
    counts: Counter[str] = Counter()
    options = Options(run_dir, job, workers, Limits(100, 1 << 20, 0.5), 0, timeout_s)
    delivery = Delivery(options, lambda name, by: counts.update({name: by}), lambda why: None)
    await delivery.open()
    await delivery.close()
    return counts, delivery.failure or delivery.finish_failure


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scraper.batches.drain", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument(
        "run_dir", type=Path, help="folder of the run, e.g. data/runs/shop-20260102T030405Z-1a2b"
    )
    parser.add_argument(
        "--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="default: cores - 1"
    )
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds, default 3600")
    given = parser.parse_args(arguments)
    try:
        counts, failure = asyncio.run(
            drain(given.run_dir.absolute(), workers=given.workers, timeout_s=given.timeout)
        )
    except (ConfigError, SinkError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    found, stored, dead = (counts[f"batches/{name}"] for name in ("recovered", "stored", "dead_letter"))
    dropped = counts["batches/dropped"] + counts["batches/duplicate"]
    sys.stdout.write(f"{found} items in the spool: {stored} stored, {dead} dead letters, {dropped} dropped\n")
    if failure:
        sys.stderr.write(f"{failure}\n")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
