"""I/O. The step that refuses rows that are not as they should be: a pydantic model, or a file with a JSON Schema."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from scraper.batches.steps import Place, Refuse, Row, RowStep, need
from scraper.errors import ConfigError

_NAMED = 3  # mistakes that a reason names; a row with a hundred is told by its first ones
_LONGEST = 200  # characters of each: it may quote the value
_STORABLE = (bytes, datetime, date, Decimal, UUID)


class Schema(RowStep):
    """Rows that do not fit become dead letters whose reason names the fields. ``model``: import path of a pydantic model; the row
    gets the values as the model made them, fields unknown to it stay. ``file``: a JSON Schema (any draft that it names); the
    row stays as it is. ``only``: the item types (``_type``) that it is for; others pass.
    """

    def __init__(self, place: Place, *, model: str = "", file: str = "", only: Iterable[str] = ()) -> None:
        if bool(model) == bool(file):
            raise ConfigError(
                "BATCH_STEPS", "schema", "give it either model (an import path) or file (a JSON Schema)"
            )
        self._only = frozenset(only)
        self._fitted = _by_model(model) if model else _by_file(file)

    def run(self, row: Row) -> Row:
        if self._only and row.get("_type") not in self._only:
            return row
        return {**row, **self._fitted({name: value for name, value in row.items() if name[0:1] != "_"})}


def _by_model(path: str) -> Callable[[Row], Row]:
    need("schema with a model", "pydantic", "schema")
    import pydantic

    try:
        model = pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError("BATCH_STEPS", path, f"schema: cannot be imported: {error}") from error
    if not (isinstance(model, type) and issubclass(model, pydantic.BaseModel)):
        raise ConfigError("BATCH_STEPS", path, "schema: is no pydantic model")

    def fitted(fields: Row) -> Row:
        try:
            made = model.model_validate(fields)
        except pydantic.ValidationError as error:
            told = error.errors(include_url=False, include_context=False, include_input=False)
            raise Refuse(_reason((mistake["loc"], mistake["msg"]) for mistake in told)) from None
        plain: Row = msgspec.to_builtins(made.model_dump(), builtin_types=_STORABLE, enc_hook=str)
        return plain

    return fitted


def _by_file(path: str) -> Callable[[Row], Row]:
    need("schema with a file", "jsonschema_rs", "schema")
    import jsonschema_rs

    try:
        schema = msgspec.json.decode(Path(path).read_bytes())
        validator = jsonschema_rs.validator_for(schema, validate_formats=True, offline=True)
    except OSError as error:
        raise ConfigError("BATCH_STEPS", path, f"schema: cannot be read: {error.strerror}") from error
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise ConfigError("BATCH_STEPS", path, f"schema: is no JSON Schema: {error}") from error

    def fitted(fields: Row) -> Row:
        plain = msgspec.to_builtins(fields)
        if not validator.is_valid(plain):
            raise Refuse(_reason((e.instance_path, e.message) for e in validator.iter_errors(plain)))
        return {}

    return fitted


def _reason(mistakes: Iterable[tuple[Iterable[Any], str]]) -> str:
    told = [f"{'.'.join(map(str, path)) or 'row'}: {text}"[:_LONGEST] for path, text in mistakes]
    more = [f"and {len(told) - _NAMED} more"] if len(told) > _NAMED else []
    return "; ".join(told[:_NAMED] + more)
