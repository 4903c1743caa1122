"""What a step is, and what stops the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scraper.batches import steps
from scraper.batches.steps import BatchStep, Place, RowStep
from scraper.errors import ConfigError

NO_PLACE = Place()


class Numbered(RowStep):
    """A step of one's own, with set-up: counts its rows."""

    def __init__(self, place: Place, *, begin: int = 0, secret: str = "") -> None:
        self.place, self.number, self.secret = place, begin, secret

    def open(self) -> None:
        self.number += 100

    def run(self, row: steps.Row) -> steps.Row:
        self.number += 1
        return {**row, "number": self.number}


class Plain:
    """A class that is no step."""

    def __init__(self, place: Place) -> None:
        pass


def test_steps_load_with_their_options() -> None:
    """Functions, classes and import paths, in the order given, by the name that the setting has."""
    specs = ["clean", {"content_hash": {"fields": ["a"], "into": "h"}}, "tests.batches.poison.number"]
    loaded = steps.load(specs, NO_PLACE)
    assert [one.name for one in loaded] == ["clean", "content_hash", "tests.batches.poison.number"]
    assert all(isinstance(one.step, RowStep) for one in loaded)
    assert loaded[1].step.run({"a": 1}).keys() == {"a", "h"}


def test_a_class_is_told_where_it_is_and_set_up_once() -> None:
    """It gets the folders, its options with what they take from the environment, and `open` before the rows."""
    path = f"{__name__}.Numbered"
    place = Place("run", "out", {"TOKEN": "example"})
    (loaded,) = steps.load([{path: {"begin": 5, "secret": "env:TOKEN"}}], place)
    assert isinstance(loaded.step, Numbered)
    assert (loaded.step.place, loaded.step.secret) == (place, "example")
    loaded.step.open()
    assert [loaded.step.run({})["number"] for _ in range(2)] == [106, 107]


@pytest.mark.parametrize("name", steps.KNOWN)
def test_every_step_loads_and_says_what_it_does(name: str, tmp_path: Path) -> None:
    """With the least options that it takes; docs/steps.md has it."""
    options: dict[str, Any] = {
        "redact": {"fields": ["a"]},
        "schema": {"model": "tests.batches.models.Product"},
    }
    (loaded,) = steps.load([{name: options.get(name, {})}], Place(str(tmp_path), str(tmp_path)))
    loaded.step.prepare()
    loaded.step.open()
    assert loaded.step if isinstance(loaded.step, BatchStep) else loaded.step.run({"x": "y"})
    loaded.step.close()
    assert f"## `{name}`" in Path("docs/steps.md").read_text()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("claen", "did you mean 'clean'"),
        ("zzz", "known: clean, redact, content_hash, main_text"),
        ("no.such.step", "cannot be imported"),
        ("scraper.batches.steps.nothing", "cannot be imported"),
        ("scraper.batches.steps.DUPLICATE", "is no step: it cannot be called"),
        (f"{__name__}.Plain", "must be a RowStep or BatchStep"),
        ({"clean": {"spik": 1}}, r"unexpected keyword argument 'spik'; it is clean\(row"),
        (
            {"content_hash": {"fields": "title"}},
            r"fields = 'title' is of the wrong type; it is content_hash\(place",
        ),
        ({"content_hash": {"algorithm": "md5"}}, "algorithm is one of xxh3, sha256"),
        ({"main_text": {"keep": 1}}, "keep = 1 is of the wrong type"),
        ({"main_text": {"by": "magic"}}, "by is resiliparse or trafilatura"),
        ({"structured_data": {"syntaxes": ["jsonld"]}}, r"\['jsonld'\]: .* of json-ld, microdata"),
        ({"language": {"at_least": 50}}, "a share, 0 to 1"),
        ({"price": {"decimal": "comma"}}, 'decimal is "."'),
        ({"date": {"order": "DDMM"}}, "the letters D, M and Y"),
        ({"date": {"timezone": "Berlin"}}, 'no time zone, such as "Europe/Berlin"'),
        ("redact", "give it fields, or patterns: email, phone"),
        ({"redact": {"patterns": ["(x"]}}, "is no regular expression"),
        ({"redact": {"patterns": ["x*"]}}, "fits everywhere"),
        ("schema", "either model"),
        ({"schema": {"model": "a.b", "file": "c"}}, "either model"),
        ({"schema": {"model": "tests.batches.models.Missing"}}, "cannot be imported"),
        ({"schema": {"model": "tests.batches.models.PLAIN"}}, "is no pydantic model"),
        ({"schema": {"file": "/no/such.json"}}, "cannot be read: No such file"),
        ({"schema": {"file": "README.md"}}, "is no JSON Schema"),
        ({"dedupe_near": {"threshold": 0.5}}, "a share, 0.8 to 1"),
        ({"clean": 1}, "write a name, or"),
        ({"a": {}, "b": {}}, "write a name, or"),
        (7, "write a name, or"),
    ],
)
def test_a_wrong_step_stops_the_start_and_names_the_way_out(spec: Any, words: str) -> None:
    """ConfigError names BATCH_STEPS, the step, and what to write instead."""
    with pytest.raises(ConfigError, match=words) as error:
        steps.load([spec], NO_PLACE)
    assert error.value.name == "BATCH_STEPS"


@pytest.mark.parametrize(
    ("spec", "library", "extra"),
    [
        ({"main_text": {"by": "trafilatura"}}, "trafilatura", "text"),
        ("structured_data", "extruct", "structured"),
        ("language", "py3langid", "language"),
        ("price", "price_parser", "prices"),
        ("date", "dateparser", "dates"),
        ({"schema": {"model": "tests.batches.models.Product"}}, "pydantic", "schema"),
        ({"schema": {"file": "README.md"}}, "jsonschema_rs", "schema"),
        ("dedupe_near", "rensa", "near"),
    ],
)
def test_a_missing_library_stops_the_start_and_names_its_extra(
    spec: Any, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything runs, not at the first row."""
    found = steps.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == library else found(name))
    with pytest.raises(ConfigError, match=rf'needs {library}, an extra: pip install "scraper\[{extra}\]"'):
        steps.load([spec], NO_PLACE)


def test_what_steps_need_is_imported_before_workers_are_forked() -> None:
    """Their libraries, each once."""
    assert steps.preloads(steps.load(["price", "price", "clean"], NO_PLACE)) == ("price_parser",)
