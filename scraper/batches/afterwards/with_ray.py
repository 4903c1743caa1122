"""I/O. The work of rerun.py on a Ray cluster: ``scrapy batches run ... --ray``, a task for each batch or, of
very many, for some.

Ray Data moves positions, not data: every machine of the cluster must see the segments and the records' place under the same
path. The ledger is kept here, so it is resumable as without Ray, and a task that Ray repeats stores nothing twice. Ray
repeats a task whose worker died and does not say which item killed it: such a batch makes the whole fail, and
without ``--ray`` the item is found and put aside.
"""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from scraper.batches import segments, spool, steps, wire
from scraper.batches.afterwards import archive, standing
from scraper.batches.dead_letters import DeadLetters
from scraper.batches.worker import Job, Runner, steps_of
from scraper.errors import ConfigError
from scraper.sinks import contract

RETRIES = 2  # of a task whose worker died
MAX_TASKS = (
    1000  # above, a task does several batches: Ray takes some milliseconds and a kB of memory for each
)


class _Task:
    """What runs in Ray's workers: a Runner, kept from batch to batch."""

    def __init__(self, job: bytes) -> None:
        self._runner = Runner(msgspec.json.decode(job, type=Job))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        order = wire.decode_to_worker(row["order"])
        assert isinstance(order, wire.Order)
        answer = self._runner.deliver(order, lambda index: None)
        return {"number": row["number"], "answer": msgspec.msgpack.encode(answer)}


def run(out: Path, *, workers: int) -> tuple[Counter[str], str]:
    """Do what is written down in ``out``; the counts by stats key, and why it failed, or "". ConfigError if Ray is missing."""
    if importlib.util.find_spec("ray") is None:
        raise ConfigError("--ray", None, 'needs Ray Data: pip install "scraper[ray]"')
    import ray
    import ray.data
    from ray.exceptions import RayError

    folder = out / standing.SPOOL
    job = msgspec.convert({**spool.about(folder)["job"], "run_dir": str(out)}, Job)
    loaded = steps_of(job)
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    machines = sum(node["Alive"] for node in ray.nodes())
    for one in loaded:
        if machines > 1 and isinstance(one.step, steps.BatchStep):
            way_out = f"keeps its index on one machine, and Ray has {machines}: leave it out, or --ray"
            raise ConfigError("--steps", one.name, way_out)
        one.step.prepare()
    contract.load(job.sink, job.out_dir, os.environ).prepare()
    log = archive.Archive(folder)
    counts: Counter[str] = Counter()
    try:
        batches = [batch for batch in log.recovered if batch.n > len(batch.skip)]
        counts["batches/recovered"] = sum(batch.n for batch in batches)
        if batches:
            orders = [
                wire.Order(1, batch.id, batch.path, batch.start, batch.end, batch.n, batch.skip)
                for batch in batches
            ]
            rows = [{"number": n, "order": msgspec.msgpack.encode(order)} for n, order in enumerate(orders)]
            answers = ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_TASKS)).map(
                _Task, fn_constructor_args=(msgspec.json.encode(job),), concurrency=workers,
                num_cpus=1, max_restarts=RETRIES, max_task_retries=RETRIES,
            )  # fmt: skip
            letters = DeadLetters(out)
            for row in answers.iter_rows():
                answer = wire.decode_from_worker(row["answer"])
                if isinstance(answer, wire.Failed):
                    return counts, answer.cause
                assert isinstance(answer, wire.Ack)
                _settle(log, batches[row["number"]], answer, letters, counts)
        return counts, Runner(job).finish() or ""
    except RayError as error:
        why = " ".join(str(error).split())[:500]
        return (
            counts,
            f"Ray gave up on a batch: {why}; without --ray the item that kills workers is put aside",
        )
    finally:
        log.close()


def _settle(
    log: archive.Archive, batch: Any, ack: wire.Ack, letters: DeadLetters, counts: Counter[str]
) -> None:
    if ack.dead:
        payloads = segments.read_batch(batch.path, batch.start, batch.end, batch.n)
        for dead in ack.dead:
            letters.add(
                f"{batch.id}-{dead.index}", dead.step, dead.reason, None, dead.traceback, payloads[dead.index]
            )
    log.settle(batch)
    counts["batches/stored"] += ack.stored
    counts["batches/dead_letter"] += len(ack.dead)
    for reason, n in ack.dropped.items():
        counts["batches/duplicate" if reason == steps.DUPLICATE else "batches/dropped"] += n
