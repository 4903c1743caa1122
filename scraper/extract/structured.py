"""RULE. JSON-LD and microdata of a page as plain lists and dicts, bounded in size and depth."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from lxml import etree

from scraper.extract import urls

MAX_CHARS = 512 * 1024  # of all JSON-LD of a page; a large recipe or product page carries 20,000
MAX_DEPTH = 16  # levels of dicts and lists; deeper ones become None
MAX_OBJECTS = 200  # top-level objects of one page
MAX_MICRODATA = 5_000  # elements with itemscope or itemprop that are read
MAX_TEXT = 2_000  # characters of one microdata value

_WRAPPING = re.compile(
    r"^\s*(?:<!--|//\s*<!\[CDATA\[|/\*\s*<!\[CDATA\[\s*\*/|<!\[CDATA\[)|(?:-->|(?://\s*)?\]\]>|/\*\s*\]\]>\s*\*/)\s*$"
)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_LINKING = {"a": "href", "area": "href", "link": "href", "img": "src", "audio": "src", "video": "src", "source": "src",
            "iframe": "src", "embed": "src", "track": "src", "object": "data"}  # fmt: skip
_VALUED = {"meta": "content", "data": "value", "meter": "value", "time": "datetime"}
_ITEMS = etree.XPath("//*[@itemscope or @itemprop]")


def json_ld(root: etree._Element) -> list[dict[str, Any]]:
    """Return the objects of all ``application/ld+json`` scripts, with lists and ``@graph`` flattened.

    Tolerates comment and CDATA wrappings, trailing commas, control characters and text behind the JSON; what is
    still broken is skipped and never costs the other scripts.
    """
    found: list[dict[str, Any]] = []
    room = MAX_CHARS
    for script in root.iter("script"):
        text = script.text
        if not text or "ld+json" not in (script.get("type") or "").lower():
            continue
        room -= len(text)
        if room < 0:
            break
        found.extend(islice(_objects(_read(text)), MAX_OBJECTS - len(found)))
    return found


def microdata(root: etree._Element, base: str) -> list[dict[str, Any]]:
    """Return the top-level items: ``{"@type": "Product", "name": ..., "offers": {...}}``; repeated names give lists.

    Types lose their ``https://schema.org/``; ``itemref`` is not followed.
    """
    top: list[dict[str, Any]] = []
    owners: dict[etree._Element, dict[str, Any]] = {}
    for element in islice(_ITEMS(root), MAX_MICRODATA):
        own: dict[str, Any] | None = None
        if element.get("itemscope") is not None:
            own = owners[element] = {"@type": _type(element.get("itemtype") or "")}
        owner = next((owners[above] for above in element.iterancestors() if above in owners), None)
        names = (element.get("itemprop") or "").split()
        if owner is None or not names:
            if own is not None and len(top) < MAX_OBJECTS:
                top.append(own)
            continue
        value = _value(element, base) if own is None else own
        for name in names:
            _add(owner, name, value)
    return [item for item in top if len(item) > 1]


def _read(text: str) -> Any:
    text = text.lstrip("\ufeff \t\r\n")
    for candidate in (text, _TRAILING_COMMA.sub(r"\1", _WRAPPING.sub("", text)).strip()):
        try:
            return _bounded(_DECODER.raw_decode(candidate)[0], MAX_DEPTH)
        except (ValueError, RecursionError):
            continue
    return None


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for inner in value:
            yield from _objects(inner)
    elif isinstance(value, dict):
        graph = value.get("@graph")
        if isinstance(graph, list):
            yield from _objects(graph)
        elif value:
            yield value


def _bounded(value: Any, levels: int) -> Any:
    if isinstance(value, dict):
        return {name: _bounded(inner, levels - 1) for name, inner in value.items()} if levels else None
    if isinstance(value, list):
        return [_bounded(inner, levels - 1) for inner in value] if levels else None
    return value


def _type(itemtype: str) -> str:
    return re.sub(r"^https?://schema\.org/", "", itemtype.split()[0]) if itemtype.strip() else ""


def _value(element: etree._Element, base: str) -> str | None:
    tag = element.tag
    if tag in _LINKING and (link := element.get(_LINKING[tag])) is not None:
        return urls.absolute(base, link)
    value = element.get(_VALUED[tag]) if tag in _VALUED else None
    value = element.get("content") if value is None else value
    return " ".join((_text(element) if value is None else value[:MAX_TEXT]).split())


def _text(element: etree._Element) -> str:
    size, parts = 0, []
    for part in element.itertext():
        parts.append(part)
        size += len(part)
        if size > MAX_TEXT:
            break
    return "".join(parts)[:MAX_TEXT]


def _add(item: dict[str, Any], name: str, value: Any) -> None:
    if name not in item:
        item[name] = value
    elif isinstance(item[name], list):
        item[name].append(value)
    else:
        item[name] = [item[name], value]


def _no_number(_: str) -> None:
    """NaN and Infinity are no JSON and no sink takes them."""


_DECODER = json.JSONDecoder(strict=False, parse_constant=_no_number)
