"""A lab in a process of its own, for a spider, a test or a benchmark: it dies with whoever started it."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from scraper.lab.options import LabError, LabOptions, to_arguments

READY_SECONDS = 20.0  # from the start of Python to the ready line; takes about one on a small machine
_STOP_SECONDS = 5.0
LOG_FILE = "lab.log"

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback, whatever HTTP_PROXY says


def start(folder: str | os.PathLike[str], *, seed: int = 1, pages: int = 4, **options: Any) -> LabProcess:
    """Start a lab with its files in ``folder`` and wait until it is ready.

    ``options``: further fields of LabOptions. Raises TypeError for an unknown one, LabError for a wrong one, or with
    what the lab had to say when it ends at once or is not ready after READY_SECONDS.
    """
    return LabProcess(Path(folder), LabOptions(seed=seed, pages=pages, **options))


class LabProcess:
    """A running lab. ``info``: the content of lab.json (start addresses, ports, files)."""

    def __init__(self, folder: Path, options: LabOptions) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / LOG_FILE
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "scraper.lab", "--json", "--while-stdin", "--dir", str(folder)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command + to_arguments(options),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for whoever started the lab, who still needs it while it ends
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                env={**os.environ, "PYTHONPATH": path},
            )
        try:
            self.info: dict[str, Any] = json.loads(self._ready_line())
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def truth(self) -> dict[str, Any]:
        """GET /truth."""
        told: dict[str, Any] = self._ask("truth_url")
        return told

    def served(self) -> list[dict[str, Any]]:
        """GET /served: one dict for each request that reached a site."""
        told: list[dict[str, Any]] = self._ask("served_url")
        return told

    def control(self, order: dict[str, list[str]]) -> dict[str, Any]:
        """POST /control, e.g. {"kill": ["residential"]}. Raises LabError when the lab refuses the order."""
        told: dict[str, Any] = self._ask("control_url", json.dumps(order).encode())
        return told

    def stop(self) -> None:
        """End the lab; may be called again."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _ask(self, name: str, body: bytes | None = None) -> Any:
        try:
            with _opener.open(self.info[name], body, timeout=10) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise LabError(json.load(error)["error"]) from None
        except OSError as error:
            raise LabError(f"the lab does not answer: {error}; see {self._log}") from error

    def _ready_line(self) -> bytes:
        lines: queue.Queue[bytes] = queue.Queue()
        assert self._process.stdout is not None
        threading.Thread(target=_first_line, args=(self._process.stdout, lines), daemon=True).start()
        try:
            line = lines.get(timeout=READY_SECONDS)
        except queue.Empty:
            raise LabError(f"the lab was not ready after {READY_SECONDS:g} s: {self._said()}") from None
        if not line:
            raise LabError(f"the lab ended at once: {self._said()}")
        return line

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace").strip()[-2000:] or "it said nothing"


def _first_line(stream: IO[bytes], lines: queue.Queue[bytes]) -> None:
    lines.put(stream.readline())
