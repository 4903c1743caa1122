"""Kills before, in the middle of, and after each step that lasts, one run for each: python -m benchmarks.kills --failpoints.

failpoints.c is loaded into crawler and workers (LD_PRELOAD) and counts their calls of write, fsync, rename, unlink and the like
below the run's folders, those of SQLite and Arrow too, and the messages to a database. A run is started anew for n = 0, 1, 2...,
and its crawler or a worker killed before, in the middle of (half of the bytes are written), or after the n-th, until a run has
fewer. Where the crawler was killed, alone or together with the worker ("all"), the same command is given again. Then all must be
there once. The run is small, but has everything: several segments, dead letters, quarantine, dropped items, a merge.

Some scenes do that to the second start of a run: its first one died in full flight, in the middle of a record, or in its merge.
"""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.campaign import FILES, Life, Place, balanced, read_jsonl, read_postgres
from benchmarks.campaign_crawler import FINE, Order
from tests.sinks.postgres_server import Server, running

MOMENTS = ("before", "half", "after")
_SPLIT = ("write", "pwrite", "writev", "pwritev", "send")  # calls that may be cut in the middle
DEEDS = [FINE, "kill", FINE, "raise", "drop", *[FINE] * 6]
FLIGHT = (
    "crawler",
    "pwritev run/spool/seg-000001",
    "half",
)  # (who dies, at which call, when) of a first start
MERGE = ("all", "rename out/.merge.json", "after")
# sink, who dies, how the first start died
SCENES: tuple[tuple[str, str, tuple[str, str, str] | None], ...] = (
    ("jsonl", "crawler", None), ("jsonl", "crawler", FLIGHT), ("jsonl", "crawler", MERGE),
    ("jsonl", "worker", None), ("jsonl", "all", None),
    ("sqlite", "crawler", None), ("sqlite", "worker", None), ("sqlite", "all", None),
    ("parquet", "worker", None), ("parquet", "all", None), ("parquet", "crawler", MERGE),
    ("postgres", "crawler", None), ("postgres", "worker", None), ("postgres", "all", None),
)  # fmt: skip


@dataclass
class Figures:
    """Of one scene."""

    kills: int = 0
    steps: Counter[str] = field(default_factory=Counter)  # what the killed process was at -> kills
    wrong: list[str] = field(default_factory=list)
    spent_s: float = 0.0


@dataclass(frozen=True)
class Scene:
    """A run that is killed at one point after the other. ``place.folder`` is emptied each time, and so is ``empty()``."""

    place: Place
    library: Path
    sink: Any
    role: str  # who dies: "crawler", "worker", "all" (at a step of a worker)
    first: tuple[str, str, str] | None = None  # how a first start died
    environment: tuple[tuple[str, str], ...] = ()
    empty: Callable[[], object] = lambda: None

    def kill_at(self, point: int | str, moment: str) -> tuple[str, str]:
        """(the step at which it was killed, what is wrong then): two empty strings if the run has no such. ``point``: its number,
        or a part of its name and path.
        """
        shutil.rmtree(self.place.folder, ignore_errors=True)
        self.empty()
        start = 0
        if self.first:
            role, call, when = self.first
            assert self._dies(start, role, FAILPOINT_CALL=call, FAILPOINT_MOMENT=when), f"no {call}"
            start += 1
        where = {"FAILPOINT_AT": str(point)} if isinstance(point, int) else {"FAILPOINT_CALL": point}
        step = self._dies(start, self.role, **where, FAILPOINT_MOMENT=moment)
        if not step:
            return "", ""
        wrong = []
        if self.role != "worker":
            wrong += self._ends_well(self._start(start + 1))
        wrong += [] if (books := self.place.books()).right else [str(books)]
        wrong += (
            [] if max(self.place.attempts().values(), default=0) <= 2 else ["more than 2 deaths over an item"]
        )
        left = [path.name for path in (self.place.folder / "data" / "run" / "spool").glob("seg-*")]
        wrong += [f"left in the spool: {left}"] if left else []
        return step, "; ".join(wrong)

    def _dies(self, start: int, role: str, **how: str) -> str:
        """The step at which a start was killed, "" if it has no such."""
        fired = self.place.folder / "fired"
        fired.unlink(missing_ok=True)
        life = self._start(
            start,
            LD_PRELOAD=str(self.library),
            FAILPOINT_FOLDER=f"{self.place.folder}/data/",
            FAILPOINT_FLAG=str(fired),
            FAILPOINT_ROLE="crawler" if role == "crawler" else "worker",
            FAILPOINT_WHO="group" if role == "all" else "",
            **how,
        )
        if role == "worker":
            wrong = self._ends_well(life)
            if wrong:
                raise RuntimeError("; ".join(wrong))
        else:
            life.process.communicate(timeout=60)
            life.kill()  # what it leaves behind must be gone before the next start
        if not fired.exists() and life.process.returncode != 0:  # this is not the end of the steps
            raise RuntimeError(f"the crawler ended with {life.process.returncode} by itself")
        return fired.read_text().strip() if fired.exists() else ""

    def _start(self, start: int, **environment: str) -> Life:
        order = Order(
            str(self.place.folder), self.sink, start, items=0 if start else len(DEEDS), deeds=DEEDS, batch=3, age_s=60,
            segment_bytes=1000, sync_s=0.05,
        )  # fmt: skip
        return self.place.start(order, **dict(self.environment), **environment)

    def _ends_well(self, life: Life) -> list[str]:
        ended = life.end()
        wrong = [f"the crawl failed: {ended['failure']}"] if ended["failure"] else []
        return wrong + ([] if balanced(ended["counts"]) else [f"unbalanced: {ended['counts']}"])

    def points(self, figures: Figures, numbers: Iterator[int]) -> None:
        """Kill at each of ``numbers``, in each moment, until the run has no such step, or was broken before it came to one."""
        began_s = time.monotonic()
        for n in numbers:
            step = ""
            for moment in MOMENTS:
                if moment == "half" and step.partition(" ")[0] not in _SPLIT:
                    continue
                try:
                    step, wrong = self.kill_at(n, moment)
                except (RuntimeError, subprocess.TimeoutExpired, OSError) as error:
                    wrong = f"{type(error).__name__}: {error}"
                    figures.wrong += [] if step else [f"{self.role} {moment} {n}: {wrong}"]
                if not step:
                    break
                figures.kills += 1
                figures.steps[_kind(step)] += 1
                if wrong:
                    figures.wrong.append(f"{self.role} {moment} {n} {step}: {wrong}")
            if not step:
                break
        figures.spent_s = time.monotonic() - began_s


def _kind(step: str) -> str:
    """ "pwritev run/spool/seg-000001.log" -> "pwritev seg.log" """
    call, _, path = step.partition(" ")
    name = Path(path).name.lstrip(".")
    if name.startswith(("seg-", "part-", "data-")):
        name = name.partition("-")[0] + Path(name).suffix
    return f"{call} {name or path}"


def compiled(folder: Path) -> Path:
    """failpoints.c as a library. CalledProcessError where there is no C compiler."""
    library = folder / "failpoints.so"
    source = Path(__file__).with_name("failpoints.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def campaign(sinks: list[str], every: int = 1) -> int:
    """All scenes of these sinks, at each ``every``-th step; the exit code."""
    held = True
    with tempfile.TemporaryDirectory(prefix="failpoints-") as made, ExitStack() as stack:
        folder = Path(made)
        library = compiled(folder)
        server = stack.enter_context(running()) if "postgres" in sinks else None
        for sink, role, first in SCENES:
            if sink not in sinks:
                continue
            scene = Scene(Place(folder / "place", FILES.get(sink, read_jsonl)), library, sink, role, first)
            if sink == "postgres" and server is not None:
                scene = with_server(scene, server)
            figures = Figures()
            scene.points(figures, itertools.count(0, every))
            held &= not figures.wrong and figures.kills > 0
            after = f" after {first[0]}: {first[2]} {first[1]}" if first else ""
            sys.stdout.write(
                f"{sink}, {role}{after}: {figures.kills} kills at {len(figures.steps)} kinds of steps in "
                f"{figures.spent_s:.0f} s, {len(figures.wrong)} wrong\n  {dict(figures.steps)}\n"
            )
            sys.stdout.writelines(f"  WRONG {wrong}\n" for wrong in figures.wrong)
            sys.stdout.flush()
    return 0 if held else 1


def with_server(scene: Scene, server: Server) -> Scene:
    """The scene with this PostgreSQL, whose messages are steps, too."""
    return dataclasses.replace(
        scene,
        place=Place(scene.place.folder, lambda out: read_postgres(server)),
        sink={"postgres": {"url": "env:STORE_URL"}},
        environment=(("STORE_URL", server.url), ("FAILPOINT_PORT", str(server.port))),
        empty=lambda: server.query("DROP TABLE IF EXISTS records, records_batches"),
    )
