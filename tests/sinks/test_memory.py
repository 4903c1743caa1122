from __future__ import annotations

from pathlib import Path
from typing import Any

from scraper.sinks.contract import Sink
from scraper.sinks.memory import MemorySink
from tests.contracts.sink import SinkContract


class TestMemory(SinkContract):
    outlives = False

    def spec(self, folder: Path) -> Any:
        return "memory"

    def read(self, sink: Sink, folder: Path) -> list[dict[str, Any]]:
        assert isinstance(sink, MemorySink)
        rows = [row for batch in sink.batches.values() for row in batch]
        return [{name: value for name, value in row.items() if value is not None} for row in rows]
