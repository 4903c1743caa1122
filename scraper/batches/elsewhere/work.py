"""I/O. A machine that works for crawls on others: ``python -m scraper.batches.elsewhere.work --log redis://host:6379/0``.

Serves every spool that is listed in that Redis, each with worker processes of its own. SIGTERM: takes no more, finishes what
it has, leaves with 0. It needs the same version of this project as the crawls, and the environment variables that their
sinks and steps name. The folder of a file sink must be one that all machines share, under the same path.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scraper.batches.elsewhere import redis_log
from scraper.batches.elsewhere.link import Line
from scraper.batches.elsewhere.machine import Machine, Unable
from scraper.batches.elsewhere.redis_log import DOWN, RedisLog
from scraper.batches.elsewhere.served import Served
from scraper.errors import ConfigError

LOOK_S = 1.0  # between two looks for new spools
ASIDE_S = 10.0  # a spool that this machine is unable to serve is left to others; twice as long each time
MAX_ASIDE_S = 300.0
_PREFIX = "batches-work-"

logger = logging.getLogger(__name__)


async def work(url: str, machine: Machine, stop: asyncio.Event) -> int:
    """Serve until ``stop`` is set; return how many batches were done. ConfigError if ``url`` is wrong. A Redis that is away is
    waited for.
    """
    client = redis_log.connect(url)
    logger.info(
        "%s works for %s with %d workers a crawl", machine.consumer, redis_log.shown(url), machine.workers
    )
    line = Line(redis_log.shown(url), "no batches are taken")
    serving: dict[str, tuple[Served, asyncio.Task[None]]] = {}
    aside: dict[str, tuple[float, float]] = {}  # spool -> until when, for how long
    done, loop = 0, asyncio.get_running_loop()
    try:
        while serving or not stop.is_set():
            found: set[str] = set()
            if not stop.is_set():
                try:
                    found = await redis_log.spools(client)
                    line.works()
                except DOWN as error:
                    await line.broken(error)
                    continue
            for name in found - serving.keys():
                if aside.get(name, (0.0, 0.0))[0] <= loop.time():
                    served = Served(RedisLog(client, name), machine, line)
                    serving[name] = served, loop.create_task(served.run())
            await _pause(stop, [task for _, task in serving.values()])
            for name, (served, task) in list(serving.items()):
                if stop.is_set():
                    served.leave()
                if task.done():
                    del serving[name]
                    done += served.done
                    why = await _why(task, RedisLog(client, name), machine)
                    rest_s = min(MAX_ASIDE_S, 2 * aside.pop(name, (0.0, 0.0))[1] or ASIDE_S)
                    if why:
                        aside[name] = loop.time() + rest_s, rest_s
                        logger.warning("spool %s is left alone for %.0f s: %s", name, rest_s, why)
    finally:
        for _, task in serving.values():
            task.cancel()
        await client.aclose()
    return done


async def _pause(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """LOOK_S, or until one of them is done; when leaving, only that."""
    stopped = asyncio.ensure_future(stop.wait())
    ends = tasks if stop.is_set() and tasks else [*tasks, stopped]
    await asyncio.wait(ends, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()


async def _why(task: asyncio.Task[None], log: RedisLog, machine: Machine) -> str:
    """Why this machine cannot serve the spool, told to its crawl; "" if it has only come to an end."""
    error = task.exception()
    if error is None or isinstance(error, DOWN):
        return ""
    why = str(error) if isinstance(error, Unable) else f"{type(error).__name__}: {error}"
    with contextlib.suppress(*DOWN):
        if await log.errand():  # else the crawl has ended, and the folder's mark is gone with it
            await log.say(f"{why} (on {machine.name})")
    return why


async def _until_signal(url: str, machine: Machine) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await work(url, machine, stop)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """For the batches in hand; those of machines that were killed go."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), (left / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is held for as long as its machine lives
            shutil.rmtree(left)
    temporary = tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
    with temporary as name, (Path(name) / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(name)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scrapy batches work", description=(__doc__ or "").split("\n\n")[0])
    add = parser.add_argument
    add(
        "--log",
        required=True,
        help='redis://host:6379/0, rediss:// for TLS, or "env:NAME" where that has a password',
    )
    add(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="processes for each crawl; default: one per core",
    )
    add(
        "--takeover",
        type=float,
        default=30.0,
        help="seconds after which a silent machine's batches are another's; default 30, the same on all",
    )
    add(
        "--drain", type=float, default=60.0, help="seconds that leaving waits for what is in hand; default 60"
    )
    add("--max-mb", type=int, default=1024, help="MB that a worker may hold; default 1024")
    add(
        "--allow",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="whose steps and sinks may be run too; may be repeated",
    )
    given = parser.parse_args(arguments)
    if given.workers < 1 or given.takeover < 0.5 or given.drain < 0 or given.max_mb < 64:
        parser.error("at least: --workers 1, --takeover 0.5, --drain 0, --max-mb 64")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    host = socket.gethostname()
    with _folder() as folder:
        machine = Machine(
            host, f"{host}-{os.getpid()}-{secrets.token_hex(3)}", folder, given.workers, given.takeover,
            given.drain, given.max_mb << 20, tuple(given.allow),
        )  # fmt: skip
        try:
            done = asyncio.run(_until_signal(given.log, machine))
        except ConfigError as error:
            name = "--log" if error.name == "BATCH_LOG" else error.name
            sys.stderr.write(f"{ConfigError(name, error.value, error.way_out)}\n")
            return 2
    logger.info("left after %d batches", done)
    return 0


if __name__ == "__main__":
    sys.exit(main())
