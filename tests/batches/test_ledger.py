from __future__ import annotations

from pathlib import Path

from scraper.batches import ledger
from scraper.batches.ledger import Attempt, Cut, Done, Ledger, Opened, Quarantined, Released

RECORDS: list[ledger.Record] = [
    Opened("0a1b", {"job": {"steps": [{"price": {"fields": ["x y"]}}]}}),
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


def test_no_flipped_bit_makes_another_record(tmp_path: Path) -> None:
    """Whichever bit of whichever line flips: the record is as it was or left out; a newline that goes costs two at most."""
    path = written(tmp_path / "ledger")
    data = path.read_bytes()
    for at in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[at // 8] ^= 1 << at % 8
        path.write_bytes(damaged)
        found, bad = ledger.read(path)
        assert bad >= 1
        assert len(RECORDS) - len(found) <= 2
        assert [record for record in RECORDS if record in found] == found


def test_a_damaged_line_costs_one_record(tmp_path: Path) -> None:
    """A line of rubbish is counted and skipped."""
    path = written(tmp_path / "ledger")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"\xff\x00rubbish\n", *lines[1:]]))
    assert ledger.read(path) == (RECORDS, 1)
