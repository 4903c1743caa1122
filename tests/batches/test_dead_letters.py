from __future__ import annotations

import json
from pathlib import Path

from scraper.batches.dead_letters import DeadLetters


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "dead_letters.jsonl").read_text().splitlines()]


def test_a_letter_has_its_reason_and_the_item(tmp_path: Path) -> None:
    """One line each, bytes as base64, what JSON cannot hold as its repr."""
    letters = DeadLetters(tmp_path)
    letters.add("b-1", "clean", "ValueError: x", {"n": 1, "raw": b"\xff"}, "Traceback ...")
    letters.add("b-2", "encode", "no", {"x": {("a",): 1}})
    first, second = lines(tmp_path)
    assert (first["id"], first["step"], first["reason"], first["traceback"]) == (
        "b-1",
        "clean",
        "ValueError: x",
        "Traceback ...",
    )
    assert first["item"] == {"n": 1, "raw": "/w=="}
    assert second["item"] == "{'x': {('a',): 1}}"


def test_a_letter_is_written_once_over_starts(tmp_path: Path) -> None:
    """A batch that is delivered again does not write its letters again, also after a torn line."""
    DeadLetters(tmp_path).add("b-1", "s", "r", None)
    with (tmp_path / "dead_letters.jsonl").open("a") as file:
        file.write('{"id":"b-9"')
    again = DeadLetters(tmp_path)
    again.add("b-1", "s", "r", None)
    again.add("b-2", "s", "r", None)
    assert (tmp_path / "dead_letters.jsonl").read_text().count("\n") == 3


def test_no_file_without_letters(tmp_path: Path) -> None:
    """A run without dead letters has no such file."""
    DeadLetters(tmp_path)
    assert list(tmp_path.iterdir()) == []
