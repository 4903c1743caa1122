from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from scraper.errors import ConfigError
from scraper.sinks import contract, sql
from tests.sinks import postgres_server

NIGHT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {"_key": "run-1/p/0", "price": 3, "name": "it's", "seen": NIGHT, "tags": ["a", "b"], "raw": b"\xff"},
    {"_key": "run-1/p/1", "price": 3.5, "name": "", "seen": NIGHT, "tags": {"de": 1}, "raw": b"\0"},
    {"_key": "run-1/p/2", "price": "n/a", "name": 'x"\n\r\ny', "late": True},
]
SINKS: list[Any] = ["parquet", "jsonl", {"jsonl": {"compress": "zstd"}}, "csv", "sqlite"]


def stored(out: Path, spec: Any, *, finish: bool = True) -> sql.Source:
    """Each row a batch of its own."""
    sink = contract.load(spec, str(out), {})
    sink.prepare()
    for number, row in enumerate(ROWS):
        sink.commit(f"b-{number}", [row])
    if finish:
        sink.finish()
    sink.close()
    return sql.Source("run-1", spec, out)


def ask(statement: str, *sources: sql.Source, limit: int | None = None) -> list[tuple[Any, ...]]:
    with sql.query(statement, sources, {}, limit) as found:
        return list(found.rows())


@pytest.mark.parametrize("finish", [True, False], ids=["merged", "parts"])
@pytest.mark.parametrize("spec", SINKS, ids=str)
def test_one_view_over_every_sink(tmp_path: Path, spec: Any, finish: bool) -> None:
    """Also of a run that was not merged, whose parts differ; values come as text where they are mixed, JSON is usable."""
    source = stored(tmp_path / "out", spec, finish=finish)
    assert ask("select run, price::text, name from records order by _key", source) == [
        ("run-1", ask("select min(price::text) from records", source)[0][0], "it's"),
        ("run-1", "3.5", ""),
        ("run-1", "n/a", 'x"\n\r\ny'),
    ]
    assert ask("select tags ->> '$.de' from records where _key = 'run-1/p/1'", source) == [("1",)]
    assert ask(
        "select count(*) from records where seen::timestamptz = '2026-01-02T03:04:05Z'::timestamptz", source
    ) == [(2,)]
    assert ask("select count(*) from records where late::boolean", source) == [(1,)]


def test_a_run_with_two_formats_counts_each_record_once(tmp_path: Path) -> None:
    """Also where one is JSON Lines and the other is JSON Lines with zstd."""
    source = stored(tmp_path / "out", ["jsonl", {"jsonl": {"compress": "zstd"}}, "csv"])
    assert ask("select count(*) from records", source) == [(len(ROWS),)]


def test_a_look_at_sqlite_leaves_nothing_beside_it(tmp_path: Path) -> None:
    source = stored(tmp_path / "out", "sqlite")
    before = {path.name: path.read_bytes() for path in source.out_dir.iterdir()}
    assert ask("select count(*) from records", source) == [(3,)]
    assert {path.name: path.read_bytes() for path in source.out_dir.iterdir()} == before


def test_several_runs_in_one_view(tmp_path: Path) -> None:
    """Of different sinks too; `run` tells them apart. Of several sinks of one run, one is read: all hold the same."""
    one = stored(tmp_path / "one", "parquet")
    two = sql.Source("run-2", ["jsonl", "csv"], stored(tmp_path / "two", ["jsonl", "csv"]).out_dir)
    assert ask("select run, count(*) from records group by 1 order by 1", one, two) == [
        ("run-1", 3),
        ("run-2", 3),
    ]
    assert ask("select count(*) from records", sql.Source("folder", None, tmp_path / "two")) == [(3,)]


@pytest.mark.parametrize("spec", ["parquet", "jsonl", "csv"])
def test_odd_names_of_fields_keep_their_values(tmp_path: Path, spec: str) -> None:
    """Two that differ in case, one that is called as our own column, one with quotes, and very many."""
    row = {"Price": 1, "price": 2, "run": "theirs", 'it\'s "q"': 3, **{f"n{n}": n for n in range(300)}}
    sink = contract.load(spec, str(tmp_path / "out"), {})
    sink.prepare()
    sink.commit("b-1", [row])
    source = sql.Source("run-1", spec, tmp_path / "out")
    statement = """select _run, run, "Price", price_1, "it's ""q""\", n299 from records"""
    assert ask(statement, source) == [("run-1", "theirs", 1, 2, 3, 299)]


def test_no_statement_writes_or_reads_another_file(tmp_path: Path) -> None:
    """COPY also hides in WITH and in EXPLAIN: every file is as before, none is new, and none but the records is read."""
    source = stored(tmp_path / "out", "parquet")
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nexample\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    data = next((tmp_path / "out").glob("*.parquet"))
    for statement in (
        f"copy (select 1) to '{data}'",
        f"with a as (copy (select 1) to '{data}' (use_tmp_file false)) select 1",
        f"with a as (copy (select 1) to '{tmp_path}/new.csv') select 1",
        f"explain analyze copy (select 1) to '{data}' (use_tmp_file false)",
        f"export database '{tmp_path}/new'",
        f"attach '{tmp_path}/new.db'",
        f"select * from read_csv('{secret}')",
        f"select * from read_text('{secret}')",
        f"select * from '{secret}'",
        f"select * from glob('{tmp_path}/*')",
        f"select * from read_parquet('{data}')",
        f"select * from enable_logging(storage = 'file', storage_config = {{'path': '{tmp_path}/log'}})",
        "set enable_external_access = true",
        "install sqlite",
        "drop view records",
        "select 1; select 2",
        "from statement",
        "nonsense",
    ):
        with pytest.raises(sql.BadStatement) as raised:
            ask(statement, source)
        assert "\n" not in str(raised.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_the_engine_computes_comes_as_plain_values(tmp_path: Path) -> None:
    """Sums, decimals, moments in UTC; `limit` cuts."""
    source = stored(tmp_path / "out", "parquet")
    assert ask(
        "select sum(x), 1.50::decimal(5,2), timestamptz '2026-01-02 03:04:05+00' from range(3) t(x)", source
    ) == [(Decimal(3), Decimal("1.50"), NIGHT)]
    assert len(ask("from records", source, limit=2)) == 2


def test_more_than_fits_into_memory_is_sorted(tmp_path: Path) -> None:
    """What does not fit goes into a folder of its own, which is removed."""
    source = stored(tmp_path / "out", "parquet")
    statement = (
        "select length(repeat(x::text, 20)) from (select x from range(3000000) t(x) order by hash(x)) limit 1"
    )
    assert len(ask(statement, source)) == 1


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run-9.*nothing is stored there yet"):
        ask("from records", sql.Source("run-9", "parquet", tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"my.Sink.*cannot be read"):
        ask("from records", sql.Source("run-9", "my.Sink", tmp_path))


@pytest.fixture(scope="module")
def postgres() -> Iterator[postgres_server.Server]:
    with postgres_server.running() as server:
        yield server


@pytest.mark.service
def test_a_table_in_postgresql(postgres: postgres_server.Server, tmp_path: Path) -> None:
    """`run` is that of each row's key, as several runs may share the table; a wrong password is an error without it."""
    environment = {**os.environ, "STORE_URL": postgres.url}
    spec = {"postgres": {"url": "env:STORE_URL", "table": "shop"}}
    sink = contract.load(spec, str(tmp_path), environment)
    sink.prepare()
    sink.commit("b-1", ROWS)
    sink.close()
    source = sql.Source("whatever", spec, tmp_path)
    with sql.query(
        "select run, name, tags ->> '$.de' from records order by _key", [source], environment
    ) as found:
        assert list(found.rows()) == [
            ("run-1", "it's", None),
            ("run-1", "", "1"),
            ("run-1", 'x"\n\r\ny', None),
        ]
    wrong = {"STORE_URL": postgres.url.replace(postgres_server.PASSWORD, "canary-1f2e")}
    with (
        pytest.raises(Exception, match="password authentication failed") as raised,
        sql.query("from records", [source], wrong),
    ):
        pass
    assert "canary" not in str(raised.value)
