from __future__ import annotations

import hashlib
import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from scraper.errors import ConfigError, SinkError
from scraper.sinks import tables
from scraper.sinks.contract import Row, Sink, load
from scraper.sinks.postgres import PostgresSink
from tests.contracts.sink import HOSTILE_NAMES, SinkContract
from tests.sinks.postgres_server import PASSWORD, Server, running

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORE_URL", server.url)
        yield server


def table_of(folder: Path) -> str:
    return f"t_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"


def rows_of(url: str, table: str) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


@pytest.mark.usefixtures("server")
class TestPostgres(SinkContract):
    def spec(self, folder: Path) -> Any:
        return {"postgres": {"url": "env:STORE_URL", "table": table_of(folder)}}

    def read(self, sink: Sink, folder: Path) -> list[dict[str, Any]]:
        assert isinstance(sink, PostgresSink)
        return rows_of(sink._url, table_of(folder))

    def kept(self, text: str) -> str:
        return text.replace("\0", "\ufffd")


class TestPostgresByKey(TestPostgres):
    def spec(self, folder: Path) -> Any:
        return {"postgres": {"url": "env:STORE_URL", "table": table_of(folder), "key": ["_key"]}}


@pytest.fixture
def sink(server: Server, tmp_path: Path) -> Iterator[PostgresSink]:
    sink = PostgresSink("", url=server.url, table=table_of(tmp_path))
    sink.prepare()
    yield sink
    sink.close()


def columns_of(server: Server, table: str) -> dict[str, str]:
    found = server.query(
        f"SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = '\"{table}\"'::regclass "
        "AND attnum > 0 ORDER BY attnum"
    )
    return dict(found)  # type: ignore[arg-type]  # rows of two columns


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_a_column_has_the_type_of_its_first_batch_and_what_drifts_is_in_rest(
    server: Server, sink: Sink, tmp_path: Path
) -> None:
    first: Row = {
        "flag": True, "whole": 1, "price": 1, "float": 1.5, "at": NOON, "raw": b"\x00", "name": "x", "tags": [1], "none": None,
    }  # fmt: skip
    sink.commit("b1", [first])
    sink.commit("b2", [{"price": 2.25, "float": 2**53, "whole": None, "tags": "plain", "name": 7, "none": 1}])
    odd: Row = {
        "flag": "yes", "whole": 2**63, "price": "n/a", "float": "1,5", "at": "soon", "raw": "text", "name": ["\x00"],
        "tags": {"a\x00": "\x00", "\\u0000": "\\u0000"}, "none": "x",
    }  # fmt: skip
    sink.commit("b3", [odd])
    sink.commit("b4", [{"price": float("inf")}])
    sink.commit("b5", [{"price": float("nan"), "float": float("inf"), "name": Decimal("9.90"), "tags": None}])
    table = table_of(tmp_path)
    assert columns_of(server, table) == {
        "_rest": "jsonb",
        "flag": "boolean",
        "whole": "bigint",
        "price": "numeric",
        "float": "double precision",
        "at": "timestamp with time zone",
        "raw": "bytea",
        "name": "text",
        "tags": "jsonb",
        "none": "bigint",
    }
    one, two, three, infinite, four = rows_of(server.url, table)
    assert one == {name: value for name, value in first.items() if value is not None}
    assert two == {"price": Decimal("2.25"), "float": 2**53, "tags": "plain", "name": "7", "none": 1}
    kept = {name: odd[name] for name in ("flag", "whole", "price", "float", "at", "raw", "none")}
    tags = {"a\ufffd": "\ufffd", "\\u0000": "\\u0000"}
    assert three == {"_rest": kept, "name": '["\\u0000"]', "tags": tags}
    assert infinite == {"price": Decimal("Infinity")}
    assert four.pop("price").is_nan()
    assert four == {"float": float("inf"), "name": "9.90"}


def test_names_that_no_column_can_have_are_in_rest(server: Server, sink: Sink, tmp_path: Path) -> None:
    sink.commit("b1", [{name: n for n, name in enumerate(HOSTILE_NAMES)}])
    (row,) = rows_of(server.url, table_of(tmp_path))
    assert sorted(row["_rest"]) == sorted(["", "_rest", "a\ufffdb", "xmin", "x" * 300])
    assert {name: row[name] for name in ("price", "Price", "PRICE", "rowid")} == {
        "price": HOSTILE_NAMES.index("price"),
        "Price": HOSTILE_NAMES.index("Price"),
        "PRICE": HOSTILE_NAMES.index("PRICE"),
        "rowid": HOSTILE_NAMES.index("rowid"),
    }


def test_a_row_of_the_most_columns_fits(server: Server, sink: Sink, tmp_path: Path) -> None:
    """Values of 23 bytes are the longest that PostgreSQL cannot move out of the row's 8 kB; what is too much is in `_rest`."""
    row = {f"field {n}": f"{n:023}" for n in range(tables.MAX_COLUMNS + 50)}
    sink.commit("b1", [row])
    sink.commit("b2", [{f"field {n}": n for n in range(1000, 1500)}])
    first, second = rows_of(server.url, table_of(tmp_path))
    assert first.pop("_rest") | first == row
    assert len(first) == tables.MAX_COLUMNS - 1
    assert second == {"_rest": {f"field {n}": n for n in range(1000, 1500)}}


def test_two_workers_that_bring_a_new_field_agree_on_its_type(server: Server, tmp_path: Path) -> None:
    """Also if each would have chosen another one: the second takes the column as it is."""
    one, two = (PostgresSink("", url=server.url, table=table_of(tmp_path)) for _ in range(2))
    one.prepare()
    one.commit("b1", [{"price": 1}])
    two._alter(two._open(), {"price": "text"})  # it saw no such column a moment ago
    two.commit("b2", [{"price": "n/a"}])
    one.close()
    two.close()
    assert rows_of(server.url, table_of(tmp_path)) == [{"price": 1}, {"_rest": {"price": "n/a"}}]


def test_the_table_holds_the_last_row_of_each_key(server: Server, tmp_path: Path) -> None:
    """By the time it was scraped, whatever order batches come in; replaced whole; keys longer than an index holds as well."""
    table = table_of(tmp_path)
    sink = load(
        {"postgres": {"url": "env:STORE_URL", "table": table, "key": ["site", "sku"]}},
        "",
        {"STORE_URL": server.url},
    )

    def row(sku: Any, minute: int, **fields: Any) -> Row:
        return {"site": "s", "sku": sku, "_scraped_at": datetime(2026, 1, 2, 3, minute, tzinfo=UTC), **fields}

    sink.prepare()
    long = "ü" * 5000
    sink.commit("b1", [row(1, 1, price=1), row("1", 2, price=2), row("A", 5, price=5, stock=1), row(None, 1)])
    sink.commit(
        "b2", [row("A", 4, price=4), row("1", 9, stock=7), row(None, 1), row(long, 1), row(long + "x", 1)]
    )
    sink.commit("b2", [row("A", 9, price=9)])
    sink.commit("b3", [row(long, 2, price=3)])
    sink.close()
    found = server.query(
        f'SELECT sku, price, stock FROM "{table}" WHERE length(sku) = 1 OR sku IS NULL ORDER BY sku'
    )
    assert found == [("1", None, 7), ("A", 5, 1), (None, None, None), (None, None, None)]
    found = server.query(
        f"SELECT sku, price, _rest FROM \"{table}\" WHERE length(sku) > 1 ORDER BY _rest ->> 'sku'"
    )
    assert [(price, rest) for _, price, rest in found] == [(3, {"sku": long}), (None, {"sku": long + "x"})]


def test_two_workers_with_the_same_keys_do_not_wait_for_each_other_for_ever(
    server: Server, tmp_path: Path
) -> None:
    options = {"url": server.url, "table": table_of(tmp_path), "key": ("k",)}
    first = PostgresSink("", **options)
    first.prepare()
    first.close()
    failed: list[Exception] = []

    def write(me: int) -> None:
        sink = PostgresSink("", **options)
        rows = [{"k": f"{n}", "by": me} for n in range(200)]
        try:
            for n in range(20):
                sink.commit(f"{me}/{n}", rows if me % 2 else rows[::-1])
        except Exception as error:  # noqa: BLE001  # told to the test, which runs in another thread
            failed.append(error)
        sink.close()

    threads = [threading.Thread(target=write, args=(me,)) for me in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(rows_of(server.url, table_of(tmp_path))) == 200


def test_a_table_of_ones_own_keeps_its_columns(server: Server, tmp_path: Path) -> None:
    """Columns of other types, defaults and views are left as they are; what does not fit is in `_rest`."""
    table = table_of(tmp_path)
    server.query(
        f'CREATE TABLE "{table}" (id serial PRIMARY KEY, day date, name varchar(3), price bigint, seen timestamptz DEFAULT now())'
    )
    server.query(f'CREATE VIEW "{table}_view" AS SELECT price FROM "{table}"')
    sink = PostgresSink("", url=server.url, table=table)
    sink.prepare()
    sink.commit("b1", [{"day": date(2026, 1, 2), "name": "too long", "price": 1, "new": 1}])
    sink.commit("b2", [{"price": 1.5}])  # the view stands in the way of another type
    sink.commit("b3", [{"price": 2, "new": 2}])
    sink.close()
    first, second, third = rows_of(server.url, table)
    assert (first["id"], first["price"], first["new"]) == (1, 1, 1)
    assert first["_rest"] == {"day": "2026-01-02", "name": "too long"}
    assert second["_rest"] == {"price": 1.5}
    assert (third["price"], third["new"]) == (2, 2)
    assert all(isinstance(row["seen"], datetime) for row in (first, second, third))


@pytest.mark.parametrize("key", [(), ("sku",)])
def test_a_user_who_may_only_write_writes(server: Server, tmp_path: Path, key: tuple[str, ...]) -> None:
    """The owner made the tables, in a schema of their own; a new field has no column then, and is in `_rest`."""
    schema = table_of(tmp_path)
    server.query(f"CREATE SCHEMA {schema}")
    owner = PostgresSink("", url=server.url, table=f"{schema}.records", key=key)
    owner.prepare()
    owner.commit("b1", [{"sku": "1", "price": 1}])
    owner.close()
    server.query(f"CREATE ROLE {schema} LOGIN PASSWORD '{PASSWORD}'")
    server.query(f"GRANT USAGE ON SCHEMA {schema} TO {schema}")
    rights = "SELECT, INSERT, UPDATE" if key else "INSERT"
    server.query(f"GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {schema}")
    url = server.url.replace("//postgres:", f"//{schema}:")
    writer = PostgresSink("", url=url, table=f"{schema}.records", key=key)
    writer.prepare()
    writer.commit("b2", [{"sku": "2", "price": 2.5, "new": 1}])
    writer.commit("b3", [{"sku": "3", "price": 3}])
    writer.close()
    found = server.query(f"SELECT sku, price, _rest FROM {schema}.records ORDER BY sku")
    assert found == [("1", 1, None), ("2", None, {"new": 1, "price": 2.5}), ("3", 3, None)]


def test_a_server_that_is_started_again_between_batches_is_not_noticed(
    server: Server, tmp_path: Path
) -> None:
    sink = PostgresSink("", url=server.url, table=table_of(tmp_path))
    sink.prepare()
    sink.commit("b1", [{"n": 1}])
    server.restart()
    sink.commit("b2", [{"n": 2}])
    server.restart(signal.SIGQUIT)
    sink.commit("b1", [{"n": 1}])
    sink.commit("b3", [{"n": 3}])
    sink.close()
    assert sorted(row["n"] for row in rows_of(server.url, table_of(tmp_path))) == [1, 2, 3]


def test_a_server_that_crashes_in_mid_commit_loses_and_doubles_nothing(
    server: Server, tmp_path: Path
) -> None:
    """Every failure is a SinkError, and the same batch again until it is taken leaves each row once."""
    sink = PostgresSink("", url=server.url, table=table_of(tmp_path))
    sink.prepare()
    refused: list[str] = []
    enough = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        for n in itertools.count():
            if enough.is_set():
                return
            rows = [{"_key": f"{n}/{k}", "text": "x" * 500, f"f{n % 9}": n} for k in range(100)]
            while True:
                try:
                    sink.commit(f"b{n}", rows)
                    break
                except SinkError as error:
                    refused.append(str(error))
                    time.sleep(0.02)
            written += 1

    thread = threading.Thread(target=write)
    thread.start()
    for crash in range(6):
        time.sleep(0.15)
        server.restart((signal.SIGQUIT, signal.SIGINT)[crash % 2])
    enough.set()
    thread.join()
    sink.close()
    keys = sorted(row["_key"] for row in rows_of(server.url, table_of(tmp_path)))
    assert keys == sorted(f"{n}/{k}" for n in range(written) for k in range(100))
    assert written > 6
    assert refused
    assert PASSWORD not in "".join(refused)


def test_a_worker_that_was_killed_does_not_hold_its_batch(server: Server, tmp_path: Path) -> None:
    """SIGKILL between the rows and COMMIT: the next one gets its turn at once."""
    sink = PostgresSink("", url=server.url, table=table_of(tmp_path))
    sink.prepare()
    code = (
        "import os, signal, sys; from scraper.sinks.postgres import PostgresSink\n"
        "sink = PostgresSink('', url=sys.argv[1], table=sys.argv[2])\n"
        "connection = sink._open()\n"
        "with connection.transaction():\n"
        "    sink._insert(connection, 'b1', [{}])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert (
        subprocess.run([sys.executable, "-c", code, server.url, table_of(tmp_path)], check=False).returncode
        == -9
    )
    started = time.monotonic()
    sink.commit("b1", [{"n": 1}])
    assert time.monotonic() - started < 5
    sink.close()
    assert rows_of(server.url, table_of(tmp_path)) == [{"n": 1}]


def test_a_locked_table_is_waited_for_and_then_given_back(
    server: Server, sink: PostgresSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scraper.sinks.postgres.LOCK_MS", 200)
    sink.close()
    with psycopg.connect(server.url) as other:
        other.execute(f'LOCK TABLE "{table_of(tmp_path)}" IN ACCESS EXCLUSIVE MODE')
        with pytest.raises(SinkError, match="batch b1 not stored: canceling statement due to lock timeout"):
            sink.commit("b1", [{"n": 1}])
    sink.commit("b1", [{"n": 1}])
    assert rows_of(server.url, table_of(tmp_path)) == [{"n": 1}]


def test_a_database_that_cannot_hold_every_character_stops_the_start(server: Server) -> None:
    server.query("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    sink = PostgresSink("", url=server.url.removesuffix("postgres") + "latin")
    with pytest.raises(ConfigError, match="the database is in LATIN1"):
        sink.prepare()


def test_a_key_column_that_is_no_text_stops_the_start(server: Server, sink: Sink, tmp_path: Path) -> None:
    sink.commit("b1", [{"sku": 1}])
    again = PostgresSink("", url=server.url, table=table_of(tmp_path), key=("sku",))
    with pytest.raises(ConfigError, match="sku is bigint there, must be text"):
        again.prepare()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:pa/ss@127.0.0.1/d",
        "postgresql://u:pa@ss@127.0.0.1/d",
        "postgresql://u:pass@[::1/d",
        "pass word",
    ],
)
def test_no_word_of_a_wrong_url_is_shown(url: str) -> None:
    """Its password may have a sign in it that libpq reads as the end of it."""
    with pytest.raises(ConfigError, match="odd signs are written as %40") as raised:
        PostgresSink("", url=url).prepare()
    assert "ss" not in str(raised.value).replace("password", "").replace("address", "")
    assert raised.value.__cause__ is None


def test_a_server_that_is_not_there_is_the_places_fault(tmp_path: Path) -> None:
    sink = PostgresSink("", url="postgresql://u:example@127.0.0.1:9/d")
    with pytest.raises(SinkError, match="Connection refused") as raised:
        sink.prepare()
    assert "example" not in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"url": "postgresql://u:secret@h/d"},
        {"url": "host=h password=secret"},
        {"url": "postgresql://h/d?password=secret"},
    ],
)
def test_a_password_in_the_settings_stops_the_start_and_is_not_repeated(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="env:STORE_URL") as raised:
        load({"postgres": options}, "x", {})
    assert "secret" not in str(raised.value) + repr(raised.value)


def test_wrong_tables_and_a_missing_library_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("", "a.b.c", "x" * 60):
        with pytest.raises(ConfigError, match=r"must be a name, or schema\.name"):
            PostgresSink("", table=table)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r'pip install "scraper\[postgres\]"'):
        load("postgres", "x", {})


def test_the_crawler_imports_psycopg_when_the_store_is_made_ready_not_before() -> None:
    code = (
        "import json, sys; from scraper.sinks.contract import load; load('postgres', '', {}); "
        "print(json.dumps([m for m in ('psycopg', 'scrapy') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
