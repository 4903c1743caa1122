"""I/O. What a delivery is made of: its options, its steps and store made ready, its spool, its workers."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from scraper.batches import steps, worker
from scraper.batches.batcher import Limits
from scraper.batches.inline import InlinePool
from scraper.batches.pool import Events, Pool
from scraper.batches.spool import Spool
from scraper.errors import SinkError
from scraper.sinks import contract

if TYPE_CHECKING:
    from scraper.batches.elsewhere.remote import RemotePool

ACKS = ("spool", "fsync", "commit")


@dataclass(frozen=True, slots=True)
class Options:
    """``workers`` 0 = inline, in a thread. ``backlog_bytes`` may wait on disk before `put` waits. ``ack``: when `put` returns
    (docs/batches.md). ``sync_s``: seconds between two syncs of the spool, 0 for none. ``outage_s``: how long a store or disk
    that takes nothing is tried again; once the crawl is stopping only for ``drain_timeout_s``. ``elsewhere``: BATCH_LOG, where
    workers of other machines get the batches; "": workers of this one.
    """

    run_dir: Path
    job: worker.Job
    workers: int
    limits: Limits
    backlog_bytes: int
    drain_timeout_s: float
    item_deadline_s: float = 30.0
    ack: str = "spool"
    sync_s: float = 0.5
    outage_s: float = 900.0
    worker_bytes: int = 1 << 30
    keep_segments: bool = False
    elsewhere: str = ""

    @property
    def sync_every_s(self) -> float | None:
        """Seconds from a write to its sync; None: none is made."""
        return 0.0 if self.ack == "fsync" else self.sync_s or None


def prepared(options: Options) -> tuple[worker.Job, tuple[str, ...]]:
    """The job, its steps and its store made ready; the modules that workers need. ConfigError, or SinkError if the store is not
    ready.
    """
    job = dataclasses.replace(options.job, run_dir=str(options.run_dir))
    loaded = worker.steps_of(job)
    for one in loaded:
        one.step.prepare()
    sink = contract.load(job.sink, job.out_dir, os.environ)
    try:
        sink.prepare()
    except OSError as error:
        raise SinkError(sink.name, "(none yet)", f"{job.out_dir}: {error}") from error
    finally:
        sink.close()
    return job, (*sink.preload, *steps.preloads(loaded))


def spool_of(options: Options) -> Spool:
    """The run's spool. What somebody who delivers the rest of it must know stands in it."""
    kept = {name: getattr(options, name) for name in ("item_deadline_s", "worker_bytes", "keep_segments")}
    about = {"job": msgspec.to_builtins(options.job), "options": kept}
    syncs = options.sync_every_s is not None
    return Spool(options.run_dir / "spool", about, sync=syncs, keep=options.keep_segments)


def pool_of(
    loop: asyncio.AbstractEventLoop, job: worker.Job, options: Options, folder: Path, events: Events,
    preload: tuple[str, ...],
) -> Pool | InlinePool | RemotePool:  # fmt: skip
    """Workers elsewhere, here, or none at all; not started. ``folder``: the spool's."""
    if options.elsewhere:
        from scraper.batches.elsewhere.remote import RemotePool  # its library is an extra

        return RemotePool(
            loop, job, options.elsewhere, folder, events, options.item_deadline_s, options.outage_s
        )
    if options.workers:
        return Pool(
            loop, job, options.workers, folder, events, preload, options.item_deadline_s, options.worker_bytes
        )
    return InlinePool(loop, job, events)
