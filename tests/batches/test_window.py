from __future__ import annotations

from scraper.batches.elsewhere.window import MAX_BATCHES, MAX_BYTES, Window, parted, token_of
from scraper.batches.log import Batch


def batch(number: int, size: int = 1000, skip: list[int] | None = None) -> Batch:
    return Batch(f"spool-{number}", "path", 0, 0, size, 10, skip or [])


def sent_by(window: Window) -> list[str]:
    found = []
    while one := window.next():
        found.append(one.id)
    return found


def test_a_token_tells_the_batch_and_what_it_goes_without() -> None:
    assert token_of(batch(1)) != token_of(batch(1, skip=[3])) == token_of(batch(1, skip=[3]))
    assert parted(token_of(batch(1, skip=[7, 3]))) == ("spool-1", [3, 7])
    assert parted(token_of(batch(1))) == ("spool-1", [])


def test_no_more_batches_go_than_fit_in_the_window() -> None:
    """In number and in bytes; an answer makes room for the next, a batch larger than the window goes alone."""
    many, large = Window(), Window()
    many.waiting.extend(batch(number) for number in range(MAX_BATCHES + 5))
    assert len(sent_by(many)) == MAX_BATCHES
    assert many.answered("spool-0/") is not None
    assert sent_by(many) == [f"spool-{MAX_BATCHES}"]
    large.waiting.extend([batch(0, 2 * MAX_BYTES), batch(1)])
    assert sent_by(large) == ["spool-0"]
    large.answered("spool-0/")
    assert sent_by(large) == ["spool-1"]
    assert large.size == 1000


def test_what_did_not_arrive_goes_again_first() -> None:
    window = Window()
    window.waiting.extend(batch(number) for number in range(2))
    window.next()
    window.again("spool-0/")
    window.again("spool-7/")  # nobody knows it
    assert (sent_by(window), window.size) == (["spool-0", "spool-1"], 2000)


def test_an_answer_is_for_a_batch_that_goes_without_the_same_items() -> None:
    """One that waits to be sent again gets it too; a second answer, or one to the batch as it was, is for nobody."""
    window = Window()
    window.waiting.append(batch(0, skip=[3]))
    window.next()
    assert window.answered("spool-0/") is None
    window.again("spool-0/3")
    assert window.answered("spool-0/3") is not None
    assert window.answered("spool-0/3") is None
    assert not window.waiting


def test_a_paused_window_lets_only_those_through_that_are_allowed() -> None:
    window = Window(allowed=1)
    window.waiting.extend(batch(number) for number in range(2))
    assert sent_by(window) == ["spool-0"]
