"""I/O. A machine that works for crawls on others, and whether it may and can do what one of them wants."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scraper.batches import steps, worker
from scraper.batches.elsewhere.redis_log import Errand
from scraper.sinks import contract


@dataclass(frozen=True, slots=True)
class Machine:
    """``name``: of the machine, in the crawl's books; ``consumer``: of the process, in Redis. ``takeover_s``: a batch that was
    not renewed for so long is another's. ``drain_s``: the most that leaving waits for what is in hand. ``allowed``: packages
    whose steps and sinks may be run, besides ours: whoever writes to that Redis chooses them.
    """

    name: str
    consumer: str
    folder: Path
    workers: int
    takeover_s: float = 30.0
    drain_s: float = 60.0
    max_bytes: int = 1 << 30
    allowed: tuple[str, ...] = ()


class Unable(Exception):
    """This machine must not or cannot do the errand; the text says why."""


def check(errand: Errand, machine: Machine) -> None:
    """Unable if a step or the sink is not allowed or does not load here, or the folder for the records is not the crawl's."""
    job = errand.job
    _check_allowed(job.steps, steps.KNOWN, machine)
    _check_allowed(job.sink if isinstance(job.sink, list) else [job.sink], contract.KNOWN, machine)
    check_folder(errand, machine)
    try:
        preloads(job)
    except Exception as error:
        raise Unable(str(error)) from error


def check_folder(errand: Errand, machine: Machine) -> None:
    """Unable if the records would end on this machine's own disk, where nobody looks for them."""
    for mark in map(Path, errand.marks):
        if not mark.exists():
            raise Unable(f"{mark.parent} is not the folder here that the crawl writes to: share it")


def preloads(job: worker.Job) -> tuple[str, ...]:
    """What workers need of libraries. Whatever is wrong with the steps or the sink is raised."""
    sink = contract.load(job.sink, job.out_dir, os.environ)
    return (*sink.preload, *steps.preloads(worker.steps_of(job)))


def _check_allowed(specs: list[Any], known: Mapping[str, str], machine: Machine) -> None:
    for spec in specs:
        name = next(iter(spec)) if isinstance(spec, dict) else str(spec)
        if name not in known and not any(f"{name}.".startswith(f"{one}.") for one in machine.allowed):
            package = name.partition(".")[0]
            raise Unable(f"{name} may not be run here: start `work` with --allow {package}, if you trust it")
