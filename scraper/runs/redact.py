"""Rule: what must never be read in a log, a record or a report, and what stands in its place.

A value is secret when its name says so (``PROXY_PASSWORD``, ``api_key``) or its shape does (``scheme://user:pw@host``,
an Authorization header). The user's half of ``user:pw@`` goes too: gateways write customer numbers into it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

_PASSWORDS = {
    "password",
    "passwd",
    "passphrase",
    "pass",
    "pwd",
    "secret",
    "secrets",
    "credential",
    "credentials",
}
_KEYS = {"token", "tokens", "key", "keys", "apikey", "auth", "authorization", "cookie", "cookies", "dsn"}
_SECRET_WORDS = frozenset(_PASSWORDS | _KEYS)
_SWITCHES = frozenset(("", "none", "true", "false", "0", "1"))  # what COOKIES_ENABLED holds is no secret
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# Up to the last @ before the path. The second form is for a password with a raw /, ? or # in it; `:80/` is a port.
# Bounded: a page could hold half a megabyte of "http://a:b" glued together, which took two minutes without.
_USERINFO = re.compile(
    r"(?<=://)(?:[^\s/?#]{0,512}|[^\s/?#@:]{0,256}:(?!\d{1,5}(?:[/?#\s]|$))[^\s\"'<>]{0,256})@"
)
_HEADER = re.compile(
    r"(?i)\b((?:proxy-)?authorization['\"]?\s*[:=,]\W{0,4}(?:b['\"])?(?:(?:basic|bearer|digest|token)\s+)?)[\w.~+/=-]+"
)
_QUOTED = re.compile(
    r"""(?P<head>(?P<q>['"])(?P<name>[\w.-]{1,60})(?P=q)\s*[:=]\s*b?)(?P<v>['"])(?P<body>.*?)(?P=v)"""
)
_QUERY = re.compile(r"(?P<head>[?&;](?P<name>[\w.-]{1,60})=)(?P<body>[^&;#\s\"']+)")


def is_secret_name(name: str) -> bool:
    """True when one word of ``name`` (split at _, -, dots and camel case) is one that names a secret."""
    return any(word.lower() in _SECRET_WORDS for word in _WORD.findall(name))


def redact(text: str) -> str:
    """``text`` (a log line, an exception, a url) with credentials masked; ordinary text comes back as it is."""
    if "://" in text and "@" in text:
        text = _USERINFO.sub(MASK + "@", text)
    if "uthorization" in text or "UTHORIZATION" in text:
        text = _HEADER.sub(rf"\g<1>{MASK}", text)
    if "'" in text or '"' in text:
        text = _QUOTED.sub(_mask_quoted, text)
    return text


def redact_value(name: str, value: Any) -> Any:
    """The argument or setting ``name`` with secrets masked, inside dicts and lists too. Query parameters count."""
    secret = is_secret_name(name) and str(value).lower() not in _SWITCHES
    if isinstance(value, Mapping):
        return {
            redact(str(key)): MASK if secret else redact_value(str(key), item) for key, item in value.items()
        }
    if secret:
        return MASK
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact_value("", item) for item in value]
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    return _QUERY.sub(_mask_query, redact(value if isinstance(value, str) else repr(value)))


def _mask_quoted(match: re.Match[str]) -> str:
    if not match["body"] or not is_secret_name(match["name"]):
        return match[0]
    return f"{match['head']}{match['v']}{MASK}{match['v']}"


def _mask_query(match: re.Match[str]) -> str:
    return f"{match['head']}{MASK}" if is_secret_name(match["name"]) else match[0]
