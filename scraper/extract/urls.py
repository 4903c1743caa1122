"""RULE. Addresses: what a person typed, what a page links to, their canonical form, and which site they belong to."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from w3lib.url import safe_url_string

MAX_URL_CHARS = (
    4096  # nginx answers 414 from 8 KiB request line, Apache from 8,190 bytes; traps grow without end
)

# Parameters that only say where the visitor came from: they name the same page.
_TRACKING = re.compile(r"utm_\w+|gclid|dclid|fbclid|msclkid|yclid|igshid|mc_[ce]id", re.IGNORECASE)
_PLAIN = re.compile(r"https?://[a-z0-9.\-]+(?::\d+)?/[A-Za-z0-9\-._~!$&'()*+,;=:@/%?]*")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*://")
_HOST_FIRST = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s/?#:@\[\]]+)(?::\d+)?(?:[/?#]|\Z)")
_HOST_NAME = re.compile(r"(?!-)[\w\-]{1,63}(?<!-)(?:\.(?!-)[\w\-]{1,63}(?<!-))*\.?")
_PORTS = {"http": 80, "https": 443}
_NEVER = ("javascript:", "mailto:", "tel:", "data:", "about:", "blob:")


def typed(text: str) -> str:
    """Return the canonical address for what a person typed.

    Without a scheme it gets ``https://``, and ``http://`` for localhost and literal IP addresses. Raises
    ValueError with the reason in words; the text never repeats a password.
    """
    text = text.strip()
    if not text:
        raise ValueError("is empty")
    if not _SCHEME.match(text):
        if not _HOST_FIRST.match(text):
            raise ValueError("is no http or https address")
        host = urlsplit(f"//{text}").hostname or ""
        local = host == "localhost" or _is_ip(host)
        if not local and "." not in host:
            raise ValueError("is no address: its host has no dot (write http:// before it if you mean it)")
        text = f"{'http' if local else 'https'}://{text}"
    if text.partition("://")[0].lower() not in _PORTS:
        raise ValueError("is no http or https address")
    url = canonical(text)
    if url is None:
        raise ValueError(
            "is no complete address (host, port 1-65535, no user:password, no more than 4,096 characters)"
        )
    return url


@lru_cache(maxsize=8192)  # the menu of a site is on all its pages; about 3 MB
def canonical(url: str) -> str | None:
    """Return the one form of an absolute http(s) address, or None if it is none that can be fetched.

    Host in lower case, no default port, no fragment, no tracking parameters, dot segments resolved, unsafe characters
    escaped; path, ``index.html`` and the order of parameters stay. It is a fixed point of itself and of Scrapy's Request.
    An address with user:password is refused: it would carry the secret into logs and records.
    """
    try:
        if len(url) > MAX_URL_CHARS:
            return None
        if not _PLAIN.fullmatch(url):
            url = safe_url_string(url.replace("\\", "/"))
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if parts.scheme not in _PORTS or not host or "@" in parts.netloc or not _is_host(host) or port == 0:
            return None
        netloc = f"[{host}]" if ":" in host else host
        if port is not None and port != _PORTS[parts.scheme]:
            netloc += f":{port}"
        path = parts.path or "/"
        if "/." in path:
            path = urlsplit(urljoin(f"http://h{path}", path)).path
        result = urlunsplit((parts.scheme, netloc, path, _without_tracking(parts.query), ""))
    except (ValueError, UnicodeError):
        return None
    return result if len(result) <= MAX_URL_CHARS else None


def absolute(base: str, href: str) -> str | None:
    """Return the canonical address of a link, or None for one that leads to no page (bad, mailto:, file:, ...)."""
    href = href.strip(" \t\r\n\f").replace("\t", "").replace("\n", "").replace("\r", "")
    if href[:11].lower().startswith(_NEVER):
        return None
    try:
        return canonical(urljoin(base, href.replace("\\", "/")))
    except ValueError:
        return None


def site(url: str) -> str:
    """Return what makes two addresses the same site: the host without ``www.``, and the port if it is not 80 or 443."""
    parts = urlsplit(url)
    host = (parts.hostname or "").removeprefix("www.")
    port = _port(parts)
    return host if port in (None, 80, 443) else f"{host}:{port}"


def is_on(url: str, sites: frozenset[str], *, subdomains: bool) -> bool:
    """Return whether ``url`` belongs to one of ``sites`` (values of ``site``), or, if asked, to a host below one."""
    own = site(url)
    return own in sites or (subdomains and any(own.endswith(f".{one}") for one in sites))


def _without_tracking(query: str) -> str:
    if "=" not in query or not _TRACKING.search(query):
        return query
    return "&".join(part for part in query.split("&") if not _TRACKING.fullmatch(part.partition("=")[0]))


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_host(host: str) -> bool:
    return len(host) <= 253 and (_HOST_NAME.fullmatch(host) is not None or _is_ip(host))


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        return None
