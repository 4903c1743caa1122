"""benchmarks/outage.py in little: a crawl whose store is down, or whose disk is full, for 3 s."""

from __future__ import annotations

import pytest

from benchmarks import outage

TIMES = outage.Times(rate=200, before_s=1, outage_s=3, after_s=1)


@pytest.mark.service
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["postgres, small backlog", "full disk, sink", "full disk, spool"])
def test_a_crawl_outlives_it_and_loses_nothing(name: str) -> None:
    """Every item that the crawl was told is safe is stored once, the books balance, and the spool stays in its bound."""
    try:
        found = outage.play(name, TIMES)
    except PermissionError as error:
        pytest.skip(f"mount is not permitted here: {error}")
    assert outage.faults(found) == [], found["stderr"][-2000:]
    assert 1 < found["outage_s"] < TIMES.outage_s + 8  # it was noticed, and so was its end
    assert found["books"]["dead_letter"] == 0


@pytest.mark.service
@pytest.mark.timeout(60)
def test_a_crawl_that_cannot_store_ends_as_failed_and_keeps_everything() -> None:
    """When the store does not come back in time; `scraper.batches.drain` delivers the rest."""
    found = outage.play("postgres, for too long", TIMES)
    assert outage.faults(found, fails=True) == [], found["stderr"][-2000:]
    assert found["books"]["unfinished"] > 0
