"""I/O. JSON Lines: one part per batch while the run goes on, one ``data-*.jsonl`` when it has ended.

Bytes are base64, times RFC 3339, NaN and infinity null: JSON has nothing else for them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from scraper.sinks.contract import Row
from scraper.sinks.parts import Parts

_ENCODER = msgspec.json.Encoder()


class JsonlSink:
    """Rows as lines of JSON in ``out_dir``."""

    name = "jsonl"
    preload: tuple[str, ...] = ()

    def __init__(self, out_dir: str) -> None:
        self._parts = Parts(out_dir, "jsonl")

    def prepare(self) -> None:
        self._parts.prepare()

    def commit(self, batch_id: str, rows: list[Row]) -> None:
        self._parts.add(batch_id, lambda path: _write(path, rows))

    def finish(self) -> None:
        self._parts.merge(_merge)

    def close(self) -> None:
        pass


def _write(path: Path, rows: list[Row]) -> None:
    path.write_bytes(_ENCODER.encode_lines(rows))


def _merge(files: list[Path], new_path: Callable[[], Path]) -> None:
    with new_path().open("wb") as target:
        for path in files:
            with path.open("rb") as source:
                shutil.copyfileobj(source, target)
