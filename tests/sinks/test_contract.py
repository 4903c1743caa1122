from __future__ import annotations

from pathlib import Path

import pytest

from scraper.errors import ConfigError
from scraper.sinks import contract
from scraper.sinks.memory import MemorySink


def test_known_names_and_import_paths_load() -> None:
    """A sink is found by its short name or by the import path of its class."""
    assert {contract.load(name, "x", {}).name for name in contract.KNOWN} == set(contract.KNOWN)
    assert isinstance(contract.load("scraper.sinks.memory.MemorySink", "x", {}), MemorySink)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("parqet", "did you mean 'parquet'"),
        ("nothing_like_it", "known: parquet, jsonl, csv, sqlite, postgres, memory"),
        ("no.such.Module", "cannot be imported"),
        ("scraper.sinks.memory.Nothing", "cannot be imported"),
        ("pathlib.Path", "is not a sink"),
    ],
)
def test_a_wrong_sink_stops_the_start_and_names_the_way_out(spec: str, words: str) -> None:
    """ConfigError names SINK, its value, and what to write instead."""
    with pytest.raises(ConfigError, match=words) as error:
        contract.load(spec, "x", {})
    assert (error.value.name, error.value.value) == ("SINK", spec)


@pytest.mark.parametrize("row", [{"x": object()}, {1: 2}, {"x": "\ud800"}, {"x": {(1, 2): 3}}])
def test_check_refuses_what_no_sink_need_hold(row: contract.Row) -> None:
    """Objects, lone surrogates and odd keys are not storable."""
    with pytest.raises((TypeError, ValueError)):
        contract.check(row)


class Asks(MemorySink):
    def __init__(self, out_dir: str, *, url: str = "") -> None:
        super().__init__(out_dir)
        self.url = url


def test_several_sinks_get_every_batch_each_once(tmp_path: Path) -> None:
    sink = contract.load(["jsonl", {"parquet": {}}], str(tmp_path), {})
    assert sink.name == "jsonl+parquet"
    sink.prepare()
    sink.commit("b1", [{"_key": "a"}])
    sink.commit("b1", [{"_key": "a"}])
    sink.finish()
    assert [path.read_text() for path in tmp_path.glob("data-*.jsonl")] == ['{"_key":"a"}\n']
    assert len(list(tmp_path.glob("data-*.parquet"))) == 1


def test_a_password_comes_from_the_environment(tmp_path: Path) -> None:
    named = {"tests.sinks.test_contract.Asks": {"url": "env:STORE_URL"}}
    sink = contract.load(named, str(tmp_path), {"STORE_URL": "example"})
    assert isinstance(sink, Asks)
    assert sink.url == "example"
    with pytest.raises(ConfigError, match="the environment has no STORE_URL"):
        contract.load(named, str(tmp_path), {})
