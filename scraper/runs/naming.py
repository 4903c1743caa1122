"""Rule: what a run is called and where its files lie."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from scraper.errors import ConfigError

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


def new_run_id(spider: str, now: datetime, chance: int) -> str:
    """``<spider>-<YYYYmmddTHHMMSSZ>-<4 hex>``; ``now`` in UTC, ``chance`` any integer. Sorts by time per spider."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", spider).strip("-")[:80] or "spider"
    return f"{name}-{now:%Y%m%dT%H%M%SZ}-{chance % 0x10000:04x}"


def checked_run_id(run_id: str) -> str:
    """``run_id`` when it can be a folder's name; ConfigError otherwise."""
    if not _RUN_ID.fullmatch(run_id):
        raise ConfigError("RUN_ID", run_id, "use up to 120 letters, digits, dots, dashes and underscores")
    return run_id


def run_dir(data_dir: str, run_id: str) -> str:
    """Folder of the run's record, report, failed pages and spool."""
    return str(Path(data_dir) / "runs" / run_id)


def out_dir(data_dir: str, run_id: str) -> str:
    """Folder of the run's records."""
    return str(Path(data_dir) / "out" / run_id)
