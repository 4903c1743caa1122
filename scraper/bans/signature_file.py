"""RULE. The signature tables (marks/*.toml) as they are written, checked, and read into a Table."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from typing import Annotated, Any

import msgspec

from scraper.bans.answers import HTML, JSON, TEXT, XML
from scraper.bans.signatures import Signature, Table

#: "refused": the refusal is the site's own, whoever asks; it is handed on and says nothing about the exit.
KINDS = ("challenge", "captcha", "denied", "geo", "rate", "login", "refused")
#: strong: enough by itself. gated: with its statuses or sizes. weak: likewise, and another exit has to tell whether it was
#: the exit that was refused.
STRENGTHS = ("strong", "gated", "weak")
FORMATS = (HTML, JSON, TEXT, XML)


def load(own: str = "") -> Table:
    """Read the tables shipped beside this module, in the order of their names, after the TOML text of one's ``own``."""
    folder = files("scraper.bans").joinpath("marks")
    found = parse(own) if own else []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.endswith(".toml"):
            found += parse(path.read_text(encoding="utf-8"))
    return table(found)


def table(found: Iterable[Signature]) -> Table:
    """Order signatures so that the surer one names the verdict: vendors before generic ones, as listed otherwise."""
    listed = list(found)
    names = [entry.id for entry in listed]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"signature {min(twice)} stands twice")
    return Table(sorted(listed, key=lambda entry: entry.vendor == "generic"))


def parse(text: str) -> list[Signature]:
    """Return the signatures of a TOML ``text``. A wrong entry raises ValueError with its id."""
    entries = tomllib.loads(text).get("signature", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("signature must be a list of tables: [[signature]]")
    return [_signature(entry) for entry in entries]


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    """One [[signature]] as it is written."""

    id: Annotated[str, msgspec.Meta(pattern="^[a-z0-9_]{1,60}$")]  # stands in stats keys and file names
    vendor: str
    kind: str
    strength: str
    source: str
    since: str
    statuses: list[int | str] = []
    format: str = HTML
    max_bytes: int = 0
    max_text: int = 0
    max_fields: int = -1
    headers: dict[str, str] = {}
    cookies: list[str] = []
    location: list[str] = []
    title: list[str] = []
    text: list[str] = []
    phrases: list[list[str]] = []
    scripts: list[str] = []
    body: list[str] = []
    unless: list[str] = []


def _signature(given: Mapping[str, Any]) -> Signature:
    name = given.get("id", "without id")
    try:
        entry = msgspec.convert(given, _Entry)
    except msgspec.ValidationError as error:
        raise ValueError(f"signature {name}: {error}") from error
    values: dict[str, Any] = msgspec.structs.asdict(entry)
    values["statuses"] = frozenset(_statuses(entry.statuses, name))
    values["headers"] = tuple((key.lower(), text.lower()) for key, text in entry.headers.items())
    for key in ("cookies", "location", "title", "text", "scripts", "body", "unless"):
        values[key] = tuple(text.lower() for text in values[key])
    values["phrases"] = tuple(tuple(text.lower() for text in group) for group in entry.phrases)
    signature = Signature(**values)
    if "" in (
        mark for key in ("text", "title", "scripts", "body", "location", "unless") for mark in values[key]
    ):
        raise ValueError(f"signature {name}: an empty mark stands on every page")
    if signature.kind not in KINDS:
        raise ValueError(f"signature {name}: kind {signature.kind} is none of {', '.join(KINDS)}")
    if signature.format not in FORMATS:
        raise ValueError(f"signature {name}: format {signature.format} is none of {', '.join(FORMATS)}")
    marks = (*signature.headers, *signature.cookies, *signature.location, *signature.title, *signature.text)
    if not (marks or signature.needs_body) and min(signature.statuses, default=0) < 600:
        raise ValueError(f"signature {name} has nothing to look for")
    if signature.strength not in STRENGTHS:
        raise ValueError(f"signature {name}: strength {signature.strength} is none of {', '.join(STRENGTHS)}")
    gate = signature.statuses or signature.max_bytes or signature.max_text or signature.max_fields >= 0
    if signature.strength != "strong" and not gate:
        raise ValueError(f"signature {name} is {signature.strength} but names neither statuses nor a size")
    if signature.format != HTML and (signature.title or signature.scripts):
        raise ValueError(f"signature {name}: only html has a title and scripts")
    return signature


def _statuses(listed: Iterable[int | str], name: str) -> Iterator[int]:
    """Numbers, and "4xx" for all that begin with it."""
    for status in listed:
        if isinstance(status, int):
            yield status
        elif len(status) == 3 and status.endswith("xx") and status[0].isdigit():
            yield from range(int(status[0]) * 100, int(status[0]) * 100 + 100)
        else:
            raise ValueError(f"signature {name}: {status} is no status")
