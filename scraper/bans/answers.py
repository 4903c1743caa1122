"""RULE. An answer of a site as plain data, and what its body shows a reader: shape, title, visible words, scripts, fields."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

HEAD_BYTES = 32 * 1024  # of a page that was served: walls put their marks in the head or on the first screen
TAIL_BYTES = 8 * 1024  # and from its end, where challenge scripts are put
WHOLE_BYTES = 512 * 1024  # of a page with an error status, or with a mark: looked at whole up to here
SMALL_BYTES = 16 * 1024  # a body up to here is always read with its markup stripped

EMPTY, HTML, XML, JSON, TEXT, BINARY = "empty", "html", "xml", "json", "text", "binary"

_SPACE = b"\xef\xbb\xbf \t\r\n"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_MARKUP = re.compile(
    rb"<(?:!doctype html|html|head|body|title|script|meta|div|p|h1|iframe|center|form)\b", re.IGNORECASE
)
_BINARY_TYPES = ("image/", "audio/", "video/", "font/", "application/pdf", "application/zip", "octet-stream")
_SILENT = re.compile(r"<!--(?!-?>)|<(script|style|noscript|template|title|svg(?![^<>]*/>))\b")
_ENDLESS = re.compile(r"&#\d{20,}")  # no character has such a number
_TAG = re.compile(r"<[^<>]*>")
_FIELD = re.compile(r"<(?:input|textarea|select)\b[^<>]*>")
_NO_FIELD = re.compile(
    r"type\s*=\s*[\"']?(?:hidden|submit|button|image|checkbox|reset)|captcha|turnstile|display:\s*none"
)
_REFRESH = re.compile(  # possessive where it can be: no page makes it slow
    r"<meta(?=[^<>]*http-equiv\s*=\s*[\"']?refresh)[^<>]*?content\s*+=\s*+(?:[\"']\s*+)?[\d.]*+\s*+[;,]\s*+"
    r"(?:url\s*+=\s*+[\"']?)?\s*+([^\"'<>]+)",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    r"\blocation(?:\.href)?\s*=\s*[\"']([^\"']+)|\blocation\.(?:replace|assign)\(\s*[\"']([^\"']+)"
)
_TITLE_BYTES = 2000  # of a title that are read
_SENT_ON_TEXT = (
    200  # visible characters up to which a script that sets the location is taken for the page's purpose
)


class _Parts(NamedTuple):
    text: str
    scripts: str


class Answer:
    """``headers``: by lower-case name, several of one name joined with ", ". ``body``: decompressed bytes.

    What is read of the body is read when asked for, and once. All texts are lower-case, with single spaces.
    """

    def __init__(
        self, url: str, status: int, headers: Mapping[str, str], body: bytes = b"", encoding: str = "utf-8"
    ) -> None:
        self.url = url
        self.status = status
        self.headers = headers
        self.body = body
        self.encoding = encoding

    @cached_property
    def location(self) -> str:
        """Where a redirect points; "" for all else."""
        return self.headers.get("location", "") if 300 <= self.status < 400 else ""

    @cached_property
    def shape(self) -> str:
        """``html``, ``xml``, ``json``, ``text``, ``binary`` or ``empty``, by content type and first bytes."""
        start = self._bytes[:HEAD_BYTES].lstrip(_SPACE)[:1024]
        if not start:
            return BINARY if self._bytes.strip(_SPACE) else EMPTY
        told = self.headers.get("content-type", "").lower()
        if any(word in told for word in _BINARY_TYPES):
            return BINARY
        if start[:1] in b"{[":
            return JSON
        looks = _MARKUP.search(start) is not None
        if "html" in told:
            return HTML if start[:1] == b"<" or looks else TEXT
        if "xml" in told or start.startswith(b"<?xml"):
            return HTML if b"<html" in start.lower() else XML
        if looks and start[:1] == b"<" and "javascript" not in told and "css" not in told:
            return HTML
        return BINARY if not told and b"\0" in start else TEXT

    @cached_property
    def window(self) -> bytes:
        """The lower-case bytes that marks are looked for in: the whole of an error page, head and tail of another."""
        body = self._bytes
        if self.status >= 400 or len(body) <= HEAD_BYTES + TAIL_BYTES:
            return body[:WHOLE_BYTES].lower()
        return (body[:HEAD_BYTES] + body[-TAIL_BYTES:]).lower()

    @cached_property
    def title(self) -> str:
        """What the first title element of an HTML page says."""
        start = self.window[:HEAD_BYTES].find(b"<title") if self.shape == HTML else -1
        if start < 0:
            return ""
        words = self._bytes[start : start + _TITLE_BYTES].decode(self._encoding, "replace").lower()
        return _plain(words.partition("</title")[0])

    @property
    def text(self) -> str:
        """What a reader sees, title and noscript left out."""
        return self._parts.text

    def says_more_than(self, n_chars: int) -> bool:
        """Whether a reader sees more than that; the start of a long page mostly tells."""
        if len(self.body) > HEAD_BYTES and len(self._start) > n_chars:
            return True
        return len(self.text) > n_chars

    @cached_property
    def _start(self) -> str:
        """What a reader sees of the first HEAD_BYTES: never more than ``text``."""
        start = self._bytes[:HEAD_BYTES].decode(self._encoding, "ignore").lower()
        if start.rfind("<") > start.rfind(">"):
            start = start[: start.rfind("<")]  # cut inside a tag
        return _read(start).text

    @property
    def scripts(self) -> str:
        """Script elements, with their attributes; data (JSON) left out."""
        return self._parts.scripts

    @cached_property
    def n_fields(self) -> int:
        """Fields that a visitor fills in, those of a captcha left out."""
        return sum(1 for field in _FIELD.findall(self._markup) if not _NO_FIELD.search(field))

    @cached_property
    def sent_to(self) -> str:
        """Where a meta refresh, or the script of a page without words, sends a browser on; "" for nowhere."""
        found = _REFRESH.search(self._decoded)
        if found is None and len(self.text) <= _SENT_ON_TEXT:
            found = _ASSIGNED.search(self.scripts)
        return _unescaped(next(filter(None, found.groups()), "")).strip() if found else ""

    @cached_property
    def _bytes(self) -> bytes:
        """The body in an encoding in which ASCII is ASCII."""
        if self._wide:
            return self.body[: 4 * WHOLE_BYTES].decode(self._wide, "replace").encode()
        return self.body

    @cached_property
    def _wide(self) -> str:
        """The encoding of a body in which ASCII is not ASCII, else ""."""
        if self.body[:2] in _UTF_16:
            return "utf-16"
        told = self.encoding.lower().replace("_", "-")
        return told if told.startswith(("utf-16", "utf-32")) else ""

    @cached_property
    def _encoding(self) -> str:
        try:
            "".encode(self.encoding)
        except (LookupError, ValueError):
            return "utf-8"
        return "utf-8" if self._wide else self.encoding

    @cached_property
    def _decoded(self) -> str:
        return self._bytes[:WHOLE_BYTES].decode(self._encoding, "replace")

    @cached_property
    def _markup(self) -> str:
        return self._decoded.lower()

    @cached_property
    def _parts(self) -> _Parts:
        if self.shape not in (HTML, XML):
            return _Parts(_plain(self._markup), "")
        return _read(self._markup)


def _read(markup: str) -> _Parts:
    """One pass: what never closes reaches to the end, as in a browser, so no page makes this slow."""
    shown: list[str] = []
    scripts: list[str] = []
    at = 0
    for opening in _SILENT.finditer(markup):
        if opening.start() < at:
            continue
        shown.append(markup[at : opening.start()])
        name = opening[1]
        close = "-->" if name is None else f"</{name}"
        end = markup.find(close, opening.end())
        at = len(markup) if end < 0 else end + (3 if name is None else 0)
        if name == "script" and "json" not in markup[opening.end() : opening.end() + 100].partition(">")[0]:
            scripts.append(markup[opening.start() : at])
    shown.append(markup[at:])
    return _Parts(_plain(" ".join(shown)), "\n".join(scripts))


def _plain(markup: str) -> str:
    return " ".join(_unescaped(_TAG.sub(" ", markup)).split())


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a number of more than 4,300 digits
        return html.unescape(_ENDLESS.sub(" ", text))
