"""RULE. Steps on any row: blanks, things that nobody may read, the hash of a record."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import xxhash

from scraper.batches.steps import Place, Row, RowStep
from scraper.errors import ConfigError

_EMPTY_LINES = re.compile(r"\n{3,}")
_HASHES: dict[str, Callable[[], Any]] = {"xxh3": xxhash.xxh3_128, "sha256": hashlib.sha256}


def clean(row: Row, *, skip: Iterable[str] = ("body", "html")) -> Row:
    """Strings without outer blanks, inner runs as one space, at most one empty line; an empty one becomes None.

    Also inside lists and dicts. Not the fields named in ``skip``, nor our own columns (``_...``).
    """
    kept = frozenset(skip)
    return {n: v if n in kept or n[0:1] == "_" else _cleaned(v) for n, v in row.items()}


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        lines = (" ".join(line.split()) for line in value.split("\n"))  # five times faster than a pattern
        return _EMPTY_LINES.sub("\n\n", "\n".join(lines).strip()) or None
    if isinstance(value, list):
        return [_cleaned(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _cleaned(inner) for name, inner in value.items()}
    return value


class ContentHash(RowStep):
    """Hash of the named fields, by default of all but our own: equal content, equal hash, in any run.

    ``algorithm``: xxh3 (128 bits, hex), or sha256 where somebody might want two contents with one hash.
    """

    def __init__(
        self, place: Place, *, fields: Iterable[str] = (), into: str = "content_hash", algorithm: str = "xxh3"
    ) -> None:
        if algorithm not in _HASHES:
            raise ConfigError(
                "BATCH_STEPS", algorithm, f"content_hash: algorithm is one of {', '.join(_HASHES)}"
            )
        self._fields, self._into, self._hash = sorted(fields), into, _HASHES[algorithm]

    def run(self, row: Row) -> Row:
        names = self._fields or sorted(name for name in row if name[0:1] != "_" and name != self._into)
        row[self._into] = fed(self._hash(), row, names).hexdigest()
        return row


def fed(state: Any, row: Row, names: Iterable[str]) -> Any:
    """The hash ``state`` after the fields; each goes in with its name and length, so that no boundary can be moved."""
    for name in names:
        value = row.get(name)
        raw = value if isinstance(value, bytes) else msgspec.json.encode(value, order="sorted")
        state.update(f"{name}={len(raw)}:".encode())
        state.update(raw)
    return state


# --- redact ---------------------------------------------------------------------------------------------------

_EMAIL = r"[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[A-Za-z]{2,24}"
_PHONE = r"(?<![\w+])(?:\+|00)[1-9](?:[ ./()-]{0,2}\d){6,13}(?!\w)"  # international form: others are numbers as well
_CARD = r"(?<![\w-])\d(?:[ -]?\d){12,18}(?![\w-])"
_IBAN = r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"
_IPV4 = r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.])"


def _is_card(digits: str) -> bool:
    """Luhn's sum: nine of ten long numbers are no card."""
    numbers = [int(digit) for digit in reversed(digits) if digit.isdigit()]
    doubled = (sum(divmod(2 * number, 10)) for number in numbers[1::2])
    return (sum(numbers[::2]) + sum(doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    letters = text.replace(" ", "")
    return int("".join(str(int(letter, 36)) for letter in letters[4:] + letters[:4])) % 97 == 1


# By name: what must be in a text that has one, the pattern, and whether what it found is one.
PATTERNS: dict[str, tuple[str, str, Callable[[str], bool]]] = {
    "email": ("@", _EMAIL, bool),
    "phone": ("", _PHONE, bool),
    "card": ("", _CARD, _is_card),
    "iban": ("", _IBAN, _is_iban),
    "ipv4": (".", _IPV4, bool),
}


class Redact(RowStep):
    """``fields``: what has one of these names, at any depth, becomes ``mask``. ``patterns``: what looks like one of them in any
    text, at any depth, becomes ``mask``; names of PATTERNS or regular expressions. Our own columns are searched only if
    they are named, bytes never.
    """

    def __init__(
        self,
        place: Place,
        *,
        fields: Iterable[str] = (),
        patterns: Iterable[str] = (),
        mask: str = "[redacted]",
    ) -> None:
        if not fields and not patterns:
            raise ConfigError(
                "BATCH_STEPS",
                "redact",
                f"give it fields, or patterns: {', '.join(PATTERNS)}, or regular expressions",
            )
        self._fields, self._mask = frozenset(fields), mask
        self._patterns = [self._compiled(pattern) for pattern in patterns]

    def run(self, row: Row) -> Row:
        return {
            name: value if name[0:1] == "_" and name not in self._fields else self._redacted(name, value)
            for name, value in row.items()
        }

    def _redacted(self, name: Any, value: Any) -> Any:
        if name in self._fields:
            return None if value is None else self._mask
        if isinstance(value, str):
            for needle, search, is_one in self._patterns:
                if needle in value:
                    value = search.sub(functools.partial(self._masked, is_one), value)
            return value
        if isinstance(value, list):
            return [self._redacted(None, inner) for inner in value]
        if isinstance(value, dict):
            return {inner_name: self._redacted(inner_name, inner) for inner_name, inner in value.items()}
        return value

    def _masked(self, is_one: Callable[[str], bool], found: re.Match[str]) -> str:
        return self._mask if is_one(found[0]) else found[0]

    @staticmethod
    def _compiled(pattern: str) -> tuple[str, re.Pattern[str], Callable[[str], bool]]:
        needle, text, is_one = PATTERNS.get(pattern, ("", pattern, bool))
        try:
            found = re.compile(text)
        except (re.error, TypeError) as error:
            raise ConfigError("BATCH_STEPS", pattern, f"redact: is no regular expression: {error}") from error
        if found.match(""):
            known = ", ".join(PATTERNS)
            raise ConfigError(
                "BATCH_STEPS", pattern, f"redact: fits everywhere, even in nothing; known: {known}"
            )
        return needle, found, is_one
