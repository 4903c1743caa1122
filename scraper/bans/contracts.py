"""RULE. Content contracts: what a spider says a good page holds, by callback or by address.

    good_page = {
        "parse_product": {"css": ["h1", ".price"], "min_bytes": 500},
        "parse_listing": {"any_of": [{"css": ".grid a"}, {"regex": "No products found"}]},
        "/api/*": {"json": "items.*.price"},
    }

A page without it is a soft block (a poisoned page, a login wall, an empty answer), whatever its status says. Every contract
that a page falls under must hold: none is thought more specific than another. docs/contracts.md says more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from parsel import Selector
from parsel.csstranslator import GenericTranslator, HTMLTranslator

from scraper.errors import ConfigError
from scraper.verdicts import BLOCKED, Verdict

LISTS = ("css", "xpath", "json", "regex")
KEYS = (*LISTS, "min_bytes", "any_of")
_HTML, _XML = HTMLTranslator(), GenericTranslator()
NAME_LENGTH = 40  # characters of a rule's name that come from the key: a stats key stays readable
_NO_PAGE = (204, 205)  # good answers that have no body
_IN_ADDRESSES = "%/:=&?~#+!$,;'@()*[]|"  # not escaped in a pattern; what is not ASCII is, as in an address


@dataclass(frozen=True, slots=True)
class Contract:
    """Every entry of every kind must hold. ``css`` and ``xpath``: something matches; ``json``: the dotted path leads to a
    value that is not null; ``regex``: found in the text; ``min_bytes``: length of the decompressed body; ``any_of``: at
    least one of these contracts holds. ``name`` is the middle of the rule's name."""

    name: str
    css: tuple[str, ...] = ()
    xpath: tuple[str, ...] = ()
    json: tuple[str, ...] = ()
    regex: tuple[re.Pattern[str], ...] = ()
    min_bytes: int = 0
    any_of: tuple[Contract, ...] = ()


@dataclass(frozen=True, slots=True)
class Contracts:
    """A spider's contracts, checked."""

    by_callback: Mapping[str, Contract]
    by_path: tuple[tuple[re.Pattern[str], Contract], ...] = ()
    by_path_and_query: tuple[tuple[re.Pattern[str], Contract], ...] = ()
    by_address: tuple[tuple[re.Pattern[str], Contract], ...] = ()

    def of(self, callback: str, url: str, status: int) -> list[Contract]:
        """Those that a page falls under; none without a 2xx status: what a spider asks for with
        ``handle_httpstatus_list`` is handed to it as it is. ``url``: the address that answered."""
        if not 200 <= status < 300 or status in _NO_PAGE:
            return []
        found = [self.by_callback[callback]] if callback in self.by_callback else []
        if self.by_path or self.by_path_and_query:
            parts = urlsplit(url)
            path = parts.path or "/"
            found += [contract for pattern, contract in self.by_path if pattern.fullmatch(path)]
            path = f"{path}?{parts.query}"
            found += [contract for pattern, contract in self.by_path_and_query if pattern.fullmatch(path)]
        return found + [contract for pattern, contract in self.by_address if pattern.search(url)]


def callback_name(callback: Callable[..., Any] | None) -> str:
    """The name by which ``good_page`` knows a request's callback; Scrapy calls ``parse`` where there is none."""
    while isinstance(callback, partial):
        callback = callback.func
    return getattr(callback, "__name__", "parse")


def parse(spider: str, table: Any, is_callback: Callable[[str], bool]) -> Contracts:
    """Check the ``good_page`` of ``spider``. Raises ConfigError, which names the entry and the way out.

    A key is the name of a callback; or a pattern of paths that begins with ``/``, in which ``*`` stands for anything (with
    a ``?`` in it, of path and query); or ``re:`` and a regular expression, searched in the whole address.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(
            f"{spider}.good_page", table, "must be a dict: callback or address pattern -> what to hold"
        )
    by: dict[str, list[Any]] = {"callback": [], "path": [], "query": [], "address": []}
    names: set[str] = set()
    for key, entry in table.items():
        where = f"{spider}.good_page[{key!r}]"
        if isinstance(key, str) and key.startswith("/"):
            pattern = re.compile(".*".join(map(re.escape, quote(key, safe=_IN_ADDRESSES).split("*"))))
            by["query" if "?" in key else "path"].append(
                (pattern, _contract(where, _name(key, names), entry))
            )
        elif isinstance(key, str) and key.startswith("re:"):
            by["address"].append((_regex(where, key[3:]), _contract(where, _name(key[3:], names), entry)))
        elif isinstance(key, str) and key.isidentifier():
            if not is_callback(key):
                raise ConfigError(where, None, f"is no callback of spider {spider}")
            by["callback"].append((key, _contract(where, _name(key, names, ""), entry)))
        else:
            raise ConfigError(
                where, None, "must be the name of a callback, or a pattern that begins with / or re:"
            )
    return Contracts(dict(by["callback"]), tuple(by["path"]), tuple(by["query"]), tuple(by["address"]))


def judge(
    contracts: Iterable[Contract], body: bytes, text: str, selector: Callable[[], Selector] | None
) -> Verdict | None:
    """Return why the page breaks one of the contracts, None when all hold. ``text``: the decoded body, "" of a binary one;
    ``selector`` is asked only where a contract needs it, and None for a page that is no markup."""
    for contract in contracts:
        if lack := _lack(contract, body, text, selector):
            rule = f"contract_{contract.name}_{lack[0]}"
            return Verdict(BLOCKED, rule, kind="contract", evidence=lack[1][:200])
    return None


def _lack(
    contract: Contract, body: bytes, text: str, selector: Callable[[], Selector] | None
) -> tuple[str, str] | None:
    """(kind, evidence) of the first entry that does not hold."""
    if len(body) < contract.min_bytes:
        return "min_bytes", f"{len(body)} of {contract.min_bytes} bytes"
    for kind in ("css", "xpath"):
        for query in getattr(contract, kind):
            if selector is None or not _selects(selector(), kind, query):
                return kind, query
    for pattern in contract.regex:
        if not pattern.search(text):
            return "regex", pattern.pattern
    if contract.json:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return "json", "not JSON"
        for path in contract.json:
            if not _leads(value, path.split(".")):
                return "json", path
    if contract.any_of:
        lacks = [_lack(other, body, text, selector) for other in contract.any_of]
        if all(lacks):
            return "any_of", "; ".join(f"{lack[0]} {lack[1]}" for lack in lacks if lack)
    return None


def _selects(selector: Selector, kind: str, query: str) -> bool:
    """``boolean()``: 900 prices are one truth instead of 900 objects, and `count(//tr)` is true where there are some."""
    if kind == "css":
        query = (_HTML if selector.type == "html" else _XML).css_to_xpath(query)
    return bool(selector.xpath(f"boolean({query})")[0].root)


def _leads(value: Any, path: list[str]) -> bool:
    """Whether ``path`` leads to something that is not null; ``*`` is any element of a list or any value of an object."""
    if not path:
        return value is not None
    key, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        found = list(value.values()) if key == "*" else [value.get(key)]
    elif isinstance(value, list):
        found = value if key == "*" else value[int(key) : int(key) + 1] if key.isdecimal() else []
    else:
        return False
    return any(_leads(one, rest) for one in found)


def _name(key: str, taken: set[str], prefix: str = "url_") -> str:
    """``/p/*`` -> ``url_p``: letters, digits and _ only, each name once."""
    words = re.sub(r"[^a-z0-9]+", "_", key.lower()).strip("_") or "any"
    name = wanted = (prefix + words)[:NAME_LENGTH].strip("_")
    number = 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    taken.add(name)
    return name


def _contract(where: str, name: str, entry: Any, *, inner: bool = False) -> Contract:
    if not isinstance(entry, Mapping) or not entry:
        raise ConfigError(where, entry, f"must be a dict of what the page holds: {', '.join(KEYS)}")
    known = KEYS[:-1] if inner else KEYS
    for key in entry:
        if key not in known:
            raise ConfigError(f"{where}[{key!r}]", entry[key], f"is not known; known: {', '.join(known)}")
    lists = {key: _texts(f"{where}[{key!r}]", entry[key]) if key in entry else () for key in LISTS}
    empty = Selector(text="<p></p>")
    for key, check in (("css", empty.css), ("xpath", empty.xpath)):
        for query in lists[key]:
            try:
                check(query)
            except (ValueError, SyntaxError) as error:  # cssselect raises the latter
                raise ConfigError(f"{where}[{key!r}]", query, f"is not a {key} selector: {error}") from error
    for path in lists["json"]:
        if path.startswith("$") or "[" in path or "" in path.split("."):
            raise ConfigError(
                f"{where}['json']", path, "must be keys and indexes with dots between: items.0.price"
            )
    size = entry.get("min_bytes", 0)
    if not isinstance(size, int) or isinstance(size, bool) or ("min_bytes" in entry and size < 1):
        raise ConfigError(f"{where}['min_bytes']", size, "must be a whole number of bytes above 0")
    others = entry.get("any_of", ())
    if not isinstance(others, list | tuple) or ("any_of" in entry and not others):
        raise ConfigError(f"{where}['any_of']", others, "must be a list of dicts, of which one must hold")
    return Contract(
        name,
        lists["css"],
        lists["xpath"],
        lists["json"],
        tuple(_regex(f"{where}['regex']", text) for text in lists["regex"]),
        size,
        tuple(
            _contract(f"{where}['any_of'][{place}]", name, other, inner=True)
            for place, other in enumerate(others)
        ),
    )


def _regex(where: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ConfigError(where, text, f"is not a regular expression: {error}") from error


def _texts(where: str, value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or any(not isinstance(text, str) or not text for text in texts):
        raise ConfigError(where, value, "must be a text or a list of texts")
    if not texts:
        raise ConfigError(
            where, value, "is empty, so that every page would hold it; name what a good page has"
        )
    return tuple(texts)
