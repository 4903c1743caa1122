"""What the campaigns share: a run's folder, its crawler process, its children, and whether the books are right.

folder/data/run, folder/data/out   the run's own        folder/accepted   keys of the items that were said to be safe
folder/deeds                       keys of the items that misbehaved in a worker, a line for each time
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.campaign_crawler import FINE, Order
from scraper.batches import ledger
from tests.sinks.postgres_server import Server

ROOT = Path(__file__).parents[1]
LIFE_TIMEOUT_S = 180.0
LETTERED = ("raise", "kill", "abort", "hang", "spin")  # deeds whose items become dead letters
DEADLY = ("kill", "abort")  # at once, by their own hand
DAMAGED = "damaged in the spool"  # the reason in the dead letter of an item that no checksum fits


@dataclass
class Books:
    """What became of the items. ``lost`` and the other lists hold keys."""

    accepted: int = 0
    stored: int = 0
    letters: int = 0
    dropped: int = 0
    damaged: int = 0  # dead letters that only say that there was an item
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)  # good items in the dead letters, poison in the store

    @property
    def right(self) -> bool:
        return not (self.lost or self.doubled or self.misplaced)

    def __str__(self) -> str:
        wrong = {
            name: getattr(self, name)[:10] for name in ("lost", "doubled", "misplaced") if getattr(self, name)
        }
        return (
            f"{self.accepted} accepted: {self.stored} stored, {self.letters} dead letters, {self.dropped} dropped; "
            f"{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.misplaced)} misplaced {wrong or ''}"
        )


@dataclass
class Place:
    """A run in ``folder``."""

    folder: Path
    read_store: Callable[[Path], list[str]]  # the folder with the records -> the keys in it

    def start(self, order: Order, **environment: str) -> Life:
        """A crawler in a session of its own, so that whatever it starts can be found."""
        self.folder.mkdir(parents=True, exist_ok=True)
        errors = (self.folder / "errors").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.campaign_crawler", msgspec.json.encode(order).decode()],
            stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )  # fmt: skip
        errors.close()
        return Life(process)

    def books(self) -> Books:
        """Once the crawler has ended and all was delivered."""
        stored = Counter(self.read_store(self.folder / "data" / "out"))
        found = letters(self.folder / "data" / "run")
        buried = Counter(letter["item"]["key"] for letter in found if letter["item"])
        done = set(self._lines("deeds"))
        books = Books(stored=stored.total(), letters=buried.total(), damaged=len(found) - buried.total())
        for key in self._lines("accepted"):
            books.accepted += 1
            dropped = key.endswith("/drop") and key in done
            books.dropped += dropped
            if not (stored[key] or buried[key] or dropped):
                books.lost.append(key)
        books.doubled = sorted(key for key, n in (stored + buried).items() if n > 1)
        books.misplaced += sorted(key for key in buried if key.rpartition("/")[2] not in LETTERED)
        books.misplaced += sorted(key for key in stored if key.rpartition("/")[2] != FINE)
        return books

    def deaths(self) -> Counter[str]:
        """Of workers by the item's own hand."""
        return Counter(key for key in self._lines("deeds") if key.rpartition("/")[2] in DEADLY)

    def attempts(self) -> Counter[tuple[int, int, int]]:
        """Deaths that the ledger has written down, by item."""
        records, _ = ledger.read(self.folder / "data" / "run" / "spool" / "ledger.jsonl")
        return Counter((r.segment, r.start, r.index) for r in records if isinstance(r, ledger.Attempt))

    def _lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@dataclass
class Life:
    """From a start of the crawler to its end."""

    process: subprocess.Popen[bytes]

    def workers(self) -> dict[int, int]:
        """The processes that the fork server has made, with the fork server's."""
        found = processes(self.process.pid)
        return {pid: parent for pid, parent in sorted(found.items()) if found.get(parent) == self.process.pid}

    def wait_for_workers(self) -> None:
        """Until there is one, at most 10 s."""
        deadline_s = time.monotonic() + 10
        while not self.workers() and self.process.poll() is None and time.monotonic() < deadline_s:
            time.sleep(0.02)

    def kill(self) -> float:
        """SIGKILL, and how many seconds its children outlive it; infinite after 5 s."""
        self.process.kill()
        began_s = time.monotonic()
        self.process.communicate()
        while processes(self.process.pid):
            if time.monotonic() - began_s > 5:
                for pid in processes(self.process.pid):
                    os.kill(pid, signal.SIGKILL)
                return float("inf")
            time.sleep(0.005)
        return time.monotonic() - began_s

    def end(self) -> dict[str, Any]:
        """Wait until it has ended: {"counts", "failure", "code"}. RuntimeError if it hangs or breaks."""
        try:
            out, _ = self.process.communicate(timeout=LIFE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"the crawler did not end within {LIFE_TIMEOUT_S:g} s") from None
        if self.process.returncode not in (0, 1) or not out.strip():
            raise RuntimeError(f"the crawler ended with {self.process.returncode}")
        return {**json.loads(out.splitlines()[-1]), "code": self.process.returncode}


def balanced(counts: dict[str, float]) -> bool:
    """What came in = what became of it, by the run's own counts."""
    came = counts.get("put", 0) + counts.get("batches/recovered", 0)
    settled = sum(
        counts.get(f"batches/{name}", 0) for name in ("stored", "dropped", "duplicate", "dead_letter")
    )
    return came == settled + counts.get("unfinished", 0)


def processes(session: int) -> dict[int, int]:
    """Living processes of a session: pid -> parent."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, _group, its = entry.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):  # it has just ended
            continue
        if int(its) == session and state not in "ZX":
            found[int(entry.parent.name)] = int(parent)
    return found


def letters(run_dir: Path) -> list[dict[str, Any]]:
    """All dead letters; a line that a kill has cut is none."""
    found = []
    path = run_dir / "dead_letters.jsonl"
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def read_jsonl(folder: Path) -> list[str]:
    return [
        json.loads(line)["key"] for path in folder.glob("*.jsonl") for line in path.read_bytes().splitlines()
    ]


def read_parquet(folder: Path) -> list[str]:
    import pyarrow.parquet as pq

    return [
        key for path in sorted(folder.glob("*.parquet")) for key in pq.read_table(path)["key"].to_pylist()
    ]


def read_sqlite(folder: Path) -> list[str]:
    import sqlite3

    path = folder / "records.sqlite"
    if not path.exists():
        return []
    connection = sqlite3.connect(path)
    try:
        has = connection.execute(
            "SELECT count(*) FROM pragma_table_info('records') WHERE name = 'key'"
        ).fetchone()[0]
        return [key for (key,) in connection.execute("SELECT key FROM records")] if has else []
    finally:
        connection.close()


def read_postgres(server: Server) -> list[str]:
    """Before its first batch the table has no such column."""
    return [key for (key,) in server.query("SELECT to_jsonb(one) ->> 'key' FROM records one")]


FILES = {"jsonl": read_jsonl, "parquet": read_parquet, "sqlite": read_sqlite}
