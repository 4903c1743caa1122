from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scraper.batches import wire

MESSAGES: list[wire.FromWorker] = [
    wire.Hello(),
    wire.Ack("b", 3, {"clean": 1}, [wire.Dead(2, "step", "ValueError: x", "traceback")]),
    wire.Failed("b", "disk full"),
    wire.Unfit("no pyarrow"),
    wire.Finished(None),
]


@given(st.lists(st.integers(1, 50), min_size=1))
def test_messages_survive_any_cutting(cuts: list[int]) -> None:
    """However the stream is cut, the same messages come out."""
    stream = b"".join(wire.frame(message) for message in MESSAGES)
    frames, found, position = wire.Frames(), [], 0
    while position < len(stream):
        size = cuts[position % len(cuts)]
        found += [wire.decode_from_worker(body) for body in frames.feed(stream[position : position + size])]
        position += size
    assert found == MESSAGES


def test_orders_go_the_other_way() -> None:
    """What the crawler sends is decoded by the worker."""
    order = wire.Order(1, "b", "/spool/seg", 0, 10, 2, [1])
    (body,) = wire.Frames().feed(wire.frame(order))
    assert wire.decode_to_worker(body) == order


@given(st.integers(1, 2**40), st.integers(0, wire.COMMITTING))
def test_the_progress_cell(seq: int, index: int) -> None:
    """Order and index come back from 8 bytes."""
    cell = bytearray(wire.CELL_BYTES)
    assert wire.marked(cell) == (0, 0)
    wire.mark(cell, seq, index)
    assert wire.marked(cell) == (seq, index)
