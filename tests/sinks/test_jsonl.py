from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from backports import zstd

from scraper.errors import ConfigError
from scraper.sinks.contract import Sink, load
from scraper.sinks.jsonl import JsonlSink
from tests.contracts.sink import SinkContract


def rows_of(folder: Path) -> list[dict[str, Any]]:
    lines = [path.read_bytes() for path in folder.glob("*.jsonl")]
    lines += [zstd.decompress(path.read_bytes()) for path in folder.glob("*.jsonl.zst")]
    rows = [json.loads(line) for text in lines for line in text.split(b"\n") if line]
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


class TestJsonl(SinkContract):
    def spec(self, folder: Path) -> Any:
        return "jsonl"

    def read(self, sink: Sink, folder: Path) -> list[dict[str, Any]]:
        return rows_of(folder)


class TestJsonlCompressed(TestJsonl):
    def spec(self, folder: Path) -> Any:
        return {"jsonl": {"compress": "zstd"}}


def test_one_file_when_the_run_has_ended(tmp_path: Path) -> None:
    """finish() leaves one file, in the order of the batches."""
    sink = JsonlSink(str(tmp_path))
    sink.prepare()
    for n in range(5):
        sink.commit(f"b{n}", [{"n": n}])
    sink.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["data-001-00000.jsonl"]
    assert (tmp_path / "data-001-00000.jsonl").read_text() == "".join(f'{{"n":{n}}}\n' for n in range(5))


def test_bytes_are_base64_and_nan_is_null(tmp_path: Path) -> None:
    """What JSON has no word for is written as documented."""
    sink = JsonlSink(str(tmp_path))
    sink.prepare()
    sink.commit("b", [{"raw": b"\xff", "nan": float("nan")}])
    assert (tmp_path / "part-b.jsonl").read_text() == '{"raw":"/w==","nan":null}\n'


def test_compressed_batches_are_one_zstd_file_when_the_run_has_ended(tmp_path: Path) -> None:
    """A frame per batch, each with a checksum; zstd itself and duckdb read them as one."""
    sink = load({"jsonl": {"compress": "zstd"}}, str(tmp_path / "out"), {})
    sink.prepare()
    for n in range(20):
        sink.commit(f"b{n:02}", [{"n": n, "text": "x" * 1000}] * 100)
    sink.finish()
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == "data-001-00000.jsonl.zst"
    assert path.stat().st_size < 20_000
    with duckdb.connect() as connection:
        found = connection.sql(f"select count(*), sum(n) from read_json('{path}')").fetchall()
    assert found == [(2000, 19_000)]
    broken = bytearray(path.read_bytes())
    broken[-1] ^= 1
    with pytest.raises(zstd.ZstdError):
        zstd.decompress(bytes(broken))


def test_a_wrong_compression_stops_the_start() -> None:
    with pytest.raises(ConfigError, match='compress is "zstd"'):
        load({"jsonl": {"compress": "gzip"}}, "x", {})
