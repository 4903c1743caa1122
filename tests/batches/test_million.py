"""benchmarks/million.py in little: what a million items show in minutes, 30,000 show roughly in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import million
from benchmarks.memory import flatness

ITEMS = 30_000


@pytest.mark.service
@pytest.mark.timeout(60)
def test_memory_does_not_grow_with_the_items_and_four_engines_read_them(tmp_path: Path) -> None:
    """60 MB of items go through; crawler and worker grow by 8 MB at most once the first third is through."""
    whole = million.child({"what": "through", "folder": str(tmp_path), "n": ITEMS, "every_s": 0.2})
    for who, memory in flatness(whole["samples"], warm=1 / 3).items():
        assert memory["max_mb"] - memory["warm_mb"] < 8, (who, memory)
        assert memory["max_mb"] < 250, (who, memory)
    read = million.read_by_all(tmp_path / "out", ITEMS)
    assert read["least"] >= million.MIN_GROUP_ROWS


@pytest.mark.service
@pytest.mark.timeout(60)
def test_a_backlog_is_on_disk_and_not_in_the_crawler(tmp_path: Path) -> None:
    """40 MB of items that nobody takes cost the crawler 8 MB at most; all are stored afterwards."""
    cost = million.child({"what": "backlog", "folder": str(tmp_path), "n": 40})
    assert cost["backlog_mb"] >= 40
    assert cost["cost_mb"] < 8
