from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scraper.sinks.contract import Sink
from scraper.sinks.jsonl import JsonlSink
from tests.contracts.sink import SinkContract


class TestJsonl(SinkContract):
    def build(self, folder: Path) -> Sink:
        return JsonlSink(str(folder))

    def read(self, sink: Sink, folder: Path) -> list[dict[str, Any]]:
        return [
            json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_bytes().splitlines()
        ]


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
    assert TestJsonl().read(sink, tmp_path) == [{"raw": "/w==", "nan": None}]
