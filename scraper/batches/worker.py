"""I/O. One batch after the other: read it from the spool, run the steps, commit it to the sink, answer.

Runs in a process of its own (or, for debugging, in a thread of the crawler: `Runner`). It imports no Scrapy
and no Twisted, and it is gone when the crawler is: idle ones read the end of their socket, busy and hung
ones are ended by a thread and, should something hold the interpreter lock, by the kernel.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import mmap
import multiprocessing
import os
import select
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scraper.batches import spool, steps, wire
from scraper.errors import SinkError
from scraper.sinks import contract

NICE = 10  # measured: with workers at 15 the crawl is 1.7 times faster than with workers at 0, at 5 1.6 times
TRIES = 3  # of a commit
BACKOFF_S = 0.5  # before the second try, three times as long before the third: 2 s in all


@dataclass(frozen=True, slots=True)
class Job:
    """What every batch of a run gets: ``BATCH_STEPS``, ``SINK``, and the folder for the records."""

    steps: list[Any]
    sink: Any
    out_dir: str


class Runner:
    """Delivers batches. ConfigError if a step or the sink does not load."""

    def __init__(self, job: Job) -> None:
        self._steps = steps.load(job.steps)
        self._sink = contract.load(job.sink, job.out_dir, os.environ)

    def deliver(self, order: wire.Order, mark: Callable[[int], None]) -> wire.Ack | wire.Failed:
        """Store the batch; ``mark(index)`` is called before each item, and with COMMITTING before the sink."""
        rows: dict[int, contract.Row] = {}
        dropped: dict[str, int] = {}
        dead: list[wire.Dead] = []
        for index, payload in enumerate(spool.read_batch(order.path, order.start, order.end, order.n)):
            if index not in order.skip:
                mark(index)
                outcome = self._row(index, payload)
                if isinstance(outcome, dict):
                    rows[index] = outcome
                elif isinstance(outcome, wire.Dead):
                    dead.append(outcome)
                else:
                    dropped[outcome] = dropped.get(outcome, 0) + 1
        mark(wire.COMMITTING)
        cause = self._commit(order.batch, rows, dead)
        return wire.Failed(order.batch, cause) if cause else wire.Ack(order.batch, len(rows), dropped, dead)

    def finish(self) -> str | None:
        """Let the sink finish; return why it could not."""
        try:
            self._sink.finish()
        except Exception as error:  # noqa: BLE001  # a sink's libraries raise what they like
            return f"{type(error).__name__}: {error}"
        return None

    def close(self) -> None:
        self._sink.close()

    def _row(self, index: int, payload: bytes | None) -> contract.Row | wire.Dead | str:
        """The row, or the dead letter, or the reason to drop the item."""
        if payload is None:
            return wire.Dead(index, "spool", "damaged in the spool: its checksum does not fit")
        name = "decode"
        try:
            row = wire.decode_row(payload)
            for step in self._steps:
                name = step.name
                result = step.run(row)
                if result is None:
                    return name
                if not isinstance(result, dict):
                    raise TypeError(f"the step returned {type(result).__name__}, not a dict or None")
                row = result
        except steps.Drop as drop:
            return drop.reason
        except Exception as error:  # noqa: BLE001  # a step's error is this item's dead letter
            return wire.Dead(index, name, f"{type(error).__name__}: {error}", traceback.format_exc())
        return row

    def _commit(self, batch: str, rows: dict[int, contract.Row], dead: list[wire.Dead]) -> str | None:
        """Store the rows, those that no sink can hold become dead letters; return why the sink cannot."""
        cause, tries = "", 0
        while tries < TRIES:
            if tries:
                time.sleep(BACKOFF_S * 3 ** (tries - 1))
            try:
                if rows:
                    self._sink.commit(batch, list(rows.values()))
                return None
            except (OSError, SinkError) as error:
                cause = str(error)
            except Exception as error:  # noqa: BLE001  # a sink's libraries raise what they like
                cause = f"{type(error).__name__}: {error}"
                if unstorable := self._unstorable(rows):
                    for letter in unstorable:
                        del rows[letter.index]
                    dead += unstorable
                    continue
            tries += 1
        return str(SinkError(self._sink.name, batch, cause))

    def _unstorable(self, rows: dict[int, contract.Row]) -> list[wire.Dead]:
        found = []
        for index, row in rows.items():
            try:
                contract.check(row)
            except Exception as error:  # noqa: BLE001  # the values are a step's
                reason = f"{type(error).__name__}: {error}"
                found.append(wire.Dead(index, f"sink {self._sink.name}", reason, traceback.format_exc()))
        return found


def main(sock: socket.socket, job: Job, cell_path: str, trace_path: str) -> None:
    """The life of a worker process, until the crawler closes the socket or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the crawler, which then drains through us
    os.nice(NICE)
    _end_with_parent()
    with (
        Path(trace_path).open("w") as trace,
        Path(cell_path).open("r+b") as cell_file,
        mmap.mmap(cell_file.fileno(), wire.CELL_BYTES) as cell,
    ):
        faulthandler.enable(
            trace
        )  # where it was when it crashed, or when the crawler aborted it because it hung
        wire.mark(cell, 0, 0)
        try:
            runner = Runner(job)
        except Exception as error:  # noqa: BLE001  # told to the crawler, whole
            sock.sendall(wire.frame(wire.Unfit(f"{type(error).__name__}: {error}")))
            return
        with contextlib.suppress(ConnectionError):  # the crawler is gone: so are we
            sock.sendall(wire.frame(wire.Hello()))
            for message in _messages(sock):
                sock.sendall(wire.frame(_answer(runner, message, cell)))
                wire.mark(cell, 0, 0)
        runner.close()


def _answer(runner: Runner, message: wire.ToWorker, cell: mmap.mmap) -> wire.FromWorker:
    if isinstance(message, wire.Finish):
        return wire.Finished(runner.finish())
    return runner.deliver(message, lambda index: wire.mark(cell, message.seq, index))


def _messages(sock: socket.socket) -> Iterator[wire.ToWorker]:
    frames = wire.Frames()
    while data := sock.recv(65_536):
        for body in frames.feed(data):
            yield wire.decode_to_worker(body)


def _end_with_parent() -> None:
    """Leave when the crawler dies: its end of a pipe closes then, whatever we are doing."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def wait() -> None:
        select.select([sentinel], [], [])
        os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
    if hasattr(
        fcntl, "F_SETOWN"
    ):  # code that holds the interpreter lock stops the thread, not the kernel's signal
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(sentinel, fcntl.F_SETFL, fcntl.fcntl(sentinel, fcntl.F_GETFL) | os.O_ASYNC)
