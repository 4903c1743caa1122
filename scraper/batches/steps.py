"""RULE. What happens to a row in a worker: functions, named in the setting ``BATCH_STEPS``, in that order.

A step is ``step(row, *, option=default) -> row``, run by workers at least once per item (so it must be
deterministic). It returns the row (the same or a new dict), or None to drop the item, or raises `Drop` to
drop it with a reason. Any other exception makes a dead letter of this one item. A setting is a list of
names with or without options:

    BATCH_STEPS = ["clean", {"content_hash": {"fields": ["title", "price"]}}, "mypackage.prices.in_euro"]
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import xxhash

from scraper import named

Row = dict[str, Any]
DUPLICATE = "duplicate"  # the reason to drop that the run's books count on its own

_BLANK = re.compile(r"[^\S\n]+")
_EMPTY_LINES = re.compile(r"\n{3,}")


class Drop(Exception):
    """Raised by a step: this item is not wanted. `reason` is a stats key: a word, not a sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def clean(row: Row, *, skip: Iterable[str] = ("body", "html")) -> Row:
    """Strings without outer blanks, inner runs as one space, at most one empty line; an empty one becomes None.

    Also inside lists and dicts. Not the fields named in ``skip``, nor our own columns (``_...``).
    """
    kept = frozenset(skip)
    return {n: v if n in kept or n[0:1] == "_" else _cleaned(v) for n, v in row.items()}


def content_hash(row: Row, *, fields: Iterable[str] = (), into: str = "content_hash") -> Row:
    """xxh3 (128 bits, hex) of the named fields, by default of all but our own: equal content, equal hash, in
    any run.
    """
    names = sorted(fields) or sorted(name for name in row if name[0:1] != "_" and name != into)
    state = xxhash.xxh3_128()
    for name in names:
        value = row.get(name)
        raw = value if isinstance(value, bytes) else msgspec.json.encode(value, order="sorted")
        state.update(f"{name}={len(raw)}:".encode())
        state.update(raw)
    row[into] = state.hexdigest()
    return row


def main_text(
    row: Row, *, source: Iterable[str] = ("body", "html"), into: str = "main_text", keep: bool = True
) -> Row:
    """The main content of a page as text (resiliparse, 0.3 ms for 10 kB), from the first of ``source`` it has.

    Bytes are decoded by their meta charset, else by a guess. ``keep=False`` drops the source field then.
    """
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    field = next((name for name in source if row.get(name)), None)
    if field is None:
        return row
    page = row[field]
    if isinstance(page, bytes):
        page = bytes_to_str(page, detect_encoding(page, from_html_meta=True) or "utf-8")
    row[into] = extract_plain_text(page, main_content=True, preserve_formatting=True)
    if not keep:
        del row[field]
    return row


KNOWN = {name: f"scraper.batches.steps.{name}" for name in ("clean", "content_hash", "main_text")}


@dataclass(frozen=True, slots=True)
class Step:
    """A step with its options bound."""

    name: str
    run: Callable[[Row], Row | None]


def load(specs: Iterable[Any]) -> list[Step]:
    """The steps of ``BATCH_STEPS``; ConfigError names the one that is unknown or has a wrong option, and the
    way out.
    """
    return [_load(spec) for spec in specs]


def _load(spec: Any) -> Step:
    step = named.find("BATCH_STEPS", spec, KNOWN, "step", {})
    return Step(step.name, functools.partial(step.factory, **step.options))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        lines = (line.strip() for line in _BLANK.sub(" ", value).split("\n"))
        return _EMPTY_LINES.sub("\n\n", "\n".join(lines).strip()) or None
    if isinstance(value, list):
        return [_cleaned(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _cleaned(inner) for name, inner in value.items()}
    return value
