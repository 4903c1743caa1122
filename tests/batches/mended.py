"""A step with a bug that can be mended: workers import it by path."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.batches import poison


def step(row: dict[str, Any], *, flag: str = "", ms: float = 0.0) -> Any:
    """Raise over a row that is "bad" until the file ``flag`` is there; else do what the row asks for."""
    time.sleep(ms / 1000)
    if row.get("do"):
        return poison.number(row)
    if row.get("bad") and not Path(flag).exists():
        raise ValueError("a bug of the step")
    return row
