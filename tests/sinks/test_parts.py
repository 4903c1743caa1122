from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scraper.sinks.parts import Parts


class Cut(Exception):
    """The process ends here."""


def parts_with_three(folder: Path) -> Parts:
    parts = Parts(str(folder), "txt")
    parts.prepare()
    for n in range(3):
        parts.add(f"b{n}", lambda path, n=n: path.write_text(f"{n}\n"))
    return parts


def concatenate(files: list[Path], new_path: Callable[[], Path]) -> None:
    new_path().write_text("".join(path.read_text() for path in files))


@pytest.mark.parametrize("deed", ["rename", "unlink"])
@pytest.mark.parametrize("at", range(7))
def test_a_merge_that_is_cut_off_is_completed_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str, at: int
) -> None:
    """Wherever a merge ends, before or after each rename and each unlink, the next prepare leaves each row
    once.
    """
    parts = parts_with_three(tmp_path)
    real, done = getattr(Path, deed), [0]

    def cut(self: Path, *arguments: object, **keywords: object) -> object:
        if done[0] == at:
            raise Cut
        done[0] += 1
        return real(self, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(Path, deed, cut)
        with contextlib.suppress(Cut):
            parts.merge(concatenate)
    again = Parts(str(tmp_path), "txt")
    again.prepare()
    assert sorted("".join(path.read_text() for path in again.files()).split()) == ["0", "1", "2"]
    again.merge(concatenate)
    assert [path.name for path in again.files()] == ["data-001-00000.txt"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_killed_workers_left_is_removed_at_the_next_start(tmp_path: Path) -> None:
    """Half-written dot files are never read and go at the next prepare."""
    parts = parts_with_three(tmp_path)
    (tmp_path / ".part-b9.txt.123.tmp").write_text("half")
    assert len(parts.files()) == 3
    parts.prepare()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part-b0.txt", "part-b1.txt", "part-b2.txt"]


def test_what_killed_workers_left_is_not_in_the_folder_when_the_run_has_ended(tmp_path: Path) -> None:
    """polars refuses a folder with anything else in it."""
    parts = parts_with_three(tmp_path)
    (tmp_path / ".part-b1.txt.123.tmp").write_text("half")
    parts.merge(concatenate)
    assert [path.name for path in tmp_path.iterdir()] == ["data-001-00000.txt"]


def test_a_part_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """An error while writing leaves no file behind."""
    parts = parts_with_three(tmp_path)

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        parts.add("b9", fail)
    assert len(list(tmp_path.iterdir())) == 3


def write_3(path: Path) -> None:
    path.write_text("3\n")


def test_the_manifest_lists_the_files_and_the_batches_in_them(tmp_path: Path) -> None:
    """Beside the folder, so that readers of the folder find nothing but data in it; over several merges."""
    parts = parts_with_three(tmp_path / "out")
    parts.merge(concatenate)
    parts.add("b3", write_3)
    parts.merge(concatenate)
    assert parts.manifest == tmp_path / "out.txt.manifest.json"
    assert json.loads(parts.manifest.read_text()) == {
        "files": {"data-002-00000.txt": 8},
        "batches": ["b0", "b1", "b2", "b3"],
    }


def test_a_merge_that_fails_leaves_the_parts_and_no_half_file(tmp_path: Path) -> None:
    """On a full disk, what was written so far would be in the way of the next try."""
    parts = parts_with_three(tmp_path)

    def fail(files: list[Path], new_path: Callable[[], Path]) -> None:
        new_path().write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        parts.merge(fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part-b0.txt", "part-b1.txt", "part-b2.txt"]


def test_a_part_that_comes_after_its_batch_was_merged_is_not_there_twice(tmp_path: Path) -> None:
    """As one of a machine that was frozen before it wrote, while another delivered the batch and the run ended."""
    parts, other = (Parts(str(tmp_path / "out"), "txt") for _ in range(2))
    parts.prepare()

    def concat(files: list[Path], new_path: Callable[[], Path]) -> None:
        new_path().write_text("".join(path.read_text() for path in files))

    def frozen(path: Path) -> None:
        other.add("b", lambda aside: aside.write_text("row"))
        other.merge(concat)
        path.write_text("row")

    parts.add("b", frozen)
    assert [path.name for path in parts.files()] == ["data-001-00000.txt"]
