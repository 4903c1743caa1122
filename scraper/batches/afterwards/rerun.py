"""I/O. Steps over raw segments that were kept, into a new place: ``scrapy batches run SEGMENTS... --out DIR``.

DIR looks like a run's folder (spool/, dead_letters.jsonl), with the records in DIR/records: status, inspect, drain, replay
and sql read it as they read a run. The segments are read where they lie. The same command goes on where it was stopped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from scraper.batches import segments, spool
from scraper.batches.afterwards import archive, standing
from scraper.batches.worker import Job, steps_of
from scraper.errors import ConfigError
from scraper.sinks import contract

RECORDS = "records"
NO_LIMIT_S = 10 * 365 * 86_400.0  # seconds: an archive takes as long as it takes
_MAX_BYTES = 0x7FFF_F000  # that one read gives; segments of a spool are far below


def segments_of(place: Path) -> list[Path]:
    """The segments that ``place`` stands for: itself, or those of a run's folder, kept ones first. ConfigError if there are
    none, or the run still writes them.
    """
    if place.is_file():
        return [place]
    kept, own = place / spool.KEPT, place / standing.SPOOL
    if pid := standing.holder(own):
        way_out = f"process {pid} still writes it: wait, or name files in {kept}"
        raise ConfigError("SEGMENTS", str(place), way_out)
    found = [path for folder in (kept, own, place) for path in sorted(folder.glob("seg-*.log"))]
    if not found:
        way_out = "holds no segments; a run keeps them with -s BATCH_KEEP_SEGMENTS=1"
        raise ConfigError("SEGMENTS", str(place), way_out if place.exists() else "does not exist")
    return found


def prepare(
    out: Path,
    files: Iterable[Path],
    steps: list[Any] | None,
    sink: Any,
    default: tuple[list[Any], Any],
    options: Mapping[str, Any],
) -> Job:
    """Write down what is to be done in ``out``, or find it there. ``steps`` and ``sink`` None: ``default``, or what it was begun
    with. ``options``: those of `drain.OPTIONS` that differ from the default.

    ConfigError if a file is no segment, or ``out`` was begun with something else.
    """
    listed = list(dict.fromkeys(path.resolve() for path in files))
    folder = out / standing.SPOOL
    if (folder / "spool.json").exists():
        known = archive.files_of(folder)
        job = msgspec.convert(spool.about(folder)["job"], Job)
        for name, given, there in (
            ("SEGMENTS", listed, known),
            ("--steps", steps, job.steps),
            ("--sink", sink, job.sink),
        ):
            if given is not None and given != there:
                shown = [str(path) for path in given] if name == "SEGMENTS" else given
                raise ConfigError(name, shown, f"{out} was begun with others: name another folder with --out")
        return job
    for path in listed:
        _check(path)
    job = Job(
        default[0] if steps is None else steps, default[1] if sink is None else sink, str((out / RECORDS).absolute())
    )  # fmt: skip
    steps_of(job)  # what is wrong with them, a password too, is said before anything is written down
    contract.load(job.sink, job.out_dir, os.environ)
    archive.describe(folder, listed, {"job": msgspec.to_builtins(job), "options": dict(options)})
    return job


def _check(path: Path) -> None:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(1 << 20)
    except OSError as error:
        raise ConfigError("SEGMENTS", str(path), f"cannot be read: {error.strerror}") from error
    if segments.MAGIC not in head and head.strip(b"\0"):
        raise ConfigError("SEGMENTS", str(path), "is no segment of a spool (seg-*.log)")
    if size > _MAX_BYTES:
        raise ConfigError(
            "SEGMENTS", str(path), f"is larger than {_MAX_BYTES >> 20} MB: no segment of a spool"
        )
