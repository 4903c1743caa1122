"""RULE. The head of a request as it is sent, and a gateway's answer to CONNECT as it is read."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

MAX_HEAD_BYTES = 16 * 1024  # of a gateway's answer; servers of browsers allow 8-16 KiB
_UNSENDABLE = re.compile(rb"[\x00-\x20\x7f]")  # in a method, a target or a Host: it would end them early
_STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-5]\d\d|999)(?: (.*))?", re.ASCII)
# Names as Scrapy writes them. Framing and the way to the proxy are ours to say.
_OURS = frozenset(
    {b"Host", b"Content-Length", b"Transfer-Encoding", b"Proxy-Authorization", b"Proxy-Connection"}
)
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})  # methods whose empty body is told as such


class BadHead(ValueError):
    """What would be sent, or what came, is not the head of an HTTP/1.1 message."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Of a gateway. ``headers`` by lower-case name, of a repeated one the last."""

    status: int
    reason: str
    headers: Mapping[str, str]


@lru_cache(maxsize=1024)  # an identity asks again and again
def basic(user: str, password: str) -> bytes:
    """The value of Proxy-Authorization; empty without credentials."""
    return b"Basic " + b64encode(f"{user}:{password}".encode()) if user or password else b""


def hide(text: str, user: str, password: str) -> str:
    """``text`` of a proxy or of a library, without the credentials where it repeats them."""
    token = basic(user, password).decode().removeprefix("Basic ")
    for secret in filter(None, (token, password, user)):
        text = text.replace(secret, "(hidden)")
    return text


def authority(host: str, port: int, default_port: int = 0) -> str:
    """``host:port`` with the brackets of IPv6; the port is left out where it is ``default_port``."""
    name = f"[{host}]" if ":" in host else host
    return name if port == default_port else f"{name}:{port}"


def request_head(
    method: str,
    target: str,
    host: str,
    headers: Iterable[tuple[bytes, Sequence[bytes]]],
    n_body: int,
    proxy_authorization: bytes = b"",
) -> bytes:
    """Return the head with its empty line. ``headers``: (name, values), names in title case as Scrapy keeps them.

    A Host among them wins over ``host``. Raises BadHead where a value would begin a line of its own.
    """
    lines, own_host = [], host.encode()
    for name, values in headers:
        if name not in _OURS:
            lines += [name + b": " + value for value in values]
        elif name == b"Host" and values:
            own_host = values[-1]
    if n_body or method in _WITH_BODY:
        lines.append(b"Content-Length: %d" % n_body)
    if proxy_authorization:
        lines.append(b"Proxy-Authorization: " + proxy_authorization)
    words = (method.encode(), target.encode(), own_host)
    if any(_UNSENDABLE.search(word) for word in words):
        raise BadHead("method, address or Host holds a blank or a control character")
    start = b"%b %b HTTP/1.1\r\nHost: %b\r\n" % words
    text = b"\r\n".join(lines)
    if (
        text.count(b"\n") != (breaks := max(0, len(lines) - 1))
        or text.count(b"\r") != breaks
        or b"\0" in text
    ):
        raise BadHead("a header holds a line break")
    return start + text + (b"\r\n\r\n" if lines else b"\r\n")


def connect_head(
    host: str, port: int, proxy_authorization: bytes, headers: Iterable[tuple[bytes, Sequence[bytes]]] = ()
) -> bytes:
    """Return what asks a proxy for a tunnel. ``headers``: those that only the proxy is to get."""
    place = authority(host, port)
    return request_head("CONNECT", place, place, headers, 0, proxy_authorization)


def parse_answer(head: bytes) -> Answer:
    """Read a head up to its empty line, which may be there or not. Raises BadHead."""
    first, *rest = head.decode("latin-1").replace("\r\n", "\n").rstrip("\n").split("\n")
    found = _STATUS_LINE.fullmatch(first)
    if found is None:
        raise BadHead("no HTTP/1.1 status line")
    headers: dict[str, str] = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise BadHead("a header line without a colon")
        headers[name.strip().lower()] = value.strip()
    return Answer(int(found[1]), (found[2] or "").strip(), headers)
