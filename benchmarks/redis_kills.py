"""Workers on other machines under SIGKILL: of the crawl, of machines, of Redis, of Redis with all that it holds.

    python -m benchmarks.redis_kills [--kills 40] [--seeds 1,2,3] [--items 9000]

A crawl without the crawling puts numbered items, poison among them that kills, raises and drops; two machines work for it through a real
Redis with its append-only file on. At random moments (seeded) one of them dies and is started again. At the end every item must be
stored once, or be a dead letter or dropped, as its number says; else an AssertionError tells which. Sinks take turns: JSON Lines,
SQLite. The short form is tests/batches/test_remote.py.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests import redis_server
from tests.batches.test_remote import soak


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=40, help="of each seed, 40 unless told")
    parser.add_argument("--seeds", default="1,2,3", help="with commas between")
    parser.add_argument("--items", type=int, default=9000, help="of each seed")
    given = parser.parse_args()
    began_s, total = time.monotonic(), Counter[str]()
    for number, seed in enumerate(map(int, given.seeds.split(","))):
        sink = ("jsonl", "sqlite")[number % 2]
        with redis_server.running() as server, tempfile.TemporaryDirectory() as folder:
            chance = random.Random(seed)
            total += soak(
                Path(folder), server, sink=sink, kills=given.kills, items=given.items, chance=chance
            )
        spent_s = time.monotonic() - began_s
        print(
            f"seed {seed}, {sink}: 0 lost, 0 doubled; {total.total()} kills so far {dict(total)}, {spent_s:.0f} s"
        )


if __name__ == "__main__":
    main()
