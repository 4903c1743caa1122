"""I/O. Saved answers: one a rule and run, in ``<run dir>/blocks/<rule>.txt``, for people and `scrapy bans explain`.

A sample is what ``curl -i`` prints: status line, headers, blank line, body. Lines that begin with ``Sample-`` are ours and
say what was decided. The body is as the site sent it, decompressed. The suffix is .txt, so that a double click shows the
page's text: what stands in it was written by somebody who fights robots, and must not run as a local page.
"""

from __future__ import annotations

import os
import re
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import brotli

from scraper.bans.completeness import UNDECODABLE_ERRORS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SAMPLE_BYTES = 512 * 1024  # of a body that are kept: all that a signature looks at
BODY = "body"  # the note that says what is kept of the body
SPIDER, CALLBACK = "spider", "callback"  # the notes that say who asked
CUT_AT = "cut: the first "  # what that note begins with where it is not all
MASK = "***"

_NOTE = "sample-"
_URL = "url"
_HIDDEN = re.compile(
    r"^proxy-|authori[sz]ation|^cookie|token|secret|passw|api[-_]?key|credential", re.IGNORECASE
)
# From :// to the last @ before the path. Bounded, and the first part without a colon, so that no page makes it slow.
_USERINFO = re.compile(rb"://[^\s/?#@:\"'<>]{0,256}(?::[^\s/?#\"'<>]{0,256})?@")
_AUTHORIZATION = re.compile(
    rb"(?i)(authorization['\"]?\s{0,4}[:=]\W{0,4}(?:(?:basic|bearer|digest)\s+)?)[\w.~+/=-]+"
)
_HEAD = re.compile(rb"HTTP/[\d.]+ \d{3}\b[^\n<]*\n(?=[\w-]+:|\r?\n)")
_CURL_V = re.compile(rb"^< HTTP/[\d.]+ \d{3}", re.MULTILINE)
_PAGE = re.compile(rb"\s*<[!?a-zA-Z]")
_QUERY = re.compile(r"([?&;]([\w.-]{1,60})=)[^&;#\s]+")


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer; ``status`` 0: not known. ``headers``: (name, value) as they came; ``notes``: what is said of it, by name without ``Sample-``."""

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    notes: Mapping[str, str] = field(default_factory=dict)


class Folder:
    """The samples of a run: of at most ``limit`` rules, each once, and once more where the first had no body."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit
        self._has_body: dict[str, bool] = {}

    def wants(self, rule: str, *, has_body: bool) -> bool:
        kept = self._has_body.get(_file_name(rule))
        return len(self._has_body) < self.limit if kept is None else has_body and not kept

    def save(self, rule: str, sample: Sample) -> Path:
        """Write it without secrets, whole or not at all, and return where. Raises OSError."""
        name = _file_name(rule)
        self.path.mkdir(exist_ok=True)
        path, temporary = self.path / name, self.path / f".{name}.{os.getpid()}"
        try:
            temporary.write_bytes(to_bytes(without_secrets(sample)))
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        self._has_body[name] = bool(sample.body)
        return path


def kept_of(body: bytes, encoding: str) -> tuple[bytes, bool, str]:
    """The part of a body that is kept, whether it is decompressed, and a note on both. ``encoding``: Content-Encoding."""
    limit = SAMPLE_BYTES + 1
    decoded = decompressed(body, encoding, limit) if encoding else None
    plain = body if decoded is None else decoded
    said = f", was {encoding}" if decoded is not None else f", still {encoding}" if encoding else ""
    if len(plain) < limit:
        return plain, decoded is not None, f"whole{said}"
    whole = "" if decoded is not None else f" of {len(body)}"
    return plain[:SAMPLE_BYTES], decoded is not None, f"{CUT_AT}{SAMPLE_BYTES} bytes{whole}{said}"


def decompressed(body: bytes, encoding: str, limit: int) -> bytes | None:
    """At most ``limit`` bytes of a body of one Content-Encoding; None where it is none that we know, or is not that."""
    try:
        match encoding.strip().lower():
            case "gzip" | "x-gzip":
                return zlib.decompressobj(31).decompress(body, limit)
            case "deflate":
                try:
                    return zlib.decompressobj().decompress(body, limit)
                except zlib.error:
                    return zlib.decompressobj(-15).decompress(body, limit)
            case "br":
                return bytes(brotli.Decompressor().process(body, output_buffer_limit=limit))[:limit]
            case "zstd":
                return zstd.ZstdDecompressor().decompress(body, limit)
    except UNDECODABLE_ERRORS:
        pass
    return None


def without_secrets(sample: Sample) -> Sample:
    """No credentials in addresses, no values of cookies and of headers that name a secret."""
    body = _masked(sample.body)
    if b"uthorization" in body or b"UTHORIZATION" in body:
        body = _AUTHORIZATION.sub(rb"\1" + MASK.encode(), body)
    notes = {name: _text(value) for name, value in sample.notes.items()}
    if body != sample.body:
        notes[BODY] = f"{notes.get(BODY, '')}; credentials masked".lstrip("; ")
    headers = tuple((name, _value(name, value)) for name, value in sample.headers)
    return Sample(_text(sample.url), sample.status, headers, body, notes)


def to_bytes(sample: Sample) -> bytes:
    """The file of a sample."""
    known = sample.status in {int(each) for each in HTTPStatus}
    lines = [
        f"HTTP/1.1 {sample.status} {HTTPStatus(sample.status).phrase if known else ''}".rstrip().encode()
    ]
    for name, value in {_URL: sample.url, **sample.notes}.items():
        lines.append(f"{_NOTE.title()}{name.title()}: {_one_line(value)}".encode("utf-8", "replace"))
    for name, value in sample.headers:
        lines.append(f"{name}: {_one_line(value)}".encode("latin-1", "replace"))
    return b"\n".join(lines) + b"\n\n" + sample.body


def from_bytes(data: bytes) -> Sample:
    """Read a sample, what ``curl -i`` printed, or a bare page (status 0, no headers).

    Of several heads (an interim answer, a tunnel, redirects that were followed) the last counts. Raises ValueError for a
    head that is none, for what ``curl -v`` printed, and for an empty file.
    """
    if not data.strip():
        raise ValueError("is empty: there is nothing to judge")
    if not data.startswith(b"HTTP/"):
        if _CURL_V.search(data) and not _PAGE.match(data):
            raise ValueError("this is what curl -v prints: give what curl -i prints")
        return Sample("", 0, (), data)
    while True:
        head, body = _split(data)
        first, *lines = head.splitlines()
        words = first.split(maxsplit=2)
        if len(words) < 2 or not words[1].isdigit():
            raise ValueError(f"its first line is no status line: {first[:80].decode('latin-1')!r}")
        headers: list[tuple[str, str]] = []
        notes: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon:
                raise ValueError(
                    f"no header and no blank line before the body: {line[:80].decode('latin-1')!r}"
                )
            key = name.strip().decode("latin-1")
            if key.lower().startswith(_NOTE):
                notes.setdefault(key.lower().removeprefix(_NOTE), value.strip().decode("utf-8", "replace"))
            else:
                headers.append((key, value.strip().decode("latin-1")))
        following = _next_head(int(words[1]), body) if not notes else None
        if following is None:
            return Sample(notes.pop(_URL, ""), int(words[1]), tuple(headers), body, notes)
        data = body[following:]


def _split(data: bytes) -> tuple[bytes, bytes]:
    end = re.search(rb"\r?\n\r?\n", data)
    return (data[: end.start()], data[end.end() :]) if end else (data, b"")


def _next_head(status: int, body: bytes) -> int | None:
    """Where in ``body`` the next answer begins: at once, or after the words of a redirect that was followed."""
    if _HEAD.match(body):
        return 0
    found = _HEAD.search(body) if 300 <= status < 400 else None
    return found.start() if found else None


def _value(name: str, value: str) -> str:
    if name.lower() == "set-cookie":
        cookie, _, rest = value.partition("=")
        return f"{cookie}={MASK}{''.join(rest.partition(';')[1:])}" if rest else value
    return MASK if _HIDDEN.search(name) else _text(value)


def _text(text: str) -> str:
    masked = _masked(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
    return _QUERY.sub(lambda match: f"{match[1]}{MASK}" if _HIDDEN.search(match[2]) else match[0], masked)


def _masked(data: bytes) -> bytes:
    return _USERINFO.sub(f"://{MASK}@".encode(), data)


def _one_line(value: str) -> str:
    return " ".join(value.split())


def _file_name(rule: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "_", rule.lower())[:80] + ".txt"
