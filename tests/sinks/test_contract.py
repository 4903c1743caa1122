from __future__ import annotations

import pytest

from scraper.errors import ConfigError
from scraper.sinks import contract
from scraper.sinks.memory import MemorySink


def test_known_names_and_import_paths_load() -> None:
    """A sink is found by its short name or by the import path of its class."""
    assert {contract.load(name, "x").name for name in contract.KNOWN} == set(contract.KNOWN)
    assert isinstance(contract.load("scraper.sinks.memory.MemorySink", "x"), MemorySink)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("parqet", "did you mean 'parquet'"),
        ("nothing_like_it", "known: parquet, jsonl, memory"),
        ("no.such.Module", "cannot be imported"),
        ("scraper.sinks.memory.Nothing", "cannot be imported"),
        ("pathlib.Path", "is not a sink"),
    ],
)
def test_a_wrong_sink_stops_the_start_and_names_the_way_out(spec: str, words: str) -> None:
    """ConfigError names SINK, its value, and what to write instead."""
    with pytest.raises(ConfigError, match=words) as error:
        contract.load(spec, "x")
    assert (error.value.name, error.value.value) == ("SINK", spec)


@pytest.mark.parametrize("row", [{"x": object()}, {1: 2}, {"x": "\ud800"}, {"x": {(1, 2): 3}}])
def test_check_refuses_what_no_sink_need_hold(row: contract.Row) -> None:
    """Objects, lone surrogates and odd keys are not storable."""
    with pytest.raises((TypeError, ValueError)):
        contract.check(row)
