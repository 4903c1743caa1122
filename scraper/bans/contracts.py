"""RULE. Content contracts: what a spider says a good page of one of its callbacks holds.

    good_page = {"parse_product": {"css": [".price", "h1"], "min_bytes": 500}}

A page without it is a soft block (a poisoned page, an empty result, a login wall), whatever its status says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parsel import Selector

from scraper.errors import ConfigError
from scraper.verdicts import BLOCKED, Verdict

KEYS = ("css", "xpath", "json", "regex", "min_bytes")


@dataclass(frozen=True, slots=True)
class Contract:
    """Every entry of every kind must hold. ``css`` and ``xpath``: something matches; ``json``: the dotted path exists
    and is not null; ``regex``: found in the text; ``min_bytes``: length of the decompressed body."""

    css: tuple[str, ...] = ()
    xpath: tuple[str, ...] = ()
    json: tuple[str, ...] = ()
    regex: tuple[re.Pattern[str], ...] = ()
    min_bytes: int = 0


def parse(spider: str, table: Mapping[str, Mapping[str, Any]]) -> dict[str, Contract]:
    """Check a spider's ``good_page`` and return its contracts by callback name. Raises ConfigError."""
    return {
        callback: _contract(f"{spider}.good_page[{callback!r}]", entry) for callback, entry in table.items()
    }


def judge(contract: Contract, body: bytes, text: str, selector: Selector | None) -> Verdict | None:
    """Return why the page breaks the contract, None when it holds. ``selector`` is None for pages that are not markup."""
    if len(body) < contract.min_bytes:
        return _broken("min_bytes", f"{len(body)} of {contract.min_bytes} bytes")
    for query in contract.css:
        if selector is None or not selector.css(query):
            return _broken("css", query)
    for query in contract.xpath:
        if selector is None or not selector.xpath(query):
            return _broken("xpath", query)
    for pattern in contract.regex:
        if not pattern.search(text):
            return _broken("regex", pattern.pattern)
    if contract.json:
        try:
            value = json.loads(text)
        except ValueError:
            return _broken("json", "not JSON")
        for path in contract.json:
            if _at(value, path) is None:
                return _broken("json", path)
    return None


def _contract(where: str, entry: Mapping[str, Any]) -> Contract:
    for key in entry:
        if key not in KEYS:
            raise ConfigError(f"{where}[{key!r}]", entry[key], f"is not known; known: {', '.join(KEYS)}")
    lists = {
        key: _texts(f"{where}[{key!r}]", entry.get(key, ())) for key in ("css", "xpath", "json", "regex")
    }
    empty = Selector(text="<p></p>")
    for key, check in (("css", empty.css), ("xpath", empty.xpath)):
        for query in lists[key]:
            try:
                check(query)
            except (ValueError, SyntaxError) as error:  # cssselect raises the latter
                raise ConfigError(f"{where}[{key!r}]", query, f"is not a {key} selector: {error}") from error
    try:
        patterns = tuple(re.compile(pattern) for pattern in lists["regex"])
    except re.error as error:
        raise ConfigError(
            f"{where}['regex']", entry["regex"], f"is not a regular expression: {error}"
        ) from error
    size = entry.get("min_bytes", 0)
    if not isinstance(size, int) or size < 0:
        raise ConfigError(f"{where}['min_bytes']", size, "must be a whole number of bytes")
    return Contract(lists["css"], lists["xpath"], lists["json"], patterns, size)


def _texts(where: str, value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else tuple(value)
    if any(not isinstance(text, str) or not text for text in texts):
        raise ConfigError(where, value, "must be a text or a list of texts")
    return texts


def _broken(kind: str, evidence: str) -> Verdict:
    return Verdict(BLOCKED, f"contract_{kind}", kind="contract", evidence=evidence)


def _at(value: Any, path: str) -> Any:
    for key in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
