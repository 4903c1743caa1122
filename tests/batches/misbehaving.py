"""Sinks that misbehave; workers import them by path."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from pathlib import Path

from scraper.errors import SinkError
from scraper.sinks.contract import Row
from scraper.sinks.jsonl import JsonlSink


class Full(JsonlSink):
    """A disk that is full as long as the file "full" stands beside the folder."""

    name = "full"

    def __init__(self, out_dir: str) -> None:
        super().__init__(out_dir)
        self._flag = Path(out_dir).parent / "full"

    def commit(self, batch_id: str, rows: list[Row]) -> None:
        if self._flag.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._flag))
        super().commit(batch_id, rows)


class Unreachable(JsonlSink):
    """Refuses twice, then takes it."""

    name = "unreachable"
    refused = 0

    def commit(self, batch_id: str, rows: list[Row]) -> None:
        if Unreachable.refused < 2:
            Unreachable.refused += 1
            raise SinkError("unreachable", batch_id, "connection refused")
        super().commit(batch_id, rows)


class OnlyInTheCrawler(JsonlSink):
    """Does not load in a worker."""

    def __init__(self, out_dir: str) -> None:
        super().__init__(out_dir)
        if multiprocessing.parent_process() is not None:
            raise ImportError("a library is missing")


class KillsAtStart(JsonlSink):
    """Kills the worker that loads it."""

    def __init__(self, out_dir: str) -> None:
        super().__init__(out_dir)
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)


class KillsAfterCommit(JsonlSink):
    """Stores the batch and kills the worker before it can answer, as often as "kills" in the folder's parent
    says.
    """

    name = "kills"

    def commit(self, batch_id: str, rows: list[Row]) -> None:
        super().commit(batch_id, rows)
        counter = self._parts.folder.parent / "kills"
        kills = int(counter.read_text())
        if kills:
            counter.write_text(str(kills - 1))
            os.kill(os.getpid(), signal.SIGKILL)


class KillsInFinish(JsonlSink):
    """Kills its worker in finish(), the first time."""

    name = "finish"

    def finish(self) -> None:
        flag = self._parts.folder.parent / "finished"
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        super().finish()


class Slow(JsonlSink):
    """A commit that takes longer than an item may."""

    name = "slow"

    def commit(self, batch_id: str, rows: list[Row]) -> None:
        time.sleep(1.6)
        super().commit(batch_id, rows)
