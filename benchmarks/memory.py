"""How much memory a process and its batch workers hold, second by second. Linux: it reads /proc."""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

MB = 1 << 20


def rss(pid: int) -> int:
    """Resident bytes; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def workers(pid: int) -> list[int]:
    """The grandchildren of ``pid``: its child is the fork server, and workers are the fork server's."""
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children[int(after_name[1])].append(int(path.parent.name))
    return sorted(grandchild for child in children[pid] for grandchild in children[child])


class Sampler:
    """A sample each ``every_s`` seconds until `stop`: (items so far, bytes of this process, bytes of its largest worker)."""

    def __init__(self, items: Callable[[], float], every_s: float = 1.0) -> None:
        self._items, self._every_s = items, every_s
        self.samples: list[tuple[float, int, int]] = []
        self._task = asyncio.get_running_loop().create_task(self._go())

    def take(self) -> None:
        pid = os.getpid()
        largest = max((rss(worker) for worker in workers(pid)), default=0)
        self.samples.append((self._items(), rss(pid), largest))

    def stop(self) -> None:
        self._task.cancel()

    async def _go(self) -> None:
        while True:
            self.take()
            await asyncio.sleep(self._every_s)


def flatness(samples: list[Any], warm: float = 0.2) -> dict[str, dict[str, float]]:
    """For crawler and worker: MB after the ``warm`` share of the items, MB at most after that, and the slope since, MB per 100,000 items."""
    whole = max(sample[0] for sample in samples)
    # Not what follows when all are stored: then a worker merges files.
    watched = samples[: 1 + next(at for at, sample in enumerate(samples) if sample[0] == whole)]
    late = [sample for sample in watched if sample[0] >= warm * whole]
    found = {}
    for name, at in (("crawler", 1), ("worker", 2)):
        items, sizes = [sample[0] for sample in late], [sample[at] / MB for sample in late]
        slope = 0.0
        if len(set(items)) > 1:
            slope = statistics.linear_regression(items, sizes).slope
        found[name] = {"warm_mb": sizes[0], "max_mb": max(sizes), "slope_mb": slope * 100_000}
    return found
