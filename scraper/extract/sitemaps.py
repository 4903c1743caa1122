"""RULE. Sitemap lines of robots.txt, and sitemap files: urlset, index, plain text, any of them gzipped. Bounded in size.

No XML parser: after one bare ``&`` in a file, and many have one, libxml2 drops every ``&amp;`` that follows, so that all
addresses are wrong. Reading the text also leaves nothing that could expand or load an entity.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from scraper.extract import urls

MAX_BYTES = 50 * 1024 * 1024  # of a sitemap when unpacked; sitemaps.org: "no larger than 50MB"
MAX_URLS = 50_000  # of a sitemap; sitemaps.org: "no more than 50,000 URLs"
MAX_ROBOTS_BYTES = 512 * 1024  # RFC 9309 2.5: parsers read at least 500 KiB
MAX_ROBOTS_SITEMAPS = 100  # of one robots.txt; a large shop lists about 40


_COMMENT = re.compile(r"<!--(?:.*?-->|.*)", re.DOTALL)
_ENTRY = re.compile(
    r"<([\w.\-]+:)?(url|sitemap)(?:\s[^<>]*)?>([^<]*+(?:<(?!/?(?:[\w.\-]+:)?(?:url|sitemap)[\s>])[^<]*+)*+)"
)
_LOC = re.compile(
    r"<([\w.\-]+:)?loc(?:\s[^<>]*)?>\s*(?:<!\[CDATA\[)?([^<\]]*)"
)  # an address has no "]" in its path
_REFERENCE = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|apos));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


class Entry(NamedTuple):
    """What a sitemap names: the canonical address of a page, or of a further sitemap."""

    url: str
    is_sitemap: bool


def in_robots(body: bytes, url: str) -> list[str]:
    """Return the canonical addresses of the ``Sitemap:`` lines of a robots.txt that was found at ``url``."""
    found: dict[str, None] = {}
    for line in body[:MAX_ROBOTS_BYTES].decode("utf-8-sig", "replace").splitlines():
        name, _, value = line.partition(":")
        value = value.partition(" #")[0].strip()
        if name.strip().lower() == "sitemap" and value and (address := urls.absolute(url, value)):
            found[address] = None
    return list(found)[:MAX_ROBOTS_SITEMAPS]


def entries(body: bytes, url: str) -> Iterator[Entry]:
    """Read a sitemap that was found at ``url``; what cannot be read is left out. An address may come twice."""
    body = unpack(body)
    text = body.decode("utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
    found = _in_xml(text) if text.lstrip().startswith("<") else _in_lines(text)
    for address, is_sitemap in islice(found, MAX_URLS):
        if page := urls.absolute(url, address):
            yield Entry(page, is_sitemap)


def unpack(body: bytes) -> bytes:
    """Return a gzipped body unpacked to at most MAX_BYTES, a cut one as far as it goes, any other as it is."""
    if not body.startswith(b"\x1f\x8b"):
        return body[:MAX_BYTES]
    try:
        return zlib.decompressobj(wbits=31).decompress(body, MAX_BYTES)
    except zlib.error:
        return b""


def _in_lines(text: str) -> Iterator[tuple[str, bool]]:
    for line in text.splitlines():
        if line.strip().lower().startswith(("http://", "https://")):
            yield line, False


def _in_xml(text: str) -> Iterator[tuple[str, bool]]:
    for prefix, name, inside in (entry.groups("") for entry in _ENTRY.finditer(_COMMENT.sub("", text))):
        # The loc of the entry's own kind: <image:loc> in an <url> is no page.
        loc = next((one[2] for one in _LOC.finditer(inside) if (one[1] or "") == prefix), "")
        if loc.strip():
            yield _REFERENCE.sub(_character, loc), name == "sitemap"


def _character(reference: re.Match[str]) -> str:
    decimal, hexadecimal, name = reference.groups()
    if name:
        return _NAMED[name]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    return chr(code) if code < 0x110000 else ""
