"""I/O. One batch after the other: read it from the spool, run the steps, commit it to the sink, answer.

Runs in a process of its own (or, for debugging, in a thread of the crawler: `Runner`). It imports no Scrapy
and no Twisted, and it is gone when the crawler is: idle ones read the end of their socket, busy and hung
ones are ended by a thread and, should something hold the interpreter lock, by the kernel.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import functools
import mmap
import multiprocessing
import os
import resource
import select
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from scraper.batches import segments, steps, wire
from scraper.errors import SinkError
from scraper.sinks import contract

NICE = 10  # measured: with workers at 15 the crawl is 1.7 times faster than with workers at 0, at 5 1.6 times
TRIES = 3  # of a commit
BACKOFF_S = 0.5  # before the second try, three times as long before the third: 2 s in all

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Job:
    """What every batch of a run gets: ``BATCH_STEPS``, ``SINK``, the folder for the records, and that of the run, where steps
    keep what they know.
    """

    steps: list[Any]
    sink: Any
    out_dir: str
    run_dir: str = ""


def steps_of(job: Job) -> list[steps.Loaded]:
    """Its steps, neither prepared nor opened. ConfigError if one is wrong."""
    return steps.load(job.steps, steps.Place(job.run_dir, job.out_dir, os.environ))


class Runner:
    """Delivers batches, as the worker ``name``. ConfigError if a step or the sink does not load."""

    def __init__(self, job: Job, name: str = "0") -> None:
        self._name = name
        self._steps = steps_of(job)
        self._sink = contract.load(job.sink, job.out_dir, os.environ)
        for loaded in self._steps:
            loaded.step.open()

    def deliver(self, order: wire.Order, mark: Callable[[int], None]) -> wire.Ack | wire.Failed:
        """Store the batch. ``mark(index)`` is called before each item, in each step, and with COMMITTING before anything that is
        about the batch as a whole.
        """
        batch, began = _Batch(mark), time.perf_counter_ns()
        mark(0)  # should it die over the reading: somebody has to be to blame, or the batch comes for ever
        try:
            payloads = segments.read_batch(order.path, order.start, order.end, order.n)
        except OSError as error:
            return wire.Failed(order.batch, f"the spool cannot be read: {error}")
        try:
            for index, payload in enumerate(payloads):
                if index not in order.skip:
                    mark(index)
                    batch.decode(index, payload)
            for loaded in self._steps:
                began_ns = time.perf_counter_ns()
                self._apply(loaded, order.batch, batch)
                spent_ns = time.perf_counter_ns() - began_ns
                batch.step_ns[loaded.name] = batch.step_ns.get(loaded.name, 0) + spent_ns
            mark(wire.COMMITTING)
            self._commit(order.batch, batch.rows, batch.dead)
            for loaded in self._steps:
                if isinstance(loaded.step, steps.BatchStep):
                    confirm = functools.partial(loaded.step.stored, order.batch, batch.rows.keys())
                    _tried(f"step {loaded.name}", order.batch, confirm)
        except _NotStored as error:
            return wire.Failed(order.batch, str(error), error.passing)
        spent_ns = time.perf_counter_ns() - began
        return wire.Ack(
            order.batch,
            len(batch.rows),
            batch.dropped,
            batch.dead,
            batch.step_ns,
            self._name,
            spent_ns,
            rss(),
        )

    def finish(self) -> str | None:
        """Let the sink finish; return why it could not."""
        try:
            self._sink.finish()
        except Exception as error:  # noqa: BLE001  # a sink's libraries raise what they like
            return wire.cause_of(error)
        return None

    def close(self) -> None:
        self._sink.close()
        for loaded in self._steps:
            loaded.step.close()

    def _apply(self, loaded: steps.Loaded, name: str, batch: _Batch) -> None:
        """One step over the batch; _NotStored if it cannot judge it."""
        step = loaded.step
        if isinstance(step, steps.RowStep):
            batch.change(loaded.name, step.run)
            return
        judge = functools.partial(step.judge, name, batch.each(loaded.name, step.look))
        batch.mark(wire.COMMITTING)
        for index, reason in _tried(f"step {loaded.name}", name, judge).items():
            batch.drop(index, reason)

    def _commit(self, name: str, rows: dict[int, contract.Row], dead: list[wire.Dead]) -> None:
        """Store the rows, those that no sink can hold become dead letters. _NotStored if the sink cannot."""

        def commit() -> None:
            try:
                if rows:
                    self._sink.commit(name, list(rows.values()))
            except (OSError, SinkError):
                raise
            except Exception:
                unstorable = self._unstorable(rows)
                if not unstorable:
                    raise
                for letter in unstorable:
                    del rows[letter.index]
                dead.extend(unstorable)
                commit()

        _tried(f"sink {self._sink.name}", name, commit)

    def _unstorable(self, rows: dict[int, contract.Row]) -> list[wire.Dead]:
        found = []
        for index, row in rows.items():
            try:
                contract.check(row)
            except Exception as error:  # noqa: BLE001  # the values are a step's
                trace = wire.sayable(traceback.format_exc())
                found.append(wire.Dead(index, f"sink {self._sink.name}", wire.cause_of(error), trace))
        return found


class _NotStored(Exception):
    """The batch has to stay in the spool. ``passing``: until its place is well again."""

    def __init__(self, said: str, *, passing: bool) -> None:
        super().__init__(said, passing)
        self.passing = passing

    def __str__(self) -> str:
        return str(self.args[0])


class _Batch:
    """The rows of a batch on their way through the steps; what becomes of those that do not reach the sink."""

    def __init__(self, mark: Callable[[int], None]) -> None:
        self.mark = mark
        self.rows: dict[int, contract.Row] = {}
        self.dropped: dict[str, int] = {}
        self.dead: list[wire.Dead] = []
        self.step_ns: dict[str, int] = {}

    def decode(self, index: int, payload: bytes | None) -> None:
        if payload is None:
            self.dead.append(wire.Dead(index, "spool", "damaged in the spool: its checksum does not fit"))
        else:
            try:
                self.rows[index] = wire.decode_row(payload)
            except Exception as error:  # noqa: BLE001  # whatever is wrong, it is with this item
                trace = wire.sayable(traceback.format_exc())
                self.dead.append(wire.Dead(index, "decode", wire.cause_of(error), trace))

    def each(self, name: str, look: Callable[[contract.Row], Any]) -> dict[int, Any]:
        """What ``look`` makes of each row; a row that it raises on is a row no more."""
        found = {}
        for index, row in list(self.rows.items()):
            self.mark(index)
            try:
                found[index] = look(row)
            except steps.Drop as drop:
                self.drop(index, drop.reason)
            except steps.Refuse as refusal:
                self.bury(index, name, refusal.reason)
            except Exception as error:  # noqa: BLE001  # a step's error is this item's dead letter
                self.bury(index, name, wire.cause_of(error), traceback.format_exc())
        return found

    def change(self, name: str, step: Callable[[contract.Row], contract.Row | None]) -> None:
        """Each row becomes what the step returns."""
        for index, result in self.each(name, step).items():
            if isinstance(result, dict):
                self.rows[index] = result
            elif result is None:
                self.drop(index, name)
            else:
                wrong = f"TypeError: the step returned {type(result).__name__}, not a dict or None"
                self.bury(index, name, wrong)

    def drop(self, index: int, reason: str) -> None:
        del self.rows[index]
        reason = wire.sayable(reason)
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def bury(self, index: int, step: str, reason: str, trace: str = "") -> None:
        del self.rows[index]
        self.dead.append(wire.Dead(index, step, wire.sayable(reason), wire.sayable(trace)))


def _tried(who: str, batch: str, call: Callable[[], _T]) -> _T:
    """What ``call`` returns, on the last of TRIES at the latest; _NotStored says why not."""
    for number in range(1, TRIES + 1):
        try:
            return call()
        except Exception as error:  # noqa: BLE001  # libraries of sinks and steps raise what they like
            passing = isinstance(error, OSError | SinkError)
            cause = wire.sayable(error) if passing else wire.cause_of(error)
        if number < TRIES:
            time.sleep(BACKOFF_S * 3 ** (number - 1))
    raise _NotStored(f"{who}: batch {batch} not stored: {cause}", passing=passing)


def rss(pid: int | None = None) -> int:
    """Bytes of memory that a process holds, by default this one; 0 where the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid or 'self'}/statm").read_bytes().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * resource.getpagesize()


def main(sock: socket.socket, job: Job, name: str, cell_path: str, trace_path: str) -> None:
    """The life of the worker process ``name``, until the crawler closes the socket or is gone."""
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
            runner = Runner(job, name)
        except Exception as error:  # noqa: BLE001  # told to the crawler, whole
            sock.sendall(wire.frame(wire.Unfit(wire.cause_of(error))))
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
