"""RULE. HTML text to an lxml tree in bounded time.

libxml2 compares every attribute of a tag with all others: one tag with 120,000 attributes (1 MB) stalls it for
50 s. So the text is scanned first and cut before the first such tag; nothing behind the cut is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree

MAX_ATTRIBUTES = 256
"""Attributes of one tag. 256 cost 0.1 ms; no tag of 1,247 saved real pages has as many."""

MAX_CHARS = 8 * 1024 * 1024
"""Characters of a page that are parsed: about 0.6 s. The index of the Python documentation has 3 million."""

# The tokenizer of the HTML standard (13.2.5), as libxml2 has it, in one possessive pattern, so that it is linear. Quoted
# values may hold ">"; comments and raw text hold no tags. It stops at the first tag with too many attributes.
# No capturing groups: inside possessive repeats they raise SystemError before Python 3.11.5.
_B = r" \t\n\f\r"
_VALUE = rf"""(?:"[^"]*+"|'[^']*+'|[^{_B}>"'][^{_B}>]*+)"""
_ATTRIBUTE = rf"[{_B}/]*+[^{_B}/>][^{_B}/>=]*+(?:[{_B}]*+=[{_B}]*+{_VALUE}?+)?+"
_ATTRIBUTES = rf"(?:{_ATTRIBUTE}){{0,{MAX_ATTRIBUTES}}}+"
_TAG = rf"/?+[A-Za-z][^{_B}/>]*+{_ATTRIBUTES}[{_B}/]*+(?:>|\Z)"
_COMMENT = r"!--(?:-?>|.*?--!?>|.*+)"
_BOGUS_COMMENT = r"(?:[!?]|/(?![A-Za-z]))[^>]*+"


def _raw(name: str, body: str) -> str:
    """An element whose body is text up to its end tag; ``<name/>`` has none."""
    opened = rf"(?i:{name})(?=[{_B}/>]){_ATTRIBUTES}[{_B}]*+(?:/(?!>)[{_B}]*+)*+>"
    return rf"{opened}{body}(?:\Z|</(?i:{name}){_ATTRIBUTES}[{_B}/]*+(?:>|\Z))"


def _until_end(name: str, or_at: str = "") -> str:
    return rf"(?:[^<]++|<(?!/(?i:{name})[{_B}/>]{or_at}))*+"


# In a script, "<!--" lets "<script>...</script>" be text, up to "-->".
_IN_SCRIPT_COMMENT = (
    rf"(?:-*+>|(?:[^<\-]++|-(?!->)|<(?!/?+(?i:script)[{_B}/>])"
    rf"|<(?i:script)[{_B}/>](?:[^<\-]++|-(?!->)|<(?!/(?i:script)[{_B}/>]))*+(?:</(?i:script)[{_B}/>])?+)*+(?:-->)?+)"
)
_SCRIPT_BODY = rf"(?:{_until_end('script', '|!--')}(?:<!--{_IN_SCRIPT_COMMENT})?+)*+"
_RAW = "|".join(
    [_raw("script", _SCRIPT_BODY)]
    + [
        _raw(name, _until_end(name))
        for name in ("style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
    ]
)
_ORDINARY = re.compile(
    rf"(?:[^<]++|</[A-Za-z0-9]++>|<(?:{_COMMENT}|(?=[sStTxXiInN])(?:{_RAW})|{_TAG}|{_BOGUS_COMMENT}|(?![A-Za-z!?/])))*+",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed page. ``cut`` says that part of it was not read: too long, or a tag built to stall the parser."""

    root: etree._Element
    cut: bool


def parse(text: str) -> Document:
    """Parse HTML of any quality; text without any markup gives a tree that holds it, or an empty ``html``."""
    text = text.replace("\x00", "")
    end = ordinary_until(text)
    parser = etree.HTMLParser(
        encoding="utf-8", recover=True, huge_tree=True, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(text[:end].encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:
        root = None
    return Document(etree.Element("html") if root is None else root, end < len(text))


def ordinary_until(text: str) -> int:
    """Return how many characters of ``text`` a parser may safely be given."""
    match = _ORDINARY.match(text, 0, MAX_CHARS)
    return match.end() if match else 0
