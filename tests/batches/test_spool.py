from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from scraper.batches import spool as spools
from scraper.batches.log import Batch
from scraper.batches.segments import read_batch
from scraper.batches.spool import Spool
from scraper.errors import ConfigError

ITEMS = [f"item {n} ".encode() * (n + 1) for n in range(10)]


def payloads(batch: Batch) -> list[bytes | None]:
    return read_batch(batch.path, batch.start, batch.end, batch.n)


def opened(folder: Path, segment_bytes: int = spools.SEGMENT_BYTES) -> Spool:
    return Spool(folder / "spool", {"job": "x"}, segment_bytes)


def abandon(spool: Spool) -> None:
    """What the death of its owner does: files and lock are let go, nothing is written any more."""
    for name in ("_file", "_lock"):
        if getattr(spool, name) >= 0:
            os.close(getattr(spool, name))
    spool._ledger.close()


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "spool").glob("seg-*"))


def test_batches_read_back_what_was_appended(tmp_path: Path) -> None:
    """Each batch is the range of its own items, and its id tells spool, segment and place."""
    spool = opened(tmp_path)
    for item in ITEMS[:4]:
        spool.append(item)
    first = spool.cut()
    for item in ITEMS[4:]:
        spool.append(item)
    second = spool.cut()
    assert first is not None
    assert second is not None
    assert payloads(first) == ITEMS[:4]
    assert payloads(second) == ITEMS[4:]
    assert spool.cut() is None
    name, segment, start = first.id.split("-")
    assert second.id == f"{name}-{segment}-{first.end:010d}"
    assert (segment, start) == ("000000", "0000000000")
    spool.close()


def test_a_segment_goes_when_all_its_batches_are_stored(tmp_path: Path) -> None:
    """Not before, and the ledger says so first; a closed and settled spool holds no item."""
    spool = opened(tmp_path, segment_bytes=100)
    batches = []
    for item in ITEMS:
        spool.append(item)
        batch = spool.cut()
        assert batch is not None
        batches.append(batch)
    assert len(segments(tmp_path)) == 5  # a segment ends with the batch that reaches 100 bytes
    for batch in reversed(batches):
        assert payloads(batch) != [None]
        spool.settle(batch)
    spool.close()
    assert segments(tmp_path) == []
    again = opened(tmp_path)
    assert again.recovered == []
    again.close()


def test_a_new_owner_gets_what_was_not_stored(tmp_path: Path) -> None:
    """After a death: batches not settled with their ids, then the items that were in no batch yet; each once."""
    spool = opened(tmp_path)
    for number, item in enumerate(ITEMS[:9]):
        spool.append(item)
        if number in (2, 5):
            batch = spool.cut()
            assert batch is not None
            if number == 2:
                spool.settle(batch)
            else:
                left = batch
    abandon(spool)
    again = opened(tmp_path)
    assert [payloads(batch) for batch in again.recovered] == [ITEMS[3:6], ITEMS[6:9]]
    assert again.recovered[0].id == left.id
    abandon(again)
    third = opened(tmp_path)
    assert [(b.id, b.n) for b in third.recovered] == [(b.id, b.n) for b in again.recovered]
    third.append(b"new")
    new = third.cut()
    assert new is not None
    assert new.id not in {batch.id for batch in third.recovered}
    for batch in (*third.recovered, new):
        third.settle(batch)
    third.close()
    assert segments(tmp_path) == []


def test_attempts_and_quarantine_outlive_the_owner(tmp_path: Path) -> None:
    """A crash loop of the whole crawler must reach quarantine: deaths are counted in the ledger."""
    spool = opened(tmp_path)
    for item in ITEMS:
        spool.append(item)
    batch = spool.cut()
    assert batch is not None
    assert spool.attempt(batch, 3, "killed") == 1
    spool.quarantine(batch, 7)
    abandon(spool)
    again = opened(tmp_path)
    (recovered,) = again.recovered
    assert recovered.skip == [7]
    assert again.attempt(recovered, 3, "killed") == 2
    again.close()


@pytest.mark.parametrize("zeros", [b"", bytes(5000)])
def test_a_tail_cut_at_every_byte(tmp_path: Path, zeros: bytes) -> None:
    """Wherever the last write ended, the whole items before it are delivered, the rest is cut off and
    reported; what was allocated ahead is no rest.
    """
    spool = opened(tmp_path)
    sizes = [spool.append(item) for item in ITEMS[:3]]
    abandon(spool)
    (path,) = (tmp_path / "spool").glob("seg-*")
    assert path.stat().st_size > sum(sizes)  # it was allocated ahead
    data = path.read_bytes()[: sum(sizes)]
    for end in range(sizes[0] + sizes[1], len(data) + 1):
        (tmp_path / "spool" / "ledger.jsonl").unlink(missing_ok=True)
        path.write_bytes(data[:end] + zeros)
        again = opened(tmp_path)
        whole = 3 if end == len(data) else 2
        (batch,) = again.recovered
        assert payloads(batch) == ITEMS[:whole]
        assert again.torn_bytes == len(data[sum(sizes[:whole]) : end].rstrip(b"\0"))
        abandon(again)


@pytest.mark.parametrize("in_batches", [True, False])
def test_a_flipped_bit_costs_one_item(tmp_path: Path, in_batches: bool) -> None:
    """1,000 single bit flips anywhere in a segment: only the damaged record is lost, and the count still
    fits.
    """
    spool = opened(tmp_path)
    written = sum(spool.append(item) for item in ITEMS)
    if in_batches:
        spool.cut()
    abandon(spool)
    (path,) = (tmp_path / "spool").glob("seg-*")
    data, ledger = path.read_bytes(), (tmp_path / "spool" / "ledger.jsonl").read_bytes()
    chance = random.Random(1)
    for _ in range(500):
        damaged = bytearray(data)
        damaged[chance.randrange(written)] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        (tmp_path / "spool" / "ledger.jsonl").write_bytes(ledger)
        again = opened(tmp_path)
        found = [payload for batch in again.recovered for payload in payloads(batch)]
        assert [payload for payload in found if payload is not None] in [
            ITEMS[:lost] + ITEMS[lost + 1 :] for lost in range(10)
        ]
        assert len(found) == 10 or (again.torn_bytes and len(found) == 9)
        abandon(again)


def test_a_lost_segment_is_named_item_by_item(tmp_path: Path) -> None:
    """A segment that somebody deleted gives damaged items, not an error and not silence."""
    spool = opened(tmp_path)
    for item in ITEMS:
        spool.append(item)
    spool.cut()
    abandon(spool)
    for path in (tmp_path / "spool").glob("seg-*"):
        path.unlink()
    again = opened(tmp_path)
    assert [payloads(batch) for batch in again.recovered] == [[None] * 10]
    again.close()


def test_without_its_ledger_a_spool_has_the_same_batches_under_the_same_names(tmp_path: Path) -> None:
    """A power cut may take it: the sinks must know again what they have. The open batch of a killed owner is one, too."""
    spool = opened(tmp_path)
    cut = []
    for size in (3, 1, 4, 2):
        for item in ITEMS[:size]:
            spool.append(item)
        batch = spool.cut()
        assert batch is not None
        cut.append((batch.id, batch.n, batch.start, batch.end))
    spool.append(ITEMS[0])
    abandon(spool)
    for lost in ("ledger.jsonl", "spool.json"):
        (tmp_path / "spool" / lost).write_bytes(b"" if lost == "ledger.jsonl" else bytes(100))
        again = opened(tmp_path)
        assert [(one.id, one.n, one.start, one.end) for one in again.recovered[:4]] == cut
        assert [payloads(one) for one in again.recovered[3:]] == [ITEMS[:2], ITEMS[:1]]
        abandon(again)


def test_damage_over_several_items_moves_no_other(tmp_path: Path) -> None:
    """Each item stands at its own index whatever lies in ruins before it, since quarantine and dead letters go by it."""
    spool = opened(tmp_path)
    ends = [spool.append(item) for item in ITEMS]
    batch = spool.cut()
    assert batch is not None
    abandon(spool)
    path = Path(batch.path)
    data = bytearray(path.read_bytes())
    data[sum(ends[:2]) : sum(ends[:5])] = bytes(sum(ends[2:5]))
    path.write_bytes(data)
    for ledger in (True, False):
        if not ledger:
            (tmp_path / "spool" / "ledger.jsonl").write_bytes(b"")
        again = opened(tmp_path)
        (found,) = again.recovered
        assert payloads(found) == [*ITEMS[:2], None, None, None, *ITEMS[5:]]
        abandon(again)


def test_ids_never_come_twice(tmp_path: Path) -> None:
    """Segments that are gone keep their numbers; another folder has another name."""
    seen = set()
    for _ in range(3):
        spool = opened(tmp_path)
        spool.append(b"x")
        batch = spool.cut()
        assert batch is not None
        seen.add(batch.id)
        spool.settle(batch)
        spool.close()
    other = opened(tmp_path / "other")
    other.append(b"x")
    batch = other.cut()
    assert batch is not None
    seen.add(batch.id)
    other.close()
    assert len(seen) == 4


def test_one_owner(tmp_path: Path) -> None:
    """A second process is refused while the first lives, and told which folder."""
    spool = opened(tmp_path)
    program = (
        "import sys; from pathlib import Path; from scraper.batches.spool import Spool; "
        "Spool(Path(sys.argv[1]), {})"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "spool")]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "another process is delivering its spool" in refused.stderr
    spool.close()
    assert subprocess.run(command, check=False).returncode == 0


def test_no_spool_is_a_clear_error(tmp_path: Path) -> None:
    """Asking for the spool of a folder that has none names the folder."""
    with pytest.raises(ConfigError, match="holds no spool"):
        spools.about(tmp_path / "spool")
