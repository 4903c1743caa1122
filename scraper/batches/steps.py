"""RULE. What a step is, and how the ones that the setting ``BATCH_STEPS`` names are found, checked and built.

A step is a function ``step(row, *, option=default) -> row``, or, if it has something to set up or to check, a class:
a `RowStep`, or a `BatchStep` for what rows of several workers have in common. Workers run the steps in their order, each over
all rows of a batch, at least once per row (so a step must be deterministic). A row's step returns the row (the same or a
new dict), or None to drop the item, or raises `Drop` to drop it with a reason, or `Refuse` to make a dead letter of it. Any
other exception makes a dead letter too, with its traceback.

    BATCH_STEPS = ["clean", {"content_hash": {"fields": ["title", "price"]}}, "mypackage.prices.in_euro"]
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scraper import named
from scraper.errors import ConfigError

Row = dict[str, Any]
DUPLICATE = "duplicate"  # the reason to drop that the run's books count on its own

KNOWN = {
    "clean": "scraper.batches.jobs.tidy.clean",
    "redact": "scraper.batches.jobs.tidy.Redact",
    "content_hash": "scraper.batches.jobs.tidy.ContentHash",
    "main_text": "scraper.batches.jobs.pages.MainText",
    "structured_data": "scraper.batches.jobs.pages.StructuredData",
    "language": "scraper.batches.jobs.pages.Language",
    "price": "scraper.batches.jobs.values.Price",
    "date": "scraper.batches.jobs.values.Date",
    "schema": "scraper.batches.jobs.schema.Schema",
    "dedupe_exact": "scraper.batches.jobs.dedupe.DedupeExact",
    "dedupe_near": "scraper.batches.jobs.dedupe.DedupeNear",
}


class Drop(Exception):
    """Raised by a step: this item is not wanted. `reason` is a stats key: a word, not a sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Refuse(Exception):
    """Raised by a step: this row is wrong, which is no fault of the step. It becomes a dead letter with ``reason``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run keeps its things: ``run_dir`` its spool and indexes, ``out_dir`` its records. ``environment``: for options
    "env:NAME".
    """

    run_dir: str = ""
    out_dir: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


class Step:
    """What `RowStep` and `BatchStep` have in common: built as ``Class(place, *, option=default)`` at the start, in the crawler and
    in every worker. ``__init__`` checks the options (ConfigError) and is cheap; heavy things belong into `open`.
    """

    preload: tuple[str, ...] = ()  # modules that workers need: imported once, before they are forked
    local: bool = False  # it keeps what it knows on this machine's disk, so workers of others (BATCH_LOG) cannot share it

    def prepare(self) -> None:
        """Once per start, in the crawler, before any worker: make what the workers share."""

    def open(self) -> None:
        """Once in each worker, before its first batch: load a model, connect."""

    def close(self) -> None:
        """Let go."""


class RowStep(Step):
    """A step on one row at a time."""

    def run(self, row: Row) -> Row | None:
        raise NotImplementedError


class BatchStep(Step):
    """A step on what several rows, batches and workers have in common. It changes no row, it only sorts some out.

    A batch that is delivered again comes with the same id and the same rows, and must have the same end.
    """

    local = True

    def look(self, row: Row) -> Any:
        """What `judge` has to know of the row. Raises as a row's step does."""
        raise NotImplementedError

    def judge(self, batch: str, looks: Mapping[int, Any]) -> dict[int, str]:
        """The rows to drop, each with its reason, by index. An exception holds the whole batch back, as one of a sink does."""
        raise NotImplementedError

    def stored(self, batch: str, kept: Collection[int]) -> None:
        """The rows ``kept`` of the batch that was judged last are in the sink."""


class _Function(RowStep):
    def __init__(self, function: Callable[[Row], Row | None]) -> None:
        self._function = function

    def run(self, row: Row) -> Row | None:
        return self._function(row)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A step with its options bound, under the name that it has in the setting."""

    name: str
    step: RowStep | BatchStep


def load(specs: Iterable[Any], place: Place) -> list[Loaded]:
    """The steps of ``BATCH_STEPS``, neither prepared nor opened; ConfigError names the one that is unknown, has a wrong option
    or misses a library, and the way out.
    """
    return [_load(spec, place) for spec in specs]


def preloads(loaded: Iterable[Loaded]) -> tuple[str, ...]:
    """The modules to import before workers are forked."""
    return tuple(dict.fromkeys(module for one in loaded for module in one.step.preload))


def need(step: str, module: str, extra: str) -> tuple[str, ...]:
    """``(module,)`` if it is installed; else ConfigError names the extra that brings it. Does not import it."""
    if importlib.util.find_spec(module) is None:
        raise ConfigError("BATCH_STEPS", step, f'needs {module}, an extra: pip install "scraper[{extra}]"')
    return (module,)


def _load(spec: Any, place: Place) -> Loaded:
    found = named.find("BATCH_STEPS", spec, KNOWN, "step", {})
    options = named.with_env("BATCH_STEPS", found.options, place.environment)
    is_class = inspect.isclass(found.factory)
    if not is_class:
        return Loaded(found.name, _Function(functools.partial(found.factory, **options)))
    step = found.factory(place, **options)
    if not isinstance(step, (RowStep, BatchStep)):
        raise ConfigError(
            "BATCH_STEPS",
            found.name,
            "a step that is a class must be a RowStep or BatchStep of scraper.batches.steps",
        )
    return Loaded(found.name, step)
