"""RULE. One proxy as it is dialled, and how a line of a list is read. Nothing here shows a value that may be secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from scraper.errors import ConfigError

HIDDEN = "(not shown)"  # stands for every value that may hold a secret
SHAPE = "scheme://user:password@host:port"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One proxy as it is dialled: ``scheme`` http or https, credentials decoded."""

    scheme: str
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


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
    if url.scheme not in ("http", "https"):
        raise ConfigError(
            where, url.scheme, "is not a scheme we can use; http and https proxies are supported"
        )
    if not host or not port:
        raise ConfigError(where, HIDDEN, f"lacks a host or a port; write {SHAPE}")
    if url.path not in ("", "/"):
        raise ConfigError(where, HIDDEN, f"a proxy has no path; write {SHAPE}, and a / in a password as %2F")
    return Endpoint(url.scheme, host, port, unquote(url.username or ""), unquote(url.password or ""))
