from __future__ import annotations

from pathlib import Path

from scraper.batches import ledger
from scraper.batches.ledger import Attempt, Cut, Done, Ledger, Quarantined, Released

RECORDS: list[ledger.Record] = [
    Cut(0, 0, 100, 3),
    Attempt(0, 0, 2, 'killed by "SIGKILL"\n'),
    Quarantined(0, 0, 2),
    Done(0, 0, 100),
    Released(0),
]


def written(path: Path) -> Path:
    book = Ledger(path)
    for record in RECORDS:
        book.write(record)
    book.close()
    return path


def test_records_come_back_in_order(tmp_path: Path) -> None:
    """What was written is read."""
    assert ledger.read(written(tmp_path / "ledger")) == (RECORDS, 0)
    assert ledger.read(tmp_path / "none") == ([], 0)


def test_a_line_that_was_cut_at_any_byte_is_left_out(tmp_path: Path) -> None:
    """A torn end costs that record only, and does not swallow the next one."""
    path = written(tmp_path / "ledger")
    data = path.read_bytes()
    last = data[:-1].rindex(b"\n") + 1
    for end in range(last, len(data) - 1):
        path.write_bytes(data[:end])
        book = Ledger(path)
        book.write(Cut(1, 0, 1, 1))
        book.close()
        assert ledger.read(path) == ([*RECORDS[:-1], Cut(1, 0, 1, 1)], int(end > last))


def test_a_damaged_line_costs_one_record(tmp_path: Path) -> None:
    """A line of rubbish is counted and skipped."""
    path = written(tmp_path / "ledger")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"\xff\x00rubbish\n", *lines[1:]]))
    assert ledger.read(path) == (RECORDS, 1)
