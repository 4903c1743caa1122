"""Reading one setting strictly: a name without a default in settings.py is a mistake of ours, not a zero."""

from __future__ import annotations

from typing import Any, TypeVar

from scrapy.settings import BaseSettings

from scraper.errors import ConfigError

T = TypeVar("T")

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off", "")
_WORDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    list: "a list, or texts with commas between",
    dict: "a JSON object",
}


def read(settings: Any, name: str, kind: type[T], *, at_least: float | None = None) -> T:
    """Return setting ``name`` as ``kind`` (int, float, str, bool, list or dict); ``settings`` is Scrapy's, or a dict.

    Scrapy's getters give 0, 0.0 or False for a name that does not exist. This one raises ConfigError for a missing
    name, for a value of another type, and for a number below ``at_least``.
    """
    source = settings if isinstance(settings, BaseSettings) else BaseSettings(settings)
    value = source.get(name)
    if value is None:
        raise ConfigError(name, None, f"has no value; give one with -s {name}=... or in scraper/settings.py")
    try:
        result = _convert(source, name, value, kind)
    except (ValueError, TypeError) as error:
        raise ConfigError(name, value, f"must be {_WORDS[kind]}") from error
    if at_least is not None and isinstance(result, int | float) and not result >= at_least:  # nan is neither
        raise ConfigError(name, value, f"must be at least {at_least:g}")
    return result  # type: ignore[no-any-return]  # _convert cannot say "an instance of kind" to mypy


def _convert(source: BaseSettings, name: str, value: Any, kind: type[Any]) -> Any:
    if kind is bool:
        word = str(value).strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise ValueError(value)
    if kind is list:
        return source.getlist(name)
    if kind is dict:
        return source.getdict(name)
    return kind(value)
