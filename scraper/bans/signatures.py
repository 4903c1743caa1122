"""RULE. The signature table (signatures.toml) as values, and whether one of them matches an answer."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import urlsplit

HEAD_BYTES = (
    16 * 1024
)  # of a body that are looked at from its start: marks stand in the head or the first screen
TAIL_BYTES = 4 * 1024  # and from its end, where challenge scripts are put


@dataclass(frozen=True, slots=True)
class Signature:
    """One mark; the fields are those described in signatures.toml."""

    id: str
    vendor: str
    kind: str
    gated: bool
    statuses: frozenset[int]
    max_bytes: int
    headers: tuple[tuple[str, str], ...]
    location: tuple[str, ...]
    body: tuple[bytes, ...]

    @property
    def needs_body(self) -> bool:
        """Whether it can only be decided once the body is there."""
        return bool(self.body)


class ByStatus(dict[int, tuple[Signature, ...]]):
    """The signatures that can match an answer of a status, worked out once for each status."""

    def __init__(self, table: tuple[Signature, ...]) -> None:
        super().__init__()
        self._table = table

    def __missing__(self, status: int) -> tuple[Signature, ...]:
        found = tuple(entry for entry in self._table if not entry.statuses or status in entry.statuses)
        self[status] = found
        return found


def load() -> tuple[Signature, ...]:
    """Read the table shipped beside this module."""
    return parse(files("scraper.bans").joinpath("signatures.toml").read_text(encoding="utf-8"))


def parse(text: str) -> tuple[Signature, ...]:
    """Return the signatures of a TOML ``text``. A wrong entry raises ValueError with its id."""
    found: dict[str, Signature] = {}
    for entry in tomllib.loads(text)["signature"]:
        name = entry["id"]
        signature = Signature(
            id=name,
            vendor=entry["vendor"],
            kind=entry["kind"],
            gated={"strong": False, "gated": True}[entry["strength"]],
            statuses=frozenset(entry.get("statuses", ())),
            max_bytes=entry.get("max_bytes", 0),
            headers=tuple(entry.get("headers", {}).items()),
            location=tuple(entry.get("location", ())),
            body=tuple(text.encode() for text in entry.get("body", ())),
        )
        if name in found:
            raise ValueError(f"signature {name} stands twice")
        if not (signature.headers or signature.location or signature.body):
            raise ValueError(f"signature {name} has nothing to look for")
        if signature.gated and not (signature.statuses or signature.max_bytes):
            raise ValueError(f"signature {name} is gated but names neither statuses nor max_bytes")
        found[name] = signature
    return tuple(found.values())


def matches_headers(signature: Signature, status: int, headers: Mapping[str, str], location: str) -> bool:
    """Whether headers, Location and status (not the body) fit. ``headers`` by lower-case name."""
    if signature.statuses and status not in signature.statuses:
        return False
    if any(
        name not in headers or text.lower() not in headers[name].lower() for name, text in signature.headers
    ):
        return False
    return not signature.location or any(_points_to(location, text) for text in signature.location)


def _points_to(location: str, text: str) -> bool:
    """``/word`` is a whole segment of the path; anything else may stand anywhere in the address."""
    if text.startswith("/") and text[1:].replace("-", "").isalnum():
        try:
            return text[1:] in urlsplit(location).path.split("/")
        except ValueError:
            return False
    return text in location


def matches_body(signature: Signature, body: bytes, window: bytes) -> bool:
    """Whether the body is short enough and every text stands in ``window`` (its head and tail)."""
    if signature.max_bytes and len(body) > signature.max_bytes:
        return False
    return all(text in window for text in signature.body)


def window_of(body: bytes) -> bytes:
    """The part of a body that is looked at."""
    return body if len(body) <= HEAD_BYTES + TAIL_BYTES else body[:HEAD_BYTES] + body[-TAIL_BYTES:]
