"""RULE. Reads the table of a provider's TOML file into a Provider; every key, type and text is checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec

from scraper.errors import ConfigError
from scraper.proxies.dialect import PLACES, SCHEMES, Price, Provider, Session
from scraper.proxies.endpoints import parse_endpoint
from scraper.proxies.gateway import CLASSES, Refusal
from scraper.proxies.grammar import FIELDS, Grammar, Value, fields_of


@dataclass(frozen=True, slots=True)
class _Written:
    """The table [grammar]."""

    parts: tuple[tuple[str, ...], ...] = ()
    strict_parts: tuple[tuple[str, ...], ...] = ()
    opening: str = ""
    between: str = ""


@dataclass(frozen=True, slots=True)
class _File:
    """A whole file, key by key; the Provider says what they mean."""

    title: str
    source: str
    date: str
    unknown: tuple[str, ...] = ()
    gateway: str = ""
    schemes: tuple[str, ...] = SCHEMES
    account: str = "{username}"
    place: str = "user"
    grammar: _Written = field(default_factory=_Written)
    host: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    session: Session = field(default_factory=Session)
    errors: tuple[Refusal, ...] = ()
    details: tuple[str, ...] = ()
    exit_headers: tuple[str, ...] = ()
    check_url: str = ""
    price: Price = field(default_factory=Price)


_TABLES: dict[str, type] = {"grammar": _Written, "session": Session, "price": Price}


def parse(table: Mapping[str, Any], name: str, where: str) -> Provider:
    """Return the provider of a file's ``table``; ``where``: the file, for errors. Raises ConfigError."""
    _check_all_keys(table, where)
    try:
        file = msgspec.convert(dict(table), _File)
    except msgspec.ValidationError as error:
        raise ConfigError(where, None, str(error)) from None
    check_one(file.place, PLACES, f"{where}: place")
    for scheme in file.schemes:
        check_one(scheme, SCHEMES, f"{where}: schemes")
    for number, row in enumerate(file.errors, 1):
        check_one(row.kind, CLASSES, f"{where}: errors, row {number}: kind")
    if file.gateway:
        parse_endpoint(file.gateway, f"{where}: gateway")
    for key in file.session.key:
        check_one(key, FIELDS, f"{where}: session.key")
    if len(file.session.alphabet) < 2 or file.session.length < 1:
        raise ConfigError(
            f"{where}: session", file.session.alphabet, "needs 2 characters and a length of 1 or more"
        )
    for key, value in file.values.items():
        _check_pattern(value.pattern, f"{where}: values.{key}.pattern")
    _check_text(file.account, None, f"{where}: account")
    for key, text in {"host": file.host, **file.headers}.items():
        _check_text(text, FIELDS, f"{where}: {key}")
    for part in (*file.grammar.parts, *file.grammar.strict_parts):
        for text in part:
            _check_text(text, FIELDS, f"{where}: grammar")
    grammar = file.grammar
    return Provider(
        name=name,
        title=file.title,
        source=file.source,
        date=file.date,
        unknown=file.unknown,
        gateway=file.gateway,
        schemes=file.schemes,
        account=file.account,
        place=file.place,
        grammar=Grammar(grammar.parts, grammar.opening, grammar.between),
        strict=Grammar(grammar.strict_parts, grammar.opening, grammar.between),
        host=_only(file.host),
        headers=tuple((key, _only(text)) for key, text in file.headers.items()),
        values=tuple(file.values.items()),
        sessions=file.session,
        refusals=tuple(
            Refusal(row.kind, row.status, tuple(word.lower() for word in row.words), row.own)
            for row in file.errors
        ),
        details=tuple(name.lower() for name in file.details),
        exit_headers=tuple(name.lower() for name in file.exit_headers),
        check_url=file.check_url,
        price=file.price,
    )


def check_keys(table: Mapping[str, Any], known: Iterable[str], where: str, of: str = "this table") -> None:
    """Raise ConfigError for a key that is not ``known``, naming the nearest; its value may be secret and is not shown."""
    names = sorted(known)
    for key in table:
        if key not in names:
            near = difflib.get_close_matches(key, names, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(
                f"{where}.{key}", None, f"is not a key of {of}; {hint}known: {', '.join(names)}"
            )


def check_one(value: Any, known: Iterable[str], where: str, more: str = "") -> None:
    """Raise ConfigError unless ``value`` is one of ``known``; ``more`` ends the sentence."""
    names = list(known)
    if value not in names:
        near = difflib.get_close_matches(str(value), names, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(where, value, f"{hint}must be one of {', '.join(names)}{more}")


def _check_all_keys(table: Mapping[str, Any], where: str) -> None:
    check_keys(table, _names(_File), where, "this file")
    for key, entry in table.items():
        if key in _TABLES and isinstance(entry, dict):
            check_keys(entry, _names(_TABLES[key]), f"{where}: {key}")
        elif key == "values" and isinstance(entry, dict):
            check_keys(entry, FIELDS, f"{where}: values")
            for name, value in entry.items():
                if isinstance(value, dict):
                    check_keys(value, _names(Value), f"{where}: values.{name}")
        elif key == "errors" and isinstance(entry, list):
            for row in entry:
                if isinstance(row, dict):
                    check_keys(row, _names(Refusal), f"{where}: errors")


def _names(kind: type) -> list[str]:
    return [entry.name for entry in fields(kind)]


def _check_pattern(pattern: str, where: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(where, pattern, f"is no regular expression: {error}") from None


def _check_text(text: str, known: Iterable[str] | None, where: str) -> None:
    try:
        names = fields_of(text)
    except ValueError:
        raise ConfigError(where, text, "write fields as {name}; no other braces") from None
    for name in sorted(names) if known is not None else ():
        check_one(name, known or (), where)


def _only(text: str) -> Grammar:
    return Grammar(((text,),)) if text else Grammar()
