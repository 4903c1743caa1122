"""Adapter: what a run is called, where it lies, and its first record, from Scrapy's settings."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scraper.errors import ConfigError
from scraper.options import read
from scraper.runs import naming, record
from scraper.runs.redact import redact_value

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

_PROJECT = 20  # Scrapy's priority of the project's settings; above it: add-ons excepted, the spider's and -s
_CMDLINE = 40
_OWN = frozenset(("RUN_ID", "RUN_DIR", "OUT_DIR", "RUN_ARGUMENTS", "RUN_CLAIMED"))


def name_run(settings: BaseSettings, spider: str) -> None:
    """Fill RUN_ID, RUN_DIR and OUT_DIR where they are empty; RUN_ID may also come from the environment.

    The run's folder is taken, so that no second run stores into it. Raises ConfigError for a run id that cannot be a
    folder's name, and for one that another run has.
    """
    run_id = str(settings.get("RUN_ID") or os.environ.get("RUN_ID") or "")
    run_id = run_id or naming.new_run_id(spider, datetime.now(UTC), secrets.randbits(16))
    data_dir = read(settings, "DATA_DIR", str)
    values = {
        "RUN_ID": naming.checked_run_id(run_id),
        "RUN_DIR": settings.get("RUN_DIR") or naming.run_dir(data_dir, run_id),
        "OUT_DIR": settings.get("OUT_DIR") or naming.out_dir(data_dir, run_id),
    }
    for name, value in values.items():
        settings.set(name, str(value), priority="cmdline")
    if not is_claimed(settings):
        _claim(Path(values["RUN_DIR"]), run_id)
        settings.set("RUN_CLAIMED", str(values["RUN_DIR"]), priority="cmdline")


def is_claimed(settings: BaseSettings) -> bool:
    """Whether the run's folder belongs to this run."""
    return bool(settings.get("RUN_CLAIMED")) and settings.get("RUN_CLAIMED") == settings.get("RUN_DIR")


def _claim(folder: Path, run_id: str) -> None:
    try:
        record.claim(folder)
    except FileExistsError:
        way_out = f"is the name of another run, {folder}; give another, or deliver what that one left with scrapy batches drain {folder}"
        raise ConfigError("RUN_ID", run_id, way_out) from None
    except OSError as error:
        raise ConfigError("RUN_DIR", str(folder), f"cannot be made: {error.strerror}") from error


def new_record(settings: BaseSettings, spider: str, arguments: dict[str, Any]) -> record.RunRecord:
    """The record of a run that starts now, with masked ``arguments`` and the settings that differ."""
    now = datetime.now(UTC)
    folder = Path(settings["RUN_DIR"])
    differing = {
        str(name): (priority, redact_value(str(name), settings.get(name)))
        for name in settings
        if name not in _OWN and (priority := settings.getpriority(name) or 0) > _PROJECT
    }
    program = ["uv", "run", "scrapy"] if os.environ.get("UV") else ["scrapy"]  # uv tells it what it starts
    command = [*program, "crawl", spider]
    for name, value in arguments.items():
        command += ["-a", f"{name}={value}"] if not name.startswith("_") else []  # _job is Scrapyd's own
    for name, (priority, value) in sorted(differing.items()):
        if priority == _CMDLINE and isinstance(value, (str, int, float)):
            command += ["-s", f"{name}={value}"]
    if differing.get("FEEDS", (0, {}))[0] == _CMDLINE:  # from -o and -O
        for uri, feed in differing["FEEDS"][1].items():
            command += [
                "-O" if feed.get("overwrite") else "-o",
                f"{uri}:{feed.get('format', '')}".rstrip(":"),
            ]
    log = settings.get("LOG_FILE") if settings.getbool("LOG_ENABLED") or settings.get("LOG_FILE") else None
    return record.RunRecord(
        run_id=settings["RUN_ID"],
        spider=spider,
        arguments=arguments,
        settings={name: value for name, (_, value) in sorted(differing.items())},
        command=command,
        version=record.code_version(record.PROJECT),
        versions=record.versions(),
        host=record.host(),
        pid=os.getpid(),
        started=now,
        heartbeat=now,
        paths={
            "data": str(settings["OUT_DIR"]),
            "record": str(folder / record.RECORD),
            "report": str(folder / record.REPORT),
            "log": str(log or ""),
        },
    )
