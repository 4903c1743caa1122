"""I/O. Dead letters go through the steps and into the sink again, after what was wrong was put right.

A round of letters is copied into a spool of its own in a folder aside, with the ids of the letters; one rename makes it
count. From then on no later round takes these letters, and the round is delivered as any spool is: once, whatever is
killed. What fails again becomes a dead letter anew, with an id of its own.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from scraper.batches import dead_letters, ledger, spool
from scraper.batches.afterwards import standing
from scraper.batches.drain import alone
from scraper.batches.worker import Job, steps_of
from scraper.errors import ConfigError
from scraper.sinks import contract

_LETTERS_PER_CUT = 100  # a segment ends with a cut: so none grows far above 64 MB


@dataclass(frozen=True, slots=True)
class Chosen:
    """``ids`` of letters to replay; how many of the others ``lack`` a payload, by step."""

    ids: list[str]
    lack: dict[str, int]


def choose(run_dir: Path, *, step: str = "", id: str = "") -> Chosen:
    """The letters of ``run_dir`` that ``step`` (whole) and ``id`` (whole, or how it begins) name, all by default.

    ConfigError if there are letters and none of that name.
    """
    open_letters = list(map(_Brief.of, standing.letters(run_dir)))
    steps = sorted({letter.step for letter in open_letters})
    if open_letters and step and step not in steps:
        raise ConfigError("--step", step, f"no dead letter is of it; there are those of {', '.join(steps)}")
    wanted = [letter for letter in open_letters if step in ("", letter.step) and letter.id.startswith(id)]
    if open_letters and id and not wanted:
        raise ConfigError("--id", id, "no dead letter begins so; see scrapy batches inspect --letters")
    lack: dict[str, int] = {}
    for letter in wanted:
        if not letter.has_payload:
            lack[letter.step] = lack.get(letter.step, 0) + 1
    return Chosen([letter.id for letter in wanted if letter.has_payload], lack)


def begin(run_dir: Path, ids: list[str], steps: list[Any] | None = None) -> Path:
    """Take the letters ``ids`` for a new round; return its folder. ``steps``: others than the run's.

    ConfigError if a step or the sink does not load or somebody is delivering the run, OSError if the disk is full: then
    nothing has changed.
    """
    with alone(run_dir):
        about = spool.about(run_dir / standing.SPOOL)
        about = {name: about[name] for name in ("job", "options") if name in about}
        if steps is not None:
            about["job"] = {**about["job"], "steps": steps}
        _check(run_dir, about["job"], "" if steps is not None else "the run's own")
        place = run_dir / standing.REPLAYS
        aside = place / ".new"
        shutil.rmtree(aside, ignore_errors=True)  # of a start that was killed: it took nothing
        taken = _copied(run_dir, set(ids), aside, about)
        if not taken:
            raise ConfigError("RUN", run_dir.name, "another replay has just taken these letters")
        _write(aside / standing.LETTERS, msgspec.json.encode(taken))
        done = standing.rounds(run_dir)
        final = place / f"{1 + (int(done[-1].name) if done else 0):04d}"
        _sync(aside)
        aside.rename(final)
        _sync(place)
        return final


def unfinished(run_dir: Path) -> list[Path]:
    """The rounds that were begun and not completed."""
    return [round_dir for round_dir in standing.rounds(run_dir) if standing.waiting(round_dir)]


def go_on(run_dir: Path, round_dir: Path, steps: list[Any] | None = None) -> None:
    """Make sure that an unfinished round can be delivered, with ``steps`` if they are given.

    ConfigError if a step or the sink does not load, or some of the round is stored with other steps already.
    """
    about = spool.about(round_dir)
    if steps is None or steps == about["job"]["steps"]:
        _check(run_dir, about["job"], "those of a replay that was cut off")
        return
    with alone(run_dir):
        records, _ = ledger.read(round_dir / "ledger.jsonl")
        if any(isinstance(record, ledger.Done) for record in records):
            way_out = (
                "a replay that was cut off has stored some with other steps: complete it without --steps"
            )
            raise ConfigError("--steps", steps, way_out)
        job = {**about["job"], "steps": steps}
        _check(run_dir, job, "")
        spool.describe(round_dir, {**about, "job": job})


@dataclass(frozen=True, slots=True)
class _Brief:
    id: str
    step: str
    has_payload: bool

    @classmethod
    def of(cls, letter: dead_letters.Letter) -> _Brief:
        return cls(letter.id, letter.step, letter.payload is not None)


def _check(run_dir: Path, job: dict[str, Any], whose: str) -> None:
    """ConfigError if a step or the sink does not load: then no letter is taken. ``whose``: steps that were not given."""
    known = msgspec.convert({**job, "run_dir": str(run_dir)}, Job)
    try:
        steps_of(known)
    except ConfigError as error:
        more = f" (steps are {whose}; --steps names others)" if whose else ""
        raise ConfigError("--steps", error.value, f"{error.way_out}{more}") from error
    contract.load(known.sink, known.out_dir, os.environ)


def _copied(run_dir: Path, ids: set[str], folder: Path, about: dict[str, Any]) -> list[str]:
    copy = spool.Spool(folder, about, sync=True)
    taken: list[str] = []
    try:
        for letter in standing.letters(run_dir):
            if letter.id in ids and letter.payload is not None:
                ids.remove(letter.id)
                copy.append(letter.payload)
                taken.append(letter.id)
                if len(taken) % _LETTERS_PER_CUT == 0:
                    copy.cut()
        copy.cut()
    finally:
        copy.close()
    return taken


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
