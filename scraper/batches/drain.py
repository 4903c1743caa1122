"""I/O. Deliver what a run left: ``scrapy batches drain RUN``, or ``python -m scraper.batches.drain RUN_DIR`` without Scrapy.

For runs that were killed or could not store. Uses the steps, the sink and the folder that the run had, and completes its
replays. Exit code 0: everything is in the store; 1: it is not, or dead letters came of it; 2: there is nothing to deliver
from, or somebody else is at it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from scraper.batches import left, spool
from scraper.batches.afterwards import archive, standing, wording
from scraper.batches.assembly import Options
from scraper.batches.delivery import Delivery
from scraper.batches.log import Log
from scraper.batches.worker import Job
from scraper.errors import ConfigError, SinkError

WORKERS = max(1, (os.cpu_count() or 2) - 1)
TIMEOUT_S = 3600.0
OPTIONS = ("item_deadline_s", "worker_bytes", "keep_segments")  # of the crawl, that spool.json holds
STOPPED = 130  # exit code after Ctrl-C, as a shell has it


async def drain(run_dir: Path, *, workers: int, timeout_s: float) -> tuple[Counter[str], str]:
    """Deliver the spool of ``run_dir``, then its replays that did not end; return the counts by stats key, and why it
    failed, or "".
    """
    folder = run_dir / standing.SPOOL
    about = spool.about(folder)
    counts, failure = await delivered(
        run_dir, about, archive.Archive(folder) if archive.files_of(folder) else None, workers, timeout_s
    )
    for round_dir in standing.rounds(run_dir):
        if not failure and standing.waiting(round_dir):
            more, failure = await replayed(run_dir, round_dir, workers=workers, timeout_s=timeout_s)
            counts.update(more)
    return counts, failure


async def replayed(
    run_dir: Path, round_dir: Path, *, workers: int, timeout_s: float
) -> tuple[Counter[str], str]:
    """Deliver the round of a replay. ConfigError if the run, or the round, is being delivered by somebody else."""
    with alone(run_dir):
        about = spool.about(round_dir)
        log = spool.Spool(round_dir, about, sync=True)
        return await delivered(run_dir, about, log, workers, timeout_s)


async def delivered(
    run_dir: Path, about: dict[str, Any], log: Log | None, workers: int, timeout_s: float
) -> tuple[Counter[str], str]:
    """Deliver ``log`` (None: the run's spool) as ``about`` (spool.json) says; the counts, and why it failed, or ""."""
    counts: Counter[str] = Counter()
    job = msgspec.convert(about["job"], Job)
    kept = {name: value for name, value in about.get("options", {}).items() if name in OPTIONS}
    options = Options(run_dir, job, workers, left.LIMITS, 0, timeout_s, **kept)
    delivery = Delivery(
        options, lambda name, by: counts.update({name: by}), lambda why: None, notice=_say, log=log
    )
    await delivery.open()  # it closes the log if that fails
    await delivery.close()
    return counts, delivery.failure or delivery.finish_failure


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


@contextlib.contextmanager
def alone(run_dir: Path) -> Iterator[None]:
    """Hold the lock of the run's spool: two that merge the same records at once would spoil them. ConfigError if it is held."""
    folder = run_dir / standing.SPOOL
    spool.about(folder)
    if pid := standing.holder(folder):
        raise in_use(run_dir, pid)
    lock = spool.locked(folder)
    try:
        yield
    finally:
        os.close(lock)


def in_use(run_dir: Path, pid: int) -> ConfigError:
    """What to say where process ``pid`` is at it."""
    return ConfigError("RUN", run_dir.name, f"process {pid} is delivering it: wait until it has ended")


def told(counts: Counter[str], found: str = "in the spool") -> str:
    """One line on what became of it."""
    n, stored, dead = (counts[f"batches/{name}"] for name in ("recovered", "stored", "dead_letter"))
    dropped = counts["batches/dropped"] + counts["batches/duplicate"]
    items, letters = wording.count(n, "item"), wording.count(dead, "dead letter")
    return f"{items} {found}: {stored:,} stored, {letters}, {dropped:,} dropped"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scraper.batches.drain", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument(
        "run_dir", type=Path, help="folder of the run, e.g. data/runs/shop-20260102T030405Z-1a2b"
    )
    parser.add_argument("--workers", type=int, default=WORKERS, help="default: cores - 1")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, help="seconds, default 3600")
    given = parser.parse_args(arguments)
    run_dir = given.run_dir.absolute()
    try:
        if pid := standing.holder(run_dir / standing.SPOOL):
            raise in_use(run_dir, pid)
        counts, failure = asyncio.run(drain(run_dir, workers=given.workers, timeout_s=given.timeout))
    except (ConfigError, SinkError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped; what is not delivered stays in the spool, the same command goes on\n")
        return STOPPED
    sys.stdout.write(f"{told(counts)}\n")
    if failure:
        sys.stderr.write(f"{failure}\n")
    return 1 if failure or counts["batches/dead_letter"] else 0


if __name__ == "__main__":
    sys.exit(main())
