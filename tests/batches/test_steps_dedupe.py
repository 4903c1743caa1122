"""What is dropped as a duplicate, and that no kill, redelivery or later run makes it drop a row that nobody has."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scraper.batches import steps
from scraper.batches.jobs import near
from scraper.batches.steps import BatchStep, Place
from scraper.errors import ConfigError

WORDS = (
    "harbour",
    "quiet",
    "winter",
    "ship",
    "stone",
    "river",
    "lamp",
    "market",
    "north",
    "paper",
    "glass",
    "bread",
)


class Worker:
    """What a worker does with a step, without the other steps; each is like a process of its own."""

    def __init__(self, folder: Path, name: str, **options: Any) -> None:
        (loaded,) = steps.load([{name: options}], Place(str(folder), str(folder)))
        assert isinstance(loaded.step, BatchStep)
        self.step = loaded.step
        self.step.prepare()
        self.step.open()

    def judge(self, batch: str, rows: Sequence[steps.Row]) -> list[int]:
        """Numbers of the rows that stay."""
        dropped = self.step.judge(batch, {n: self.step.look(row) for n, row in enumerate(rows)})
        return [n for n in range(len(rows)) if n not in dropped]

    def store(self, batch: str, rows: Sequence[steps.Row]) -> list[int]:
        kept = self.judge(batch, rows)
        self.step.stored(batch, kept)
        return kept


def row(key: str, text: str, scraped: int = 0) -> steps.Row:
    return {"_key": key, "_scraped_at": scraped, "text": text}


def text(seed: int, words: int = 200) -> str:
    chance = random.Random(seed)
    return " ".join(f"{chance.choice(WORDS)}{chance.randrange(300)}" for _ in range(words))


def altered(original: str, share: float, seed: int) -> str:
    """With this share of its words replaced."""
    chance, words = random.Random(seed), original.split()
    for at in chance.sample(range(len(words)), round(share * len(words))):
        words[at] = f"other{chance.randrange(10_000)}"
    return " ".join(words)


BOTH = pytest.mark.parametrize("name", ["dedupe_exact", "dedupe_near"])
A, B = text(1), text(2)


@BOTH
def test_the_same_content_is_stored_once(name: str, tmp_path: Path) -> None:
    """Within a batch and over batches, by whichever worker."""
    one, other = Worker(tmp_path, name), Worker(tmp_path, name)
    assert one.store("s-0-0", [row("1", A), row("2", A), row("3", B)]) == [0, 2]
    assert other.store("s-0-1", [row("4", B), row("5", A), row("6", text(3))]) == [2]


@BOTH
def test_a_batch_that_is_delivered_again_keeps_what_it_had(name: str, tmp_path: Path) -> None:
    """Killed before or after the sink, by another worker, cut in other places: no row is its own duplicate."""
    rows = [row("1", A), row("2", A), row("3", B)]
    assert Worker(tmp_path, name).judge("s-0-0", rows) == [0, 2]
    assert Worker(tmp_path, name).store("s-0-0", rows) == [0, 2]
    assert Worker(tmp_path, name).store("s-0-0", rows) == [0, 2]
    again = Worker(tmp_path, name)
    assert [again.store(f"s-0-{n}", [one]) for n, one in enumerate(rows)] == [[0], [], [0]]


@BOTH
def test_a_page_that_was_fetched_again_is_a_duplicate(name: str, tmp_path: Path) -> None:
    """After a kill the frontier hands out its page once more: same key, other moment."""
    worker = Worker(tmp_path, name)
    worker.judge("s-0-0", [row("1", A, scraped=1)])
    assert worker.store("s-0-1", [row("1", A, scraped=2)]) == []


@BOTH
def test_an_index_that_outlives_the_run(name: str, tmp_path: Path) -> None:
    """A later run (another spool) drops what an earlier one stored; without an index of its own it does not."""
    index = str(tmp_path / "kept" / "seen.sqlite")
    Worker(tmp_path / "1", name, index=index).store("first-0-0", [row("1", A)])
    assert Worker(tmp_path / "2", name, index=index).store("second-0-0", [row("2", A), row("3", B)]) == [1]
    assert Worker(tmp_path / "2", name).store("second-0-0", [row("2", A), row("3", B)]) == [0, 1]


@BOTH
def test_what_was_never_stored_is_no_reason_to_drop(name: str, tmp_path: Path) -> None:
    """A run that failed and was thrown away, a row that a later step refused: the next run keeps theirs. If the failed run is
    delivered after all, its row is the duplicate then.
    """
    index = str(tmp_path / "seen.sqlite")
    first, second = Worker(tmp_path, name, index=index), Worker(tmp_path, name, index=index)
    rows = [row("1", A), row("2", B), row("3", text(3))]
    assert first.judge("first-0-0", rows) == [0, 1, 2]
    first.step.stored("first-0-0", [2])
    assert second.store("second-0-0", [row("4", A), row("5", text(3)), row("6", A)]) == [0]
    assert first.store("first-0-0", rows) == [1, 2]


@BOTH
def test_an_index_made_with_other_options_is_refused(name: str, tmp_path: Path) -> None:
    """Its entries would mean something else; so is a file that is no index."""
    index = tmp_path / "seen.sqlite"
    Worker(tmp_path, name, index=str(index))
    other = {"dedupe_exact": "dedupe_near", "dedupe_near": "dedupe_exact"}[name]
    with pytest.raises(ConfigError, match="name another file"):
        Worker(tmp_path, other, index=str(index))
    index.write_text("no database" * 1000)
    with pytest.raises(ConfigError, match="cannot be its index"):
        Worker(tmp_path, name, index=str(index))


@BOTH
def test_an_index_that_cannot_be_written_holds_the_batch_back(name: str, tmp_path: Path) -> None:
    """It raises, so that the batch stays in the spool; afterwards everything is as if it had not been asked."""
    worker = Worker(tmp_path, name)
    worker.step._db.execute("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]  # a disk that is full
    many = [row(str(n), text(n)) for n in range(200)]
    with pytest.raises(OSError, match=f"{name}.sqlite: database or disk is full"):
        worker.judge("s-0-0", many)
    assert Worker(tmp_path, name).store("s-0-0", many) == list(range(200))


def test_exact_by_fields(tmp_path: Path) -> None:
    """Only these count; a title does not."""
    worker = Worker(tmp_path, "dedupe_exact", fields=["sku"])
    assert worker.store(
        "s-0-0", [{"sku": 1, "t": 1}, {"sku": 1, "t": 2, "_key": "x"}, {"sku": 2, "_key": "y"}]
    ) == [0, 2]


def test_near_texts_meet_and_others_do_not(tmp_path: Path) -> None:
    """Of 200 texts each with one word of 200 changed, all are dropped, and none of those with a tenth of them changed."""
    worker = Worker(tmp_path, "dedupe_near")
    originals = [text(seed) for seed in range(200)]
    assert len(worker.store("s-0-0", [row(f"o{n}", one) for n, one in enumerate(originals)])) == 200
    close = [row(f"c{n}", altered(one, 0.005, n)) for n, one in enumerate(originals)]
    assert worker.store("s-0-1", close) == []
    far = [row(f"f{n}", altered(one, 0.1, n)) for n, one in enumerate(originals)]
    assert worker.store("s-0-2", far) == list(range(200))


def test_near_leaves_short_texts_and_rows_without_text_alone(tmp_path: Path) -> None:
    """ "Sold out" under a hundred products does not make them one."""
    worker = Worker(tmp_path, "dedupe_near", least_words=30)
    short = " ".join(text(1).split()[:29])
    assert worker.store("s-0-0", [row("1", short), row("2", short), row("3", ""), {"text": 5}]) == [
        0,
        1,
        2,
        3,
    ]


def test_scripts_without_blanks_have_words_too() -> None:
    """Each of their characters is one."""
    assert near.words_of("Free 送料無料 no.5!") == ["free", "送", "料", "無", "料", "no", "5"]
    assert near.words_of("Größe ไทย") == ["größe", "ไ", "ท", "ย"]


def _work(folder: str, name: str, number: int) -> int:
    worker = Worker(Path(folder), name)
    kept = 0
    for batch in range(20):
        rows = [row(f"{number}-{batch}-{n}", text(batch * 10 + n, 60)) for n in range(10)]
        kept += len(worker.store(f"s-{number}-{batch}", rows))
    return kept


@BOTH
def test_workers_share_it(name: str, tmp_path: Path) -> None:
    """Four processes with the same 200 contents at once: each content is kept by one of them."""
    Worker(tmp_path, name)
    with multiprocessing.get_context("spawn").Pool(4) as pool:  # nobody is killed here
        kept = pool.starmap(_work, [(str(tmp_path), name, number) for number in range(4)])
    assert sum(kept) == 200
