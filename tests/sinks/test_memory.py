from __future__ import annotations

from pathlib import Path
from typing import Any

from scraper.sinks.contract import Sink
from scraper.sinks.memory import MemorySink
from tests.contracts.sink import SinkContract


class TestMemory(SinkContract):
    def build(self, folder: Path) -> Sink:
        return MemorySink(str(folder))

    def read(self, sink: Sink, folder: Path) -> list[dict[str, Any]]:
        assert isinstance(sink, MemorySink)
        return [row for rows in sink.batches.values() for row in rows]
