"""RULE. What a page says about itself: title, language, author, published date, robots rules, OpenGraph."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from lxml import etree

from scraper.extract.values import iso_date

MAX_METAS = 500  # meta elements that are read; pages have about 30
MAX_TIMES = 50  # time elements that are read
MAX_CHARS = 1_000  # of a title, an author, an OpenGraph value

_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:-([A-Za-z]{4}))?(?:-([A-Za-z]{2}|\d{3}))?(?:-[A-Za-z0-9]+)*")
_OPENGRAPH = ("og:", "article:", "product:", "book:", "profile:", "music:", "video:")
_PUBLISHED_METAS = ("article:published_time", "og:article:published_time", "datepublished", "date", "pubdate", "publishdate",
                    "publish_date", "dc.date", "dc.date.issued", "dcterms.issued", "dcterms.created", "citation_publication_date",
                    "parsely-pub-date", "sailthru.date")  # fmt: skip
_AUTHOR_METAS = (
    "author",
    "article:author",
    "dc.creator",
    "dcterms.creator",
    "citation_author",
    "parsely-author",
    "byl",
)

Metas = Mapping[str, str]


def metas(root: etree._Element) -> dict[str, str]:
    """Return the page's meta elements by lower-case property, name, itemprop or http-equiv; the first one wins."""
    found: dict[str, str] = {}
    for meta in islice(root.iter("meta"), MAX_METAS):
        content = meta.get("content")
        if content and content.strip():
            for key in ("property", "name", "itemprop", "http-equiv"):
                if name := meta.get(key):
                    found.setdefault(name.strip().lower(), content.strip())
    return found


def title(root: etree._Element, metas: Metas) -> str | None:
    """Return ``<title>``, else og:title, else the first h1."""
    titles = (_text(element) for element in root.iter("title") if not _is_in_svg(element))
    headings = (_text(element) for element in islice(root.iter("h1"), 1))
    return next(titles, None) or _short(metas.get("og:title")) or next(headings, None)


def language(root: etree._Element, metas: Metas, header: str = "") -> str | None:
    """Return the BCP 47 tag (``de``, ``en-US``, ``zh-Hant-TW``) of html lang, og:locale or content-language."""
    html = next(root.iter("html"), None)
    own = (
        (html.get("lang"), html.get("xml:lang"), html.get("{http://www.w3.org/XML/1998/namespace}lang"))
        if html is not None
        else ()
    )
    for text in (*own, metas.get("og:locale"), metas.get("content-language"), header):
        match = _LANGUAGE.fullmatch((text or "").partition(",")[0].strip().replace("_", "-"))
        if match:
            return "-".join(
                filter(None, (match[1].lower(), match[2] and match[2].title(), match[3] and match[3].upper()))
            )
    return None


def published(root: etree._Element, metas: Metas, data: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the first publication date that is one, as ``values.iso_date`` writes it.

    In the order of metas, ``datePublished`` of ``data`` (JSON-LD and microdata), ``<time pubdate>``, the first
    ``<time>`` of an article's header, of an article, of the page.
    """
    candidates: Iterator[str | None] = (metas.get(name) for name in _PUBLISHED_METAS)
    return next(filter(None, map(iso_date, candidates)), None) or next(
        filter(None, map(iso_date, (*_in_data(data, "datePublished"), *_times(root)))), None
    )


def author(root: etree._Element, metas: Metas, data: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the author's name in ``data`` (JSON-LD and microdata), the metas or ``rel=author``; several with commas."""
    for value in _in_data(data, "author"):
        if value:
            return _short(value)
    for name in _AUTHOR_METAS:
        value = metas.get(name)
        if value and "://" not in value:
            return _short(value)
    signatures = (_text(link) for link in root.iter("a") if link.get("rel") == "author")
    return next(filter(None, signatures), None)


def robots(metas: Metas, header: str = "") -> frozenset[str]:
    """Return the page's rules for machines, of the meta ``robots`` and the header ``X-Robots-Tag``.

    ``none`` counts as ``noindex`` and ``nofollow``; rules that name another robot (``otherbot: noindex``) are not ours.
    """
    rules = {
        word.strip().lower() for word in f"{metas.get('robots', '')},{header}".split(",") if ":" not in word
    }
    return frozenset(rules | {"noindex", "nofollow"} if "none" in rules else rules) - {""}


def opengraph(metas: Metas) -> dict[str, str]:
    """Return OpenGraph properties with their prefix, ``{"og:title": ...}``; of a repeated one the first value."""
    return {name: value[:MAX_CHARS] for name, value in metas.items() if name.startswith(_OPENGRAPH)}


def _in_data(data: Iterable[Mapping[str, Any]], name: str) -> Iterator[str | None]:
    for item in data:
        value = item.get(name)
        values = value if isinstance(value, list) else [value]
        names = [one.get("name") if isinstance(one, Mapping) else one for one in values]
        yield ", ".join(text for text in names if isinstance(text, str) and "://" not in text) or None


def _times(root: etree._Element) -> Iterator[str | None]:
    for element in sorted(islice(root.iter("time"), MAX_TIMES), key=_likelihood):
        yield element.get("datetime") or _text(element)


def _likelihood(time: etree._Element) -> int:
    """Lower is likelier: marked as publication, in an article's header, in an article, anywhere."""
    if time.get("pubdate") is not None:
        return 0
    above = {element.tag for element in islice(time.iterancestors(), 20)}
    return 3 - ("article" in above) - ({"article", "header"} <= above)


def _text(element: etree._Element) -> str | None:
    return _short(" ".join(islice(element.itertext(), 50)))


def _short(text: str | None) -> str | None:
    return " ".join((text or "")[: 4 * MAX_CHARS].split())[:MAX_CHARS] or None


def _is_in_svg(element: etree._Element) -> bool:
    return any(above.tag == "svg" for above in element.iterancestors())
