"""I/O. What is left in a log, told by its ledger and its segments alone: nothing is taken, nothing is changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scraper.batches import ledger, segments
from scraper.batches.batcher import Limits
from scraper.batches.log import Batch

LIMITS = Limits(100, 1 << 20, 0.5)  # of batches that are made without a crawl; see batcher.py for the reasons

Cuts = dict[int, tuple[int, int]]  # start -> end, items: the batches of one segment


@dataclass(frozen=True, slots=True)
class Uncut:
    """What no record of the ledger speaks of: (start, end, items) of batches; where they end in the file, and the bytes after
    that which are neither an item nor zeros.
    """

    batches: list[tuple[int, int, int]]
    whole_bytes: int
    torn_bytes: int


def name(uuid: str, segment: int, start: int) -> str:
    """Of a batch: whoever finds its items again gives it the same."""
    return f"{uuid}-{segment:06d}-{start:010d}"


def about_segments(records: Iterable[ledger.Record]) -> list[ledger.OfSegment]:
    return [record for record in records if not isinstance(record, ledger.Opened)]


def all_segments(folder: Path) -> dict[int, Path]:
    """The files of the spool in ``folder``, by number."""
    return {int(path.stem[4:]): path for path in sorted(folder.glob("seg-*.log"))}


def segments_of(folder: Path, records: list[ledger.Record]) -> dict[int, Path]:
    """Those of the spool in ``folder`` that are needed, whether they are there or not."""
    released = {record.segment for record in records if isinstance(record, ledger.Released)}
    numbers = (all_segments(folder).keys() | cuts_of(records).keys()) - released
    return {number: folder / f"seg-{number:06d}.log" for number in sorted(numbers)}


def cuts_of(records: Iterable[ledger.Record]) -> defaultdict[int, Cuts]:
    """The batches that the ledger knows, by segment."""
    found: defaultdict[int, Cuts] = defaultdict(dict)
    for record in records:
        if isinstance(record, ledger.Cut):
            found[record.segment][record.start] = record.end, record.n
    return found


def known(records: list[ledger.Record]) -> defaultdict[int, Cuts]:
    """`cuts_of`, and what was stored: a damaged ledger may have lost the cut of it. Of those the items are 0."""
    found = cuts_of(records)
    for record in records:
        if isinstance(record, ledger.Done):
            found[record.segment].setdefault(record.start, (record.end, 0))
    return found


def uncut(path: Path, cuts: Cuts, *, torn: bool) -> Uncut:
    """``torn``: what is damaged at the end of the file is no item, its owner died while it wrote it. OSError if the segment cannot
    be read.
    """
    size = path.stat().st_size
    found: list[tuple[int, int, int]] = []
    begin = 0
    for start, (end, _n) in (*sorted(cuts.items()), (size, (size, 0))):
        if begin < start:
            data = segments.read(path, begin, start)
            ranges = segments.batches(data, torn=torn and start == size)
            found += [(begin + first, begin + last, n) for first, last, n in ranges]
        if start < size:
            begin = max(begin, end)
    whole = max([begin, *(end for _, end, _ in found)])
    rest = segments.read(path, whole, size).rstrip(b"\0") if whole < size else b""
    return Uncut(found, min(whole, size), len(rest))


def unsettled(records: list[ledger.Record], uuid: str, paths: Mapping[int, Path]) -> list[Batch]:
    """The batches in ``paths`` (by segment) that are not stored, in their order, with what happened to their items."""
    done = {(record.segment, record.start) for record in records if isinstance(record, ledger.Done)}
    cuts = cuts_of(records)
    found = {}
    for segment, path in paths.items():
        for start, (end, n) in sorted(cuts[segment].items()):
            if (segment, start) not in done:
                batch = name(uuid, segment, start)
                found[segment, start] = Batch(batch, str(path), segment, start, end, n)
    for record in records:
        if isinstance(record, ledger.Attempt | ledger.Quarantined):
            waiting = found.get((record.segment, record.start))
            if waiting and isinstance(record, ledger.Attempt):
                waiting.attempts[record.index] += 1
            elif waiting:
                waiting.skip.append(record.index)
    return list(found.values())
