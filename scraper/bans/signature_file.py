"""RULE. The signature tables (marks/*.toml, and a file of one's own) as they are written, checked, and read into a Table."""

from __future__ import annotations

import difflib
import re
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
SHORTEST = 3  # bytes of a mark: what is shorter stands everywhere
# Rules that have no signature; a signature must not take their stats keys.
_OF_RULES = ("status_", "contract_", "gateway_", "robots_", "body_")
_RULES = frozenset(
    {"good", "empty_page", "site_refused", "site_given_up", "page_budget", "no_country_passes", "timeout"}
)
_MARKUP = re.compile("<[a-z/!]|&[a-z]+;")


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


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: str = ""
    off: list[str] = []
    signature: list[dict[str, Any]] = []


def load(own: str | None = None) -> Table:
    """Read the tables shipped beside this module, in the order of their names, after the TOML text of one's ``own``.

    An entry of one's own replaces a shipped one of its id; ``off = ["id"]`` there leaves shipped ones out.
    """
    folder = files("scraper.bans").joinpath("marks")
    shipped: list[Signature] = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.endswith(".toml"):
            shipped += parse(path.read_text(encoding="utf-8"))
    if own is None:
        return table(shipped)
    file = _file(own)
    ids = {entry.id for entry in shipped}
    if unknown := [name for name in file.off if name not in ids]:
        near = difflib.get_close_matches(unknown[0], ids, n=1)
        hint = f"did you mean {near[0]}?" if near else "`scrapy bans list` names them"
        raise ValueError(f"off: {unknown[0]} is no shipped signature; {hint}")
    mine = [_signature(entry) for entry in file.signature]
    left_out = {*file.off, *(entry.id for entry in mine)}
    return table([*mine, *(entry for entry in shipped if entry.id not in left_out)])


def table(found: Iterable[Signature]) -> Table:
    """Order signatures so that the surer one names the verdict: vendors before generic ones, as listed otherwise."""
    listed = list(found)
    names = [entry.id for entry in listed]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"signature {min(twice)} stands twice")
    return Table(sorted(listed, key=lambda entry: entry.vendor == "generic"))


def parse(text: str) -> list[Signature]:
    """Return the signatures of a TOML ``text``. A wrong entry raises ValueError with its id."""
    return [_signature(entry) for entry in _file(text).signature]


def _file(text: str) -> _File:
    try:
        found = msgspec.convert(tomllib.loads(text), _File)
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}; the file holds [[signature]] entries, and perhaps off = [ids]") from error
    if not (found.signature or found.off):
        raise ValueError("holds no [[signature]] and no off = [ids]")
    return found


def _signature(given: Mapping[str, Any]) -> Signature:
    name = given.get("id", "without id")
    try:
        entry = msgspec.convert(given, _Entry)
        values: dict[str, Any] = msgspec.structs.asdict(entry)
        values["statuses"] = frozenset(_statuses(entry.statuses))
        values["headers"] = tuple((key.lower(), text.lower()) for key, text in entry.headers.items())
        for key in ("cookies", "location", "title", "text", "scripts", "body", "unless"):
            values[key] = tuple(text.lower() for text in values[key])
        values["phrases"] = tuple(tuple(text.lower() for text in group) for group in entry.phrases)
        signature = Signature(**values)
        _check(signature)
        _check_marks(signature)
    except ValueError as error:  # msgspec's among them
        raise ValueError(f"signature {name}: {error}") from error
    return signature


def _check(signature: Signature) -> None:
    """ValueError for an entry that could not work, or would do what nobody wants."""
    if signature.id in _RULES or signature.id.startswith(_OF_RULES):
        raise ValueError("the id is that of a rule without a signature; choose another")
    for key, known in (("kind", KINDS), ("format", FORMATS), ("strength", STRENGTHS)):
        if (value := getattr(signature, key)) not in known:
            raise ValueError(f"{key} {value} is none of {', '.join(known)}")
    marks = signature.headers or signature.cookies or signature.location or signature.needs_body
    lowest = min(signature.statuses, default=0)
    if not marks and lowest < 600:
        raise ValueError("has nothing to look for")
    gate = signature.statuses or signature.max_bytes or signature.max_text or signature.max_fields >= 0
    if signature.strength != "strong" and not gate:
        raise ValueError(f"is {signature.strength} but names neither statuses nor a size")
    if signature.format != HTML and (signature.title or signature.scripts):
        raise ValueError("only html has a title and scripts")
    if signature.kind == "refused" and lowest < 400:
        raise ValueError("kind refused is handed on to the spider, so it needs statuses of 400 and above")


def _check_marks(signature: Signature) -> None:
    """ValueError for a mark that stands on every page, or on none."""
    said = [*signature.title, *signature.text, *(mark for group in signature.phrases for mark in group)]
    for mark in (*said, *signature.scripts, *signature.body, *signature.location, *signature.unless):
        if len(mark.encode()) < SHORTEST:
            raise ValueError(f"{mark!r} is too short for a mark, which has {SHORTEST} bytes or more")
    for mark in said:
        if mark != " ".join(mark.split()) or (signature.format == HTML and _MARKUP.search(mark)):
            raise ValueError(
                f"{mark!r} is found on no page: title, text and phrases are what a reader sees, with single spaces "
                "and without markup"
            )


def _statuses(listed: Iterable[int | str]) -> Iterator[int]:
    """Numbers, and "4xx" for all that begin with it."""
    for status in listed:
        if isinstance(status, int):
            yield status
        elif len(status) == 3 and status.endswith("xx") and status[0].isdigit():
            yield from range(int(status[0]) * 100, int(status[0]) * 100 + 100)
        else:
            raise ValueError(f"{status} is no status")
