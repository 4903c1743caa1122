"""I/O: run.json, the record of one run. There from the first second, heart-beaten, final at the end.

A record without an end whose heart stopped is ``lost``: the process was killed, or its machine was.
"""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from scraper.runs.outcome import LOST

RECORD = "run.json"
REPORT = "report.json"
FAILED = "failed.jsonl"
SAMPLES = "blocks"  # folder in which bans/ keeps refused pages
PROJECT = Path(__file__).parents[2]  # the checkout, where the project is not installed
CLAIM = "claimed"  # holds the process id of the run that the folder belongs to
RESERVE = ".reserve"
RESERVE_BYTES = 256 * 1024  # kept free, so that a run which ends because the disk is full can still say so
HEART_STOPPED_S = 60.0  # seconds: six missed beats of 10 s; a reactor busy for that long is as good as dead

_PACKAGES = ("scrapy", "twisted", "lxml", "cryptography", "pyarrow")


class RunRecord(msgspec.Struct, kw_only=True):
    """One run. Times are UTC; arguments and settings are masked; an empty ``outcome`` means that it still runs."""

    schema: int = 1
    run_id: str
    spider: str
    arguments: dict[str, Any] = {}
    settings: dict[str, Any] = {}  # those that differ from the project's
    command: list[str] = []  # what to type to run it again, masked
    version: str = ""  # of the code: git commit or package version
    versions: dict[str, str] = {}  # of Python and of what a bug report would need
    host: str = ""
    pid: int = 0
    started: datetime
    heartbeat: datetime
    ended: datetime | None = None
    finish_reason: str = ""
    outcome: str = ""
    rule: str = ""
    reason: str = ""
    exit_code: int | None = None
    paths: dict[str, str] = {}  # data, record, report, failed, samples, log


def write(record: RunRecord, folder: Path, *, last: bool = False) -> None:
    """Write run.json whole or not at all; ``last`` waits until it is on the disk. Raises OSError."""
    _replace(folder / RECORD, msgspec.json.format(msgspec.json.encode(record)) + b"\n", sync=last)


def write_report(report: dict[str, Any], folder: Path) -> None:
    """Write report.json whole or not at all. Raises OSError."""
    _replace(folder / REPORT, msgspec.json.format(msgspec.json.encode(report)) + b"\n", sync=True)


def read(path: Path, *, now: datetime | None = None) -> RunRecord:
    """The record at ``path`` (run.json or its folder), its outcome ``lost`` if its heart stopped by ``now`` (UTC).

    Raises OSError, and msgspec.ValidationError for a file that is not a record.
    """
    file = path / RECORD if path.is_dir() else path
    record = msgspec.json.decode(file.read_bytes(), type=RunRecord)
    silent = ((now or datetime.now(UTC)) - record.heartbeat).total_seconds()
    if record.ended is None and silent > HEART_STOPPED_S:
        record.outcome = LOST
        record.reason = f"its last heartbeat was {silent:,.0f} s ago; the process or its machine was killed"
    return record


def open_folder(folder: Path) -> None:
    """Make the run's folder and set room aside for its last words. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESERVE).write_bytes(b"\0" * RESERVE_BYTES)


def claim(folder: Path) -> None:
    """Take ``folder`` for one run, for good. Raises FileExistsError where a run has taken it before, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / CLAIM, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    os.write(handle, f"{os.getpid()}\n".encode())
    os.close(handle)


def samples(folder: Path) -> list[str]:
    """Names of the refused pages that the run has kept."""
    return sorted(path.name for path in (folder / SAMPLES).glob("*.txt"))


def release_reserve(folder: Path) -> None:
    """Give the room back; to be called before the last writes."""
    with contextlib.suppress(OSError):
        (folder / RESERVE).unlink()


def code_version(folder: Path) -> str:
    """``<sha>[-dirty]`` when ``folder`` is the root of a git checkout with a commit, else the package's version."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=9"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        found = subprocess.run(command, capture_output=True, text=True, timeout=2, check=False)
        if (folder / ".git").exists() and found.returncode == 0 and found.stdout.strip():
            return found.stdout.strip()
    try:
        return version("scraper")
    except PackageNotFoundError:
        return "unknown"


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def host() -> str:
    return socket.gethostname()


def _replace(path: Path, content: bytes, *, sync: bool) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
