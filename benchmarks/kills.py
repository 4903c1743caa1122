"""Kills of crawler and workers at random moments: is every item that was accepted in the store, once?

    python -m benchmarks.kills [--kills 200] [--seed 1] [--sink parquet jsonl sqlite postgres] [--form delivery|crawl]
    python -m benchmarks.kills --failpoints [--every 1] [--sink ...]      before, in and after each step that lasts

A crawler process puts a stream of items, some of which crash (SIGKILL, abort), raise in, or hang their worker. At random
moments of its life a worker is killed, the process that forks them, the crawler, or a worker and right then the crawler; some
lives end by themselves, with a merge; PostgreSQL is restarted meanwhile, also as after a crash. Then the same command again,
until there were enough kills, and once more in peace. BATCH_ACK and the number of workers change from life to life.

Prints the figures; exit code 1 if an item is lost or doubled, a good one is in the dead letters or a bad one in the store, a
child outlives its crawler by 2 s, or the ledger has more than 2 deaths over an item.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import failpoints
from benchmarks.campaign import FILES, Books, Life, Place, balanced, read_postgres
from benchmarks.campaign_crawler import Order
from tests.sinks.postgres_server import Server, running

CHILDREN_GONE_S = 2.0
MAX_DEATHS = 2  # of workers over one item
ACKS = {"spool": 1, "fsync": 8, "commit": 100}  # -> puts at once


@dataclass
class Figures:
    """What a campaign saw."""

    kills: Counter[str] = field(default_factory=Counter)  # by who was killed
    ends: Counter[str] = field(default_factory=Counter)  # how lives ended
    outlived_s: float = 0.0  # the child that lived longest after its crawler
    attempts: int = 0  # deaths over one item in the ledger, at most
    deaths: int = 0  # by one item's own hand, at most, also those that no crawler lived to write down
    unbalanced: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    books: Books = field(default_factory=Books)
    spent_s: float = 0.0

    @property
    def held(self) -> bool:
        lived = self.outlived_s <= CHILDREN_GONE_S and self.attempts <= MAX_DEATHS
        return self.books.right and lived and not self.unbalanced and not self.broken

    def __str__(self) -> str:
        killed = ", ".join(f"{name} {n}" for name, n in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills ({killed}) in {self.spent_s:.0f} s; lives ended: {dict(self.ends)}\n  {self.books}\n"
            f"  children outlived their crawler by {self.outlived_s:.3f} s at most; deaths over one item: {self.attempts} in the "
            f"ledger, {self.deaths} in all, at most; {len(self.unbalanced)} lives with unbalanced books, {len(self.broken)} broken "
            f"{self.unbalanced + self.broken or ''}"
        )


def campaign(
    folder: Path, sink: str, kills: int, seed: int, *, form: str = "delivery", server: Server | None = None
) -> Figures:
    """Kill until there were ``kills``, then deliver in peace."""
    began_s = time.monotonic()
    chance = random.Random(f"{seed} {sink} {form}")
    figures = Figures()
    place = Place(folder, (lambda out: read_postgres(server)) if server else FILES[sink])
    start = 0
    while figures.kills.total() < kills:
        order = _order(folder, sink, start, seed, form, chance)
        life = place.start(order, **_environment(server))
        _live(life, chance, figures, server)
        figures.attempts = max([figures.attempts, *place.attempts().values()])
        start += 1
    life = place.start(Order(str(folder), _spec(sink), start, form, workers=2), **_environment(server))
    _end(life, figures)
    figures.attempts = max([figures.attempts, *place.attempts().values()])
    figures.deaths = max(place.deaths().values(), default=0)
    figures.books = place.books()
    figures.spent_s = time.monotonic() - began_s
    return figures


def _order(folder: Path, sink: str, start: int, seed: int, form: str, chance: random.Random) -> Order:
    ack = chance.choice(list(ACKS))
    return Order(
        str(folder), _spec(sink), start, form,
        items=chance.choice((50, 300, 5000)),  # some end by themselves, so that merges are killed, too
        rate=chance.choice((300, 1000, 0)), seed=seed, workers=chance.choice((1, 2, 2)), ack=ack, lanes=ACKS[ack],
        batch=chance.choice((5, 20, 50)), sync_s=chance.choice((0.05, 0.5)),
    )  # fmt: skip


def _live(life: Life, chance: random.Random, figures: Figures, server: Server | None) -> None:
    """Some worker kills, then the end."""
    if chance.random() < 0.2:
        time.sleep(chance.uniform(0.0, 0.4))  # while it starts, or takes over what there is
    else:
        life.wait_for_workers()
        for _ in range(chance.randrange(4)):
            time.sleep(chance.uniform(0.1, 0.7))
            if server is not None and chance.random() < 0.15:
                server.restart(chance.choice((signal.SIGINT, signal.SIGQUIT)))
                figures.kills["store"] += 1
            elif workers := life.workers():
                who = chance.choices(("worker", "fork server"), (9, 1))[0]
                pid = chance.choice(list(workers))
                _kill(pid if who == "worker" else workers[pid])
                figures.kills[who] += 1
        time.sleep(chance.uniform(0.0, 0.5))
    how = chance.choices(("crawler", "both", "itself"), (6, 3, 1))[0]
    if life.process.poll() is not None or how == "itself":
        _end(life, figures)
        return
    if how == "both" and (workers := life.workers()):
        _kill(chance.choice(list(workers)))
        time.sleep(chance.choice((0.0, 0.002, 0.01)))  # right then, or while the crawler sees to it
    figures.outlived_s = max(figures.outlived_s, life.kill())
    figures.kills[how] += 1
    figures.ends["killed"] += 1


def _end(life: Life, figures: Figures) -> None:
    """It ends by itself."""
    try:
        ended = life.end()
    except RuntimeError as error:
        figures.broken.append(str(error))
        return
    figures.ends["failed" if ended["failure"] else "well"] += 1
    if ended["failure"]:
        sys.stderr.write(f"  a life failed: {ended['failure']}\n")
    if not balanced(ended["counts"]):
        figures.unbalanced.append(str(ended["counts"]))


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:  # its own item was faster
        return


def _spec(sink: str) -> Any:
    return {"postgres": {"url": "env:STORE_URL"}} if sink == "postgres" else sink


def _environment(server: Server | None) -> dict[str, str]:
    return {"STORE_URL": server.url} if server else {}


@contextmanager
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="campaign-"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kills", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--kills", type=int, default=200, help="of each sink, default 200")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--sink", nargs="*", default=["parquet", "sqlite", "postgres"], choices=[*FILES, "postgres"]
    )
    parser.add_argument("--form", default="delivery", choices=["delivery", "crawl"])
    parser.add_argument("--failpoints", action="store_true", help="at each step that lasts, not at random")
    parser.add_argument("--every", type=int, default=1, help="only at each n-th step")
    given = parser.parse_args()
    if given.failpoints:
        return failpoints.campaign(given.sink, given.every)
    held = True
    for sink in given.sink:
        with folder() as made:
            if sink == "postgres":
                with running() as server:
                    figures = campaign(made, sink, given.kills, given.seed, form=given.form, server=server)
            else:
                figures = campaign(made, sink, given.kills, given.seed, form=given.form)
        sys.stdout.write(f"{sink} ({given.form}, seed {given.seed}): {figures}\n")
        sys.stdout.flush()
        held &= figures.held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
