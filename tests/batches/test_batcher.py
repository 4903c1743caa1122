from __future__ import annotations

import pytest

from scraper.batches.batcher import Batcher, Limits


def batcher(*sizes: int, at_s: float = 0.0) -> Batcher:
    made = Batcher(Limits(items=3, size=100, age_s=0.5))
    for size in sizes:
        made.add(size, at_s)
    return made


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ((), None),
        ((1,), None),
        ((1, 1), None),
        ((1, 1, 1), "items"),
        ((99,), None),
        ((100,), "bytes"),
        ((50, 50), "bytes"),
    ],
)
def test_count_and_bytes_close_a_batch_exactly_at_the_limit(
    sizes: tuple[int, ...], reason: str | None
) -> None:
    """One below the limit waits, the limit goes."""
    assert batcher(*sizes).due(0.0) == reason


def test_age_counts_from_the_first_item() -> None:
    """A batch is due half a second after its first item, however many came later."""
    made = batcher(1, at_s=10.0)
    made.add(1, 10.4)
    assert made.due(10.49) is None
    assert made.due(10.5) == "age"
    made.close()
    assert made.due(99.0) is None
    made.add(1, 20.0)
    assert made.due(20.4) is None


def test_an_idle_worker_is_a_reason_only_while_somebody_is_held_back() -> None:
    """Idle and held back: whatever there is goes; nothing there: nothing goes."""
    assert batcher(1).due(0.0, idle=True, wanted=True) == "idle"
    assert batcher(1).due(0.0, idle=True, wanted=False) is None
    assert batcher(1).due(0.0, idle=False, wanted=True) is None
    assert batcher().due(0.0, idle=True, wanted=True) is None
