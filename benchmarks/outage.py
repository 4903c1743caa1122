"""A crawl whose store is down, or whose disk is full, for a minute: nothing is lost, the spool stays in its bound, the crawl goes on.

    python -m benchmarks.outage [--rate 200] [--before-s 15] [--outage-s 60] [--after-s 20] [--only WORD]

A crawl of 200 items of 2 kB a second (ten of a page), steps `clean`, one worker. The scenes: PostgreSQL is stopped, once with the usual backlog and once
with one of 8 MB, which holds the crawl back; the disk of the sink, and that of the spool, is filled by somebody else and freed again (a tmpfs; needs root);
PostgreSQL is stopped for longer than BATCH_OUTAGE_S allows: the run ends as failed, and `scraper.batches.drain` delivers the rest. After each, the
store is compared with what the crawl was told is safe, item by item.

Bars: 0 lost, 0 doubled, books balanced; the crawl goes on within 6 s of the end of what held it back; at most
BATCH_BACKLOG_BYTES wait, in files of at most that and one segment (64 MB; disk is given back in those steps).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import batch_crawl
from benchmarks.pages import pieces, served
from tests.sinks.postgres_server import Server, running

MB = 1 << 20
SEGMENT_BYTES = 64 * MB
ITEMS, SIZE = 10, 1_900  # of a page; bytes of each, 2 kB with its other fields
SOON_S = 6.0  # in which a crawl that was held back goes on, once the trouble is over
URL_VARIABLE = "BENCHMARK_STORE_URL"
SETTLED = ("stored", "dropped", "duplicate", "dead_letter")
Key = tuple[str, int]


@dataclass(frozen=True)
class Times:
    """Items a second; seconds before the trouble, of it, and after it."""

    rate: float = 200.0
    before_s: float = 15.0
    outage_s: float = 60.0
    after_s: float = 20.0

    @property
    def pages(self) -> int:
        return round(self.rate * (self.before_s + self.outage_s + self.after_s) / ITEMS)


@dataclass
class Scene:
    """``breaks`` and ``mends`` the place that ``rows`` reads from; ``fails``: the run is to give up first."""

    settings: dict[str, Any]
    breaks: Callable[[], object]
    mends: Callable[[], object]
    rows: Callable[[Path], list[Key]]
    places: dict[str, str] = field(default_factory=dict)
    fails: bool = False


@contextmanager
def small_disk(size_mb: int) -> Iterator[Path]:
    """A tmpfs of its own. PermissionError where nobody may mount one."""
    with tempfile.TemporaryDirectory() as name:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", name]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PermissionError(done.stderr.strip())
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "-l", name], check=True)


def fill(disk: Path) -> None:
    """As much as there is room for."""
    with (disk / "somebody-elses").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def free(disk: Path) -> None:
    (disk / "somebody-elses").unlink()


def lines_of(folder: Path) -> list[Key]:
    rows = (json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_bytes().splitlines())
    return [(row["page"], row["n"]) for row in rows]


@contextmanager
def scene(name: str, times: Times) -> Iterator[Scene]:
    """One of SCENES, ready to be crawled."""
    with ExitStack() as stack:
        if name.startswith("postgres"):
            server: Server = stack.enter_context(running())
            os.environ[URL_VARIABLE] = server.url
            settings: dict[str, Any] = {"SINK": {"postgres": {"url": f"env:{URL_VARIABLE}"}}}
            if name == "postgres, small backlog":
                settings["BATCH_BACKLOG_BYTES"] = round(times.rate * 2_000 * times.outage_s / 3)
            if name == "postgres, for too long":
                settings |= {"BATCH_OUTAGE_S": times.outage_s / 6, "BATCH_DRAIN_TIMEOUT_S": 5}
            yield Scene(
                settings,
                server.stop,
                server.start,
                lambda folder: [(page, n) for page, n in server.query("SELECT page, n FROM records")],
                fails=name == "postgres, for too long",
            )
        else:
            size_mb = (
                round(times.pages * ITEMS * 2_000 / MB * 2) + 8
            )  # room for all, when nobody else takes it
            disk = stack.enter_context(small_disk(size_mb))
            place = {"OUT_DIR" if name == "full disk, sink" else "RUN_DIR": str(disk / "run")}
            yield Scene({"SINK": "jsonl"}, lambda: fill(disk), lambda: free(disk), lines_of, place)


SCENES = (
    "postgres", "postgres, small backlog", "full disk, sink", "full disk, spool", "postgres, for too long",
)  # fmt: skip


def occupied(spool: Path) -> int:
    """Bytes that the segments take on the disk."""
    total = 0
    for path in spool.glob("seg-*.log"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_blocks * 512
    return total


def play(name: str, times: Times) -> dict[str, Any]:
    """Crawl through one scene; figures, with what is lost and doubled."""
    with tempfile.TemporaryDirectory() as where, served(pieces(1_000)) as url, scene(name, times) as one:
        folder, accepted = Path(where), Path(where) / "accepted"
        settings = batch_crawl.ours(folder, BATCH_STEPS=["clean"], BATCH_WORKERS=1, BATCH_DRAIN_TIMEOUT_S=120)
        settings |= {**one.settings, **one.places}
        settings |= {"DOWNLOAD_DELAY": ITEMS / times.rate, "DOWNLOAD_DELAY_JITTER": 0, "LOG_LEVEL": "INFO"}
        order = {"url": url, "pages": times.pages, "items": ITEMS, "size": SIZE, "accepted": str(accepted)}
        process = batch_crawl.start({**order, "settings": settings})
        seen = watch(process, Path(settings["RUN_DIR"]) / "spool", accepted, one, times)
        found = batch_crawl.figures(process)
        stats = found["stats"]
        if one.fails:
            rest = [sys.executable, "-m", "scraper.batches.drain", settings["RUN_DIR"]]
            drained = subprocess.run(rest, cwd=batch_crawl.ROOT, capture_output=True, text=True, check=False)
            seen["drained"] = drained.stdout.strip() or drained.stderr.strip()
        stored = Counter(one.rows(Path(settings["OUT_DIR"])))
    safe = Counter(entry[1:] for entry in seen.pop("accepted"))
    books = {name: stats.get(f"batches/{name}", 0) for name in ("scraped", *SETTLED, "unfinished")}
    return {
        **seen,
        "lost": sum((safe - stored).values()),
        "doubled": sum(n - 1 for n in stored.values()),
        "safe": sum(safe.values()),
        "books": books,
        "balanced": books["scraped"] == sum(books[name] for name in (*SETTLED, "unfinished")),
        "wanted": times.pages * ITEMS,
        "reason": stats.get("finish_reason"),
        "outage_s": stats.get("batches/outage_s", 0),
        "held_back_s": stats.get("batches/held_back_s", 0),
        "late_ms": found["late_ms"],
        "own_ms": found["own_ms"],
        "waiting_max": stats.get("batches/waiting_bytes_max", 0),
        "allowed": settings["BATCH_BACKLOG_BYTES"],
        "stderr": found["stderr"],
    }


def watch(
    process: subprocess.Popen[str], spool: Path, accepted: Path, one: Scene, times: Times
) -> dict[str, Any]:
    """Break and mend at their times, look at the spool meanwhile; the items as they were accepted: (time, page, n)."""
    while not accepted.exists() or not accepted.stat().st_size:
        if process.poll() is not None:
            return {"accepted": [], "disk_max": 0, "rates": []}
        time.sleep(0.02)
    began_s, disk_max, broken_s, mended_s = time.time(), 0, 0.0, 0.0
    while process.poll() is None:
        now_s = time.time()
        if not broken_s and now_s - began_s >= times.before_s:
            one.breaks()
            broken_s = time.time()
        # A run that gives up is over before its store is back.
        if broken_s and not mended_s and not one.fails and now_s - broken_s >= times.outage_s:
            one.mends()
            mended_s = time.time()
        disk_max = max(disk_max, occupied(spool))
        time.sleep(0.05)
    if not mended_s:
        one.mends()
        mended_s = time.time()
    entries = [line.split() for line in accepted.read_text().splitlines()]
    at = [float(entry[0]) for entry in entries]
    windows = ((began_s, broken_s), (broken_s, mended_s), (mended_s, at[-1]))
    rates = [sum(a <= t < b for t in at) / max(b - a, 0.1) for a, b in windows]
    keys = [(t, entry[1], int(entry[2])) for t, entry in zip(at, entries, strict=True)]
    return {"accepted": keys, "disk_max": disk_max, "rates": rates, "down_s": mended_s - broken_s}


def faults(found: dict[str, Any], *, fails: bool = False) -> list[str]:
    """What did not hold; nothing if all did."""
    bad = []
    if found["lost"] or found["doubled"]:
        bad.append(f"{found['lost']} lost, {found['doubled']} doubled of {found['safe']}")
    if not found["balanced"]:
        bad.append(f"books: {found['books']}")
    if not fails and (found["safe"] != found["wanted"] or found["reason"] != "finished"):
        bad.append(f"{found['safe']} of {found['wanted']} items, ended {found['reason']}")
    if fails and found["reason"] != "storage_failed":
        bad.append(f"ended {found['reason']}, not storage_failed")
    if found["held_back_s"] > found["outage_s"] + SOON_S:
        bad.append(
            f"held back for {found['held_back_s']:.0f} s, the trouble lasted {found['outage_s']:.0f} s"
        )
    if found["waiting_max"] > found["allowed"] + MB:
        bad.append(f"{found['waiting_max']} bytes waited, {found['allowed']} may")
    if found["disk_max"] > found["allowed"] + SEGMENT_BYTES:
        bad.append(f"the spool took {found['disk_max']} bytes")
    return bad


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=200.0, help="items a second")
    parser.add_argument("--before-s", type=float, default=15.0)
    parser.add_argument("--outage-s", type=float, default=60.0)
    parser.add_argument("--after-s", type=float, default=20.0)
    parser.add_argument("--only", default="", help="scenes whose name has this word")
    options = parser.parse_args()
    times = Times(options.rate, options.before_s, options.outage_s, options.after_s)
    rows, lines = [], []
    for name in (name for name in SCENES if options.only in name):
        found = play(name, times)
        before, during, after = found["rates"]
        rows.append(
            f"| {name} | {found['down_s']:.0f} | {before:.0f}, {during:.0f}, {after:.0f} | {found['outage_s']:.0f} | {found['held_back_s']:.0f} "
            f"| {found['waiting_max'] / MB:.1f} of {found['allowed'] / MB:.0f} | {found['disk_max'] / MB:.0f} | {found['late_ms'][0]:.0f}, {found['own_ms'][1]:.0f} "
            f"| {found['safe']:,} | {found['lost']} | {found['doubled']} | {found['reason']} |"
        )
        bad = faults(found, fails=name == "postgres, for too long")
        lines += [f"MISSED {name}: {fault}" for fault in bad] or [f"met    {name}"]
        if "drained" in found:
            lines.append(f"       then drained: {found['drained']}")
        print(rows[-1], flush=True)
    print(
        "\n| scene | down s | items/s before, meanwhile, after | outage noticed s | held back s | waited at most MB | on disk at most MB "
        "| loop late p99, held at most ms | accepted | lost | doubled | ended |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    )
    print("\n".join([*rows, "", *lines]))


if __name__ == "__main__":
    main()
