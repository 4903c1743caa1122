"""RULE. One proxy as it is dialled, how a line of a list is read, and a list of very many. No value that may be
secret is shown by anything here."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import overload
from urllib.parse import unquote, urlsplit

from scraper.errors import ConfigError

HIDDEN = "(not shown)"  # stands for every value that may hold a secret
SHAPE = "scheme://user:password@host:port"
SCHEMES = ("http", "https", "socks5", "socks5h")

# The usual line, in which nothing needs decoding: read 5 times as fast as by urlsplit. All others take the long way.
_USUAL = re.compile(
    r"(?:(https?|socks5h?)://)?(?:([\w.~!$&'()*+,;=-]+):([\w.~!$&'()*+,;=-]*)@)?([\w.-]+):([1-9][0-9]{0,4})/?",
    re.ASCII,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One proxy as it is dialled: ``scheme`` one of SCHEMES, credentials decoded."""

    scheme: str
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


class EndpointList(Sequence[Endpoint]):
    """Very many endpoints in few bytes: the text of all, one after the other, and where each ends.

    An Endpoint is made when it is asked for. Equal where the same proxies stand in the same order. ``duplicates``:
    how many lines named a proxy that stood there already.
    """

    __slots__ = ("_ends", "_texts", "duplicates")

    def __init__(self, endpoints: Iterable[Endpoint] = ()) -> None:
        self._fill(map(_text, endpoints))

    @classmethod
    def parse(cls, lines: Iterable[str], where: str) -> EndpointList:
        """Read one proxy a line; blank lines and those that begin with # are none. Raises ConfigError with the
        number of the line, which counts every line, and never its text."""
        made = cls.__new__(cls)
        made._fill(_texts(lines, where))
        return made

    def _fill(self, texts: Iterable[bytes]) -> None:
        buffer, self._ends, self.duplicates = bytearray(), array("Q"), 0
        seen: set[bytes] = set()
        for text in texts:
            if text in seen:
                self.duplicates += 1
                continue
            seen.add(text)
            buffer += text
            self._ends.append(len(buffer))
        self._texts = bytes(buffer)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> Endpoint: ...
    @overload
    def __getitem__(self, index: slice) -> EndpointList: ...
    def __getitem__(self, index: int | slice) -> Endpoint | EndpointList:
        if isinstance(index, slice):
            return EndpointList(self[n] for n in range(*index.indices(len(self))))
        end = self._ends[index]
        place = index if index >= 0 else index + len(self._ends)
        text = self._texts[self._ends[place - 1] if place else 0 : end].decode()
        scheme, host, port, user, password = text.split("\n")
        return Endpoint(scheme, host, int(port), user, password)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EndpointList):
            return NotImplemented
        return self is other or (self._texts == other._texts and self._ends == other._ends)

    def __hash__(self) -> int:
        return hash(self._texts)

    def __repr__(self) -> str:
        return f"<EndpointList of {len(self)}>"


def parse_endpoint(line: str, where: str) -> Endpoint:
    """Return the Endpoint of ``http://user:password@host:port``. No error shows any of the line: it may hold a secret."""
    text = line if "://" in line else f"http://{line}"
    if len(parts := line.split(":")) == 4 and "//" not in line and "@" not in line and parts[1].isdigit():
        raise ConfigError(
            where, HIDDEN, "is host:port:user:password; write it as http://user:password@host:port"
        )
    if "#" in text or "?" in text:
        raise ConfigError(where, HIDDEN, "holds # or ?; in a user or password write %23 or %3F")
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        raise ConfigError(where, HIDDEN, f"is not {SHAPE}; special characters are written as %xx") from None
    if url.scheme not in SCHEMES:
        shown = url.scheme if text.lower().startswith(f"{url.scheme}://") else HIDDEN
        raise ConfigError(where, shown, f"is not a scheme we can use; write one of {', '.join(SCHEMES)}")
    if not host or not port:
        raise ConfigError(where, HIDDEN, f"lacks a host or a port; write {SHAPE}")
    if url.path not in ("", "/"):
        raise ConfigError(where, HIDDEN, f"a proxy has no path; write {SHAPE}, and a / in a password as %2F")
    user, password = unquote(url.username or ""), unquote(url.password or "")
    if _CONTROL.search(host + user + password):
        raise ConfigError(where, HIDDEN, "holds a control character, such as %0A; no proxy takes one")
    return Endpoint(url.scheme, host, port, user, password)


def _texts(lines: Iterable[str], where: str) -> Iterable[bytes]:
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        usual = _USUAL.fullmatch(line)
        if usual and int(usual[5]) <= 65535:
            scheme, user, password, host, port = usual.groups("")
            yield f"{scheme or 'http'}\n{host.lower()}\n{port}\n{user}\n{password}".encode()
        else:
            yield _text(parse_endpoint(line, f"{where}, line {number}"))


def _text(endpoint: Endpoint) -> bytes:
    """The five fields in lines: parse_endpoint lets no line break into any of them."""
    return "\n".join(
        (endpoint.scheme, endpoint.host, str(endpoint.port), endpoint.user, endpoint.password)
    ).encode()
