from __future__ import annotations

from typing import Any

import pytest

from scraper.batches import steps
from scraper.errors import ConfigError

PAGE = (
    "<html><head><meta charset='{charset}'><title>T</title></head><body><nav><a href=/>Home</a></nav>"
    "<main><article><h1>Crème brûlée</h1><p>Take four eggs and a lot of patience, then wait for it.</p></article></main>"
    "<footer>imprint</footer></body></html>"
)


def test_clean() -> None:
    """Blanks are normalised at every depth, empty strings become None; bodies and our own columns stay."""
    row = {
        "title": "  a \t\xa0 b \r\n\n\n\n c  ",
        "empty": " \n ",
        "list": [" x ", {"y": " "}],
        "n": 1,
        "raw": b" x ",
        "body": " <b> ",
        "_url": " x ",
    }
    assert steps.clean(row) == {
        "title": "a b\n\nc",
        "empty": None,
        "list": ["x", {"y": None}],
        "n": 1,
        "raw": b" x ",
        "body": " <b> ",
        "_url": " x ",
    }
    assert steps.clean({"keep": " x ", "body": " x "}, skip=["keep"]) == {"keep": " x ", "body": "x"}


def test_content_hash_is_the_same_for_the_same_content() -> None:
    """Equal content gives the equal hash whatever the key, the address or the order of fields; else it
    differs.
    """
    one = steps.content_hash({"a": 1, "b": {"x": 1, "y": 2}, "_key": "1"})["content_hash"]
    assert one == steps.content_hash({"b": {"y": 2, "x": 1}, "a": 1, "_key": "2"})["content_hash"]
    assert one != steps.content_hash({"a": 2, "b": {"x": 1, "y": 2}})["content_hash"]
    assert len(one) == 32


def test_content_hash_of_fields() -> None:
    """Only the named fields count; bytes are hashed as they are; a boundary between fields cannot be moved."""

    def hashed(row: dict[str, Any]) -> str:
        return str(steps.content_hash(row, fields=["a", "b"], into="h")["h"])

    assert hashed({"a": b"x", "b": "y", "c": 1}) == hashed({"a": b"x", "b": "y", "c": 2})
    assert hashed({"a": b"xb=1:y", "b": b""}) != hashed({"a": b"x", "b": b"y"})
    assert steps.content_hash({"a": 1, "h": "old"}, into="h") == steps.content_hash(
        {"a": 1, "h": "older"}, into="h"
    )


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "windows-1252"])
def test_main_text_of_bytes(charset: str) -> None:
    """The main content, decoded by the page's own charset, without navigation and imprint."""
    row = steps.main_text({"body": PAGE.format(charset=charset).encode(charset)})
    assert "Crème brûlée" in row["main_text"]
    assert "patience" in row["main_text"]
    assert "imprint" not in row["main_text"]
    assert "body" in row


def test_main_text_of_text_and_without_a_page() -> None:
    """A str is taken as it is, keep=False drops it; a row without a page stays as it is."""
    row = steps.main_text({"html": PAGE.format(charset="x"), "n": 1}, keep=False, into="text")
    assert row.keys() == {"n", "text"}
    assert steps.main_text({"n": 1, "body": b""}) == {"n": 1, "body": b""}


def test_steps_load_with_their_options() -> None:
    """Names, names with options, and import paths, in the order given."""
    specs = ["clean", {"content_hash": {"fields": ["a"], "into": "h"}}, "tests.batches.poison.number"]
    loaded = steps.load(specs)
    assert [step.name for step in loaded] == ["clean", "content_hash", "tests.batches.poison.number"]
    assert loaded[1].run({"a": 1}) == steps.content_hash({"a": 1}, fields=["a"], into="h")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("claen", "did you mean 'clean'"),
        ("zzz", "known: clean, content_hash, main_text"),
        ("no.such.step", "cannot be imported"),
        ("scraper.batches.steps.nothing", "cannot be imported"),
        ("scraper.batches.steps.DUPLICATE", "is no step: it cannot be called"),
        ({"clean": {"spik": 1}}, r"unexpected keyword argument 'spik'; it is clean\(row"),
        (
            {"content_hash": {"fields": "title"}},
            r"fields = 'title' is of the wrong type; it is content_hash\(row",
        ),
        ({"main_text": {"keep": 1}}, "keep = 1 is of the wrong type"),
        ({"clean": 1}, "write a name, or"),
        ({"a": {}, "b": {}}, "write a name, or"),
        (7, "write a name, or"),
    ],
)
def test_a_wrong_step_stops_the_start_and_names_the_way_out(spec: Any, words: str) -> None:
    """ConfigError names BATCH_STEPS, the step, and what to write instead."""
    with pytest.raises(ConfigError, match=words) as error:
        steps.load([spec])
    assert error.value.name == "BATCH_STEPS"
