"""Runs whose workers are on other machines: machines and crawls in processes of their own, which can be killed."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.batches.harness import Run, payload

ROOT = Path(__file__).parents[2]
VARIABLE = "TEST_BATCH_LOG"  # where the address is: it has a password
URL = f"env:{VARIABLE}"


def ends_machine(row: dict[str, Any]) -> dict[str, Any]:
    """A step: a row that says so kills not only its worker but the machine's own process."""
    if row.get("do") == "end_machine":
        machine = multiprocessing.parent_process()
        assert machine is not None
        assert machine.pid is not None
        os.kill(machine.pid, signal.SIGKILL)
        time.sleep(60)
    return row


@dataclass
class Remote(Run):
    """A run whose workers are behind VARIABLE's Redis."""

    elsewhere: str = URL
    outage_s: float = 60.0


class Workers:
    """``scraper.batches.elsewhere.work`` in processes of their own."""

    def __init__(self, url: str, folder: Path, *, takeover_s: float = 2.0) -> None:
        self._environment = {**os.environ, VARIABLE: url, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
        self._folder, self._takeover_s = folder, takeover_s
        self.machines: list[subprocess.Popen[bytes]] = []

    def start(self, workers: int = 1, *arguments: str) -> subprocess.Popen[bytes]:
        log = self._folder / f"work-{len(self.machines)}.log"
        with log.open("ab") as out:
            machine = subprocess.Popen(
                [
                    sys.executable, "-m", "scraper.batches.elsewhere.work", "--log", URL, "--workers", str(workers),
                    "--takeover", str(self._takeover_s), *(arguments or ("--allow", "tests")),
                ],
                stdout=out, stderr=subprocess.STDOUT, env=self._environment, cwd=ROOT,
            )  # fmt: skip
        self.machines.append(machine)
        return machine

    def said(self) -> str:
        return "".join(path.read_text() for path in sorted(self._folder.glob("work-*.log")))

    def kill(self, machine: subprocess.Popen[bytes]) -> None:
        machine.send_signal(signal.SIGKILL)
        machine.wait(10)


@contextmanager
def working(url: str, folder: Path, *, machines: int = 1, takeover_s: float = 2.0) -> Iterator[Workers]:
    found = Workers(url, folder, takeover_s=takeover_s)
    try:
        for _ in range(machines):
            found.start()
        yield found
    finally:
        for machine in found.machines:
            if machine.poll() is None:
                found.kill(machine)


class Crawl:
    """A crawl without the crawling, in a process that can be killed and started again: puts rows 0 to ``items`` that it has not
    tried to put before; ends when all is stored. The file "put" says what it tried and what was taken.
    """

    def __init__(
        self, url: str, folder: Path, items: int, deeds: dict[int, str], *, sink: str = "jsonl"
    ) -> None:
        self.folder = folder
        self._environment = {**os.environ, VARIABLE: url, "PYTHONPATH": str(ROOT)}
        self._order = {"folder": str(folder), "items": items, "deeds": deeds, "sink": sink}
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, __file__, json.dumps(self._order)]
        with (self.folder / "crawl.log").open("ab") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, env=self._environment, cwd=ROOT
            )
        return self.process

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


def main() -> None:
    order = json.loads(sys.argv[1])
    run = Remote(
        Path(order["folder"]), sink=order["sink"], drain_timeout_s=90.0, outage_s=60.0, items=10, age_s=0.05
    )
    put = run.folder / "put"

    async def go() -> None:
        one = run.delivery()
        await one.open()
        with put.open("a") as file:
            for number in range(put.read_text().count("try"), order["items"]):
                deed = order["deeds"].get(str(number))
                file.write(f"try {number}\n")
                file.flush()
                await one.put(payload({"n": number, "do": deed, "flag": str(run.folder / f"flag-{number}")}))
                file.write(f"put {number}\n")
                file.flush()
                await asyncio.sleep(0.002)
        await one.close()

    asyncio.run(go())
    print(json.dumps({"failures": run.failures, "counts": run.counts}))
    sys.exit(1 if run.failures else 0)


if __name__ == "__main__":
    main()
