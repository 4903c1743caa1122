"""RULE. Things that a setting names, with or without options: ``"parquet"``, ``{"postgres": {"table": "records"}}``.

A name is a known one or the import path of one's own. Options are checked against the signature before anything runs.
An option ``"env:NAME"`` stands for that variable, so that a password stands in no setting, record or spool.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scraper.errors import ConfigError

_FROM_ENV = "env:"
# Types that an option may have, by the type of its default.
_ACCEPTED: dict[type, tuple[type, ...]] = {tuple: (list, tuple), float: (int, float)}


@dataclass(frozen=True, slots=True)
class Named:
    """``factory`` is a function or a class; ``options`` are keyword arguments that fit its signature."""

    name: str
    factory: Callable[..., Any]
    options: Mapping[str, Any]


def find(setting: str, spec: Any, known: Mapping[str, str], what: str, *given: Any) -> Named:
    """What ``spec`` names. ``known``: import paths by name; ``what``: the word for it ("step"); ``given``: the positional
    arguments that it will be called with. ConfigError names the wrong name or option, and the way out.
    """
    name, options = _parted(setting, spec)
    factory = _imported(setting, name, known, what)
    signature = inspect.signature(factory)
    usage = f"it is {name}{str(signature).partition(' ->')[0]}"
    try:
        signature.bind(*given, **options)
    except TypeError as error:
        raise ConfigError(
            setting, name, f"{what} {name!r}: {error}; {usage}"
        ) from error  # an option may be secret
    for option, value in options.items():
        parameter = signature.parameters.get(option)
        default = parameter.default if parameter else None
        if default is None or default is inspect.Parameter.empty or _is_from_env(value):
            continue
        if not isinstance(value, _ACCEPTED.get(type(default), type(default))):
            wrong = f"{what} {name!r}: {option} = {value!r} is of the wrong type; {usage}"
            raise ConfigError(setting, name, wrong)
    return Named(name, factory, options)


def with_env(setting: str, options: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """``options`` with the variables that they name. ConfigError for one that is not set."""
    found = dict(options)
    for option, value in options.items():
        if _is_from_env(value):
            name = value.removeprefix(_FROM_ENV)
            if name not in environment:
                raise ConfigError(
                    setting, value, f"the environment has no {name}; {option} is to come from it"
                )
            found[option] = environment[name]
    return found


def _is_from_env(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_FROM_ENV)


def _parted(setting: str, spec: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(spec, str):
        return spec, {}
    if isinstance(spec, dict) and len(spec) == 1 and isinstance(next(iter(spec.values())), dict):
        ((name, options),) = spec.items()
        return name, options
    raise ConfigError(setting, spec, 'write a name, or {"name": {"option": value}}')


def _imported(setting: str, name: str, known: Mapping[str, str], what: str) -> Callable[..., Any]:
    module_name, _, attribute = known.get(name, name).rpartition(".")
    if not module_name:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(setting, name, f"{hint}known: {', '.join(known)}, or the import path of a {what}")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(setting, name, f"cannot be imported: {error}") from error
    if not callable(found):
        raise ConfigError(setting, name, f"is no {what}: it cannot be called")
    return found  # type: ignore[no-any-return]  # what it returns is for the caller to check
