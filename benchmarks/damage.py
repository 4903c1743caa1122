"""Damage to what a killed run left on disk: does the next start deliver all that is whole, and name what is not?

    python -m benchmarks.damage [--flips 1000] [--ledger-flips 200] [--seed 1] [--only NAME]

A crawler is killed when some of its batches are stored, some wait, and the last items are in no batch yet. Then a copy of its
folder is damaged, in one way after the other, and the run resumed on it. In each case: no error, no hang, what was not damaged is
in the store once; what was is a dead letter "damaged in the spool", or counted in the stat batches/torn_bytes where it is the end
of the last segment. Most cases are resumed in this process (BATCH_WORKERS=0), one in 50 with worker processes.

Zeros in the last segment behind the last synced item are what a power cut leaves; such items cannot be named, nobody knows of
them ("unsynced"): that is what BATCH_ACK=spool states. Prints a line for each kind of damage; exit code 1 if one does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks.campaign import DAMAGED, Place, letters, read_jsonl
from benchmarks.campaign_crawler import FINE, Order, deliver
from benchmarks.damage_kinds import BATCH, KINDS, Damage, Left
from scraper.errors import ConfigError, SinkError

HANG_S = 30.0
WITH_WORKERS = 50  # one case in so many


@dataclass
class Figures:
    """Of one kind of damage."""

    cases: int = 0
    destroyed: int = 0  # items whose bytes were damaged
    lost: int = 0  # of all accepted ones, not in the store
    named: int = 0  # dead letters for them
    torn: int = 0  # cases in which torn bytes were counted
    unsynced: int = 0  # lost as a power cut may
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.cases} cases: {self.destroyed} items destroyed, {self.lost} lost ({self.named} dead letters, torn bytes in "
            f"{self.torn} cases, {self.unsynced} unsynced), {self.doubled} doubled, {len(self.wrong)} wrong"
        )


def leave(folder: Path, *, tail: bool) -> Left:
    """Two batches stored; two waiting, of which the first has an item in quarantine; then, with ``tail``, 5 items more."""
    deeds = [FINE] * (3 * BATCH - 3) + ["kill", "hang"] + [FINE] * (BATCH + 1 + (5 if tail else 0))
    order = Order(
        str(folder),
        "jsonl",
        items=len(deeds),
        deeds=deeds,
        batch=BATCH,
        age_s=60,
        segment_bytes=1 << 20,
        deadline_s=600,
        stays=True,
    )
    place = Place(folder, read_jsonl)
    life = place.start(order)
    left = Left(folder, tail)
    deadline_s = time.monotonic() + HANG_S
    while not ((folder / "put").exists() and len(left.done()) == 2 and "/hang" in _text(folder / "deeds")):
        assert time.monotonic() < deadline_s, (folder / "errors").read_text()
        time.sleep(0.02)
    life.kill()
    return left


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def resume(
    left: Left,
    folder: Path,
    name: str,
    damage: Damage,
    figures: Figures,
    *,
    unsynced: bool = False,
    workers: int = 0,
    batch: int = BATCH,
) -> None:
    """Damage a copy in ``folder`` and deliver it. ``unsynced``: nobody can know of what was lost."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(left.folder, folder)
    destroyed = damage(folder / "data" / "run" / "spool")
    figures.cases += 1
    figures.destroyed += destroyed
    order = Order(
        str(folder), "jsonl", 1, workers=workers, batch=batch, age_s=60, deadline_s=1, segment_bytes=1 << 20
    )
    faulthandler.dump_traceback_later(2 * HANG_S, exit=True)
    try:
        if workers:
            ended = Place(folder, read_jsonl).start(order).end()
            counts, failure = ended["counts"], ended["failure"]
        else:
            counts, failure = asyncio.run(asyncio.wait_for(deliver(order), HANG_S))
    except (
        OSError,
        ValueError,
        RuntimeError,
        ConfigError,
        SinkError,
        LookupError,
        msgspec.MsgspecError,
    ) as error:
        figures.wrong.append(f"{name}: {type(error).__name__}: {error}")
        return
    finally:
        faulthandler.cancel_dump_traceback_later()
    books = Place(folder, read_jsonl).books()
    named = sum(DAMAGED in letter["reason"] for letter in letters(folder / "data" / "run"))
    torn = counts.get("batches/torn_bytes", 0)
    lost = len(books.lost)
    figures.lost += lost
    figures.named += named
    figures.torn += bool(torn)
    figures.doubled += len(books.doubled)
    wrong = [failure] if failure else []
    wrong += [f"{len(books.doubled)} doubled"] if books.doubled else []
    wrong += [f"{lost} lost, {destroyed} destroyed: {books.lost}"] if lost > destroyed else []
    if named < lost and not torn:
        figures.unsynced += lost - named
        wrong += [] if unsynced else [f"{lost} lost, {named} dead letters, no torn bytes"]
    wrong += [f"{named} dead letters for {lost} lost"] if named > lost else []
    figures.wrong += [f"{name}: {one}" for one in wrong]


def campaign(folder: Path, kind: str, *, seed: int = 1, n: int = 100, stride: int = 1) -> Figures:
    """Every ``stride``-th case of one kind, on runs with and without items in no batch. ``n``: of the random ones, in all."""
    figures = Figures()
    for tail in (True, False):
        left = leave(folder / "left", tail=tail)
        for number, case in enumerate(KINDS[kind](left, seed, n // 2)):
            if number % stride == 0:
                workers = number // stride % WITH_WORKERS == WITH_WORKERS - 1
                name = f"{case.name}{', tail' if tail else ''}{', workers' if workers else ''}"
                resume(
                    left,
                    folder / "case",
                    name,
                    case.damage,
                    figures,
                    unsynced=case.unsynced,
                    workers=int(workers),
                    batch=case.batch,
                )
        shutil.rmtree(left.folder)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.damage", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--flips", type=int, default=1000, help="of a segment, default 1000")
    parser.add_argument("--ledger-flips", type=int, default=200, help="default 200")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(KINDS), choices=list(KINDS))
    given = parser.parse_args()
    held = True
    for kind in given.only:
        began_s = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="damage-") as made:
            figures = campaign(
                Path(made),
                kind,
                seed=given.seed,
                n=given.ledger_flips if kind == "ledger-flips" else given.flips,
            )
        sys.stdout.write(f"{kind}: {figures} ({time.monotonic() - began_s:.0f} s)\n")
        sys.stdout.writelines(f"  WRONG {wrong}\n" for wrong in figures.wrong)
        sys.stdout.flush()
        held &= not figures.wrong
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
