"""RULE. Outgoing links of a page: absolute, http(s), each once, bounded in number and in work."""

from __future__ import annotations

from typing import NamedTuple

from lxml import etree

from scraper.extract import urls

MAX_LINKS = 5_000  # distinct links kept of one page; the fullest of 919 saved real pages has 1,040
MAX_TRIED = 20_000  # distinct hrefs looked at, good or bad: about 0.2 s


class Link(NamedTuple):
    """An outgoing link. ``nofollow``: the page asks machines not to follow it (``rel``)."""

    url: str
    nofollow: bool


def base_url(root: etree._Element, url: str) -> str:
    """Return the address that relative links of the page start from (``<base href>`` if it is a good one)."""
    for base in root.iter("base"):
        if href := base.get("href"):
            return urls.absolute(url, href) or url
    return url


def outgoing(root: etree._Element, base: str, *, limit: int = MAX_LINKS) -> list[Link]:
    """Return the links of ``a``, ``area``, ``frame`` and ``iframe`` in document order, each address once.

    A bad one is skipped and never costs the rest; from ``limit`` links on the page is not read further.
    """
    found: dict[str, Link] = {}
    tried: set[str] = set()
    for element in root.iter("a", "area", "frame", "iframe"):
        raw = element.get("href") or element.get("src")
        if raw is None:
            continue
        href, _, fragment = raw.partition("#")
        if href in tried or (not href and fragment):
            continue
        tried.add(href)
        url = urls.absolute(base, href)
        if url is not None and url not in found:
            found[url] = Link(url, _says_nofollow(element.get("rel")))
        if len(found) >= limit or len(tried) >= MAX_TRIED:
            break
    return list(found.values())


def _says_nofollow(rel: str | None) -> bool:
    return rel is not None and "nofollow" in rel.lower().split()
