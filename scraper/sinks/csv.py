"""I/O. CSV: one part per batch while the run goes on, one ``data-*.csv`` with all columns when it has ended.

RFC 4180 in UTF-8: texts are quoted, numbers are not, no value is nothing at all (so "" is not NULL). Bytes are base64,
times RFC 3339, lists and dicts JSON. A text that a spreadsheet would run as a formula gets a ' in front of it.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from scraper.sinks import columns
from scraper.sinks.contract import Row
from scraper.sinks.files import FileSink

_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*([eE][+-]?\d+)?")  # "-5,00" stays what it is
_FIELD = re.compile(rb'((?:"[^"]*")*|[^",\r\n]*)(,|\r\n)')  # of a file of ours, with what ends it
_END = b"\r\n"


class CsvSink(FileSink):
    """Rows as lines of CSV."""

    name = "csv"

    def __init__(self, out_dir: str, *, to: str = "", storage: dict[str, Any] | None = None) -> None:
        super().__init__(out_dir, "csv", to, storage)

    def encoded(self, rows: list[Row]) -> bytes:
        names = list(dict.fromkeys(name for row in rows for name in row))
        lines = [_line([_text(name).encode() for name in names])]
        lines += (_line([_field(row.get(name)).encode() for name in names]) for row in rows)
        return b"".join(lines)

    def merge(self, files: list[Path], new_path: Callable[[], Path]) -> None:
        _merge(files, new_path)


def _field(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if value is None or (type(value) is float and not math.isfinite(value)):
        return ""
    if type(value) in (int, float):
        return repr(value)
    if type(value) is bool:
        return "true" if value else "false"
    spelled = columns.text(value)
    if spelled is None or type(value) is bytes:  # base64 may begin with +, and calls nothing
        return spelled or ""
    return _text(spelled)


def _text(value: str) -> str:
    if _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        value = f"'{value}"
    return f'"{value.replace(chr(34), chr(34) * 2)}"'


def _line(fields: list[bytes]) -> bytes:
    return (b",".join(fields) or b'""') + _END  # readers skip an empty line


def _unique(header: list[bytes]) -> list[bytes]:
    """Fields "=a" and "'=a" have the same heading; the second gets a number."""
    found: list[bytes] = []
    for name in header:
        n, free = 1, name
        while free in found:
            n += 1
            free = name[:-1] + b' %d"' % n
        found.append(free)
    return found


def _merge(files: list[Path], new_path: Callable[[], Path]) -> None:
    """One header with the columns of all files, in order of first sight; then their lines, rearranged where they must be."""
    headers = {}
    for path in files:
        with _mapped(path) as data, contextlib.closing(_records(data)) as records:
            headers[path] = next(records)
    unique = {path: _unique(header) for path, header in headers.items()}
    names = list(dict.fromkeys(name for header in unique.values() for name in header))
    with new_path().open("wb") as target:
        target.write(_line(names))
        for path, header in headers.items():
            with _mapped(path) as data:
                if header == names:
                    target.write(memoryview(data)[len(_line(names)) :])
                    continue
                with contextlib.closing(_records(data)) as records:
                    next(records)
                    for record in records:
                        values = dict(zip(unique[path], record, strict=True))
                        target.write(_line([values.get(name, b"") for name in names]))


def _records(data: mmap.mmap) -> Generator[list[bytes], None, None]:
    """The fields of each line, as they are written."""
    record = []
    for field in _FIELD.finditer(data):
        record.append(field[1])
        if field[2] == _END:
            yield record
            record = []


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data
