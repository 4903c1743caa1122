"""I/O. JSON Lines: one part per batch while the run goes on, one ``data-*.jsonl`` when it has ended.

Bytes are base64, times RFC 3339, NaN and infinity null: JSON has nothing else for them. Compressed parts are one zstd
frame each; frames in a row are one zstd file.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from scraper.errors import ConfigError
from scraper.sinks.contract import Row
from scraper.sinks.files import FileSink

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 3  # of zstd: 0.3 x of the JSON; 9 is 3 % smaller and takes 4 times as long
_ENCODER = msgspec.json.Encoder()
_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: LEVEL,
    zstd.CompressionParameter.checksum_flag: 1,
}


class JsonlSink(FileSink):
    """Rows as lines of JSON in ``out_dir``, or below ``to`` (remote.py). ``compress``: "zstd" (``data-*.jsonl.zst``) or
    nothing.
    """

    name = "jsonl"

    def __init__(
        self, out_dir: str, *, compress: str = "", to: str = "", storage: dict[str, Any] | None = None
    ) -> None:
        if compress not in ("", "zstd"):
            raise ConfigError("SINK", compress, 'jsonl: compress is "zstd" or ""')
        super().__init__(out_dir, "jsonl.zst" if compress else "jsonl", to, storage)
        self._compress = bool(compress)

    def encoded(self, rows: list[Row]) -> bytes:
        lines = _ENCODER.encode_lines(rows)
        return zstd.compress(lines, options=_OPTIONS) if self._compress else lines

    def merge(self, files: list[Path], new_path: Callable[[], Path]) -> None:
        with new_path().open("wb") as target:
            for path in files:
                with path.open("rb") as source:
                    shutil.copyfileobj(source, target)
