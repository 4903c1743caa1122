"""RULE. Typed spider arguments: ``-a name=value`` texts in, a frozen dataclass out, everything else an error.

A spider declares them once::

    @dataclass(frozen=True)
    class Args(Spider.Args):
        max_pages: int = arg(10_000, "pages to ask for; 0: no limit", at_least=0)

Types: str, int, float, bool, list[str], Literal[...], and any of them ``| None``. An empty value is None where None is
allowed. A list has one value a line, or commas between them, or is JSON (Scrapyd keeps one value per name).
"""

from __future__ import annotations

import difflib
import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from scraper.errors import ArgumentError

T = TypeVar("T")

PASSED_BY_SCRAPYD = frozenset(
    {"_job"}
)  # given to every spider, for %(_job)s in settings; no argument of ours

_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_NAMES = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "yes or no (1, 0, true, false, on, off)",
    list: "a list",
}


def arg(
    default: Any, help: str, *, at_least: float | None = None, at_most: float | None = None, group: str = ""
) -> Any:
    """Declare an argument: its default, what it is for, its range (inclusive).

    Of the arguments of one ``group`` at most one can be given.
    """
    metadata = {"help": help, "at_least": at_least, "at_most": at_most, "group": group}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def parse(args_class: type[T], given: Mapping[str, str]) -> T:
    """Return the arguments. Raises ArgumentError for an unknown name, a wrong value, two of one group."""
    known = _declared(args_class)
    hints = get_type_hints(args_class)
    values: dict[str, Any] = {}
    groups: dict[str, str] = {}
    for name, text in given.items():
        if name in PASSED_BY_SCRAPYD:
            continue
        if name not in known:
            raise ArgumentError(name, text, _unknown(name, list(known)))
        group = known[name].metadata.get("group", "")
        if group and groups.setdefault(group, name) != name:
            others = [other for other in known if known[other].metadata.get("group") == group]
            raise ArgumentError(
                name, text, f"was given beside {groups[group]}; give one of {', '.join(others)}"
            )
        values[name] = _value(known[name], hints[name], text)
    return args_class(**values)


def describe(args_class: type[Any]) -> list[tuple[str, str, str, str]]:
    """Return name, kind of value, default and help of every argument, in the order of their declaration."""
    hints = get_type_hints(args_class)
    return [
        (name, _wanted(known, hints[name]), _default(known), known.metadata.get("help", ""))
        for name, known in _declared(args_class).items()
    ]


def _declared(args_class: type[Any]) -> dict[str, Field[Any]]:
    if "__dataclass_fields__" not in vars(args_class):
        raise TypeError(
            f"{args_class.__qualname__} needs @dataclass(frozen=True): without it its arguments are not seen"
        )
    return {one.name: one for one in fields(args_class)}


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"this spider has no such argument; {hint}it has {', '.join(known) or 'none'}"


def _value(known: Field[Any], hint: Any, text: str) -> Any:
    kind, optional = _kind(hint)
    if optional and not text.strip():
        return None
    try:
        value = _convert(kind, text)
    except (ValueError, KeyError, RecursionError):
        raise ArgumentError(known.name, text, f"must be {_wanted(known, hint)}") from None
    if isinstance(value, int | float) and not _is_in_range(known, value):
        raise ArgumentError(known.name, text, f"must be {_wanted(known, hint)}")
    return value


def _convert(kind: Any, text: str) -> Any:
    if get_origin(kind) is Literal:
        return {str(choice): choice for choice in get_args(kind)}[text.strip()]
    if kind is str:
        return text
    if kind is bool:
        return _WORDS[text.strip().lower()]
    if kind is float:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(text)
        return number
    if get_origin(kind) is list:
        return _list(text)
    return kind(text)


def _list(text: str) -> list[str]:
    text = text.strip()
    if text.startswith("["):
        values = json.loads(text)
        if not all(isinstance(value, str) for value in values):
            raise ValueError(text)
        return list(values)
    parts = text.splitlines() if "\n" in text else text.split(",")
    values = [part.strip() for part in parts if part.strip()]
    if not values:
        raise ValueError(text)
    return values


def _kind(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [one for one in get_args(hint) if one is not types.NoneType]
        if len(kinds) == 1:
            return kinds[0], True
    return hint, False


def _is_in_range(known: Field[Any], value: float) -> bool:
    low, high = known.metadata.get("at_least"), known.metadata.get("at_most")
    return (low is None or value >= low) and (high is None or value <= high)


def _wanted(known: Field[Any], hint: Any) -> str:
    kind, optional = _kind(hint)
    if get_origin(kind) is Literal:
        wanted = "one of " + ", ".join(map(str, get_args(kind)))
    else:
        wanted = _NAMES[get_origin(kind) or kind]
    low, high = known.metadata.get("at_least"), known.metadata.get("at_most")
    if low is not None and high is not None:
        wanted += f" from {low} to {high}"
    elif low is not None:
        wanted += f" of at least {low}"
    elif high is not None:
        wanted += f" of at most {high}"
    return f"{wanted}, or empty" if optional else wanted


def _default(known: Field[Any]) -> str:
    value = known.default_factory() if known.default_factory is not MISSING else known.default
    return (
        ""
        if value is MISSING or value is None
        else ",".join(value)
        if isinstance(value, list)
        else str(value)
    )
