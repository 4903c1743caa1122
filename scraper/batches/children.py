"""I/O. Worker processes: how one is started, and what can be known of one that has ended."""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import signal
import socket
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from scraper.batches import wire, worker
from scraper.batches.log import Batch


@dataclass(slots=True, eq=False)
class Child:
    """A worker process as its pool knows it."""

    process: Any  # multiprocessing's Process of the context in use
    sock: socket.socket
    cell: mmap.mmap
    trace: Path
    number: int
    server: int  # process id of the fork server, which alone knows how it ended
    ready: bool = False
    orders: int = 0
    inflight: dict[int, Batch] = field(default_factory=dict)  # order -> batch, in the order they were sent
    finishing: bool = False
    frames: wire.Frames = field(default_factory=wire.Frames)
    why: str = ""  # set when we end it
    seen: tuple[int, int] = (-1, 0)  # the mark at the last look, and since when
    seen_s: float = 0.0
    done: int = 0  # batches
    retiring: bool = False  # too large: it gets no more batches, and goes when it has done those that it has


class Nursery:
    """Starts workers for ``job``; ``folder`` is for their progress cells and crash traces."""

    def __init__(self, job: worker.Job, folder: Path, preload: tuple[str, ...]) -> None:
        self._job, self._folder = job, folder
        self._context = _context(preload)

    def launch(self, number: int, now_s: float) -> Child:
        """Start one. OSError or EOFError if it cannot be, as when the fork server has just died: the next try starts another."""
        cell_path, trace = self._folder / f"worker-{number}.cell", self._folder / f"worker-{number}.trace"
        cell_path.write_bytes(bytes(wire.CELL_BYTES))  # not truncated to size: a full disk cannot fill a hole
        trace.touch()
        ours, theirs = socket.socketpair()
        arguments = (theirs, self._job, str(number), str(cell_path), str(trace))
        process = self._context.Process(  # type: ignore[attr-defined]  # every context has it
            target=worker.main, args=arguments, name=f"batch-worker-{number}", daemon=True
        )
        try:
            with _without_main(), theirs:
                process.start()
        except (OSError, EOFError):
            ours.close()
            raise
        ours.setblocking(False)
        with cell_path.open("r+b") as file:
            cell = mmap.mmap(file.fileno(), wire.CELL_BYTES)
        return Child(process, ours, cell, trace, number, fork_server(), seen_s=now_s)

    def bury(self, child: Child) -> None:
        """It has ended and been joined: nothing of it stays."""
        child.cell.close()
        child.process.close()
        for path in (child.trace, self._folder / f"worker-{child.number}.cell"):
            path.unlink(missing_ok=True)


def cause_of_death(child: Child) -> str:
    """In words, with the traceback that faulthandler left."""
    code = child.process.exitcode
    killed = code is not None and code < 0
    why = child.why or (f"killed by {signal.Signals(-code).name}" if killed else f"exited with code {code}")
    trace = child.trace.read_text(errors="replace").strip()
    return f"{why}\n{trace}" if trace else why


def was_terminated(child: Child) -> bool:
    """Whether somebody ended it, or its whole process group, as at a stop: then no item did that. With the fork server goes the
    word of how it ended.
    """
    code = child.process.exitcode
    orphaned = code == 255 and not _lives(child.server)
    return not child.why and (code == -signal.SIGTERM or orphaned)


def kill(process: Any) -> None:
    """SIGKILL to a Process that may be reaped and closed by now, as it should be."""
    with contextlib.suppress(ValueError):
        process.kill()


def fork_server() -> int:
    """Process id of the fork server, 0 if there is none. There is no public word for it."""
    return getattr(forkserver._forkserver, "_forkserver_pid", None) or 0


def _lives(server: int) -> bool:
    """Whether it is the fork server that is there, and no zombie of it; True where the system does not tell."""
    if not server or not hasattr(os, "waitid"):
        return True
    try:
        ended = os.waitid(os.P_PID, server, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return server == fork_server() and ended is None


def _context(preload: tuple[str, ...]) -> BaseContext:
    """forkserver where it exists: a worker is there in 30 ms, with the sink's libraries in shared memory;
    else spawn.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Not our own modules: the fork server does not know the crawler's sys.path (an egg is in no other place), it
    # might find another version of them.
    context.set_forkserver_preload(["msgspec", "xxhash", *preload])
    return context


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Start a process that does not import our ``__main__`` again.

    multiprocessing lets each child run the parent's main script under another name, so that it finds what was
    pickled from there. Ours is the ``scrapy`` command: the child would import Scrapy (58 MB, 0.4 s), and a
    script with no ``if __name__ == "__main__"`` would start the crawl again. It looks for `__spec__` and
    `__file__` of ``sys.modules["__main__"]`` when a process starts; a bare module has neither.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
