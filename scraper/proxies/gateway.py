"""RULE. What a gateway's refusal means: which class, and so whether another session or another pool can help.

Asked in this order: the words of the provider's own table (providers/*.toml), the standard header Proxy-Status, the bare
statuses of that table, and what most providers have in common.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scraper.proxies.dialect import Provider

CONFIG = "config"  # wrong user, password or parameter: the pool will refuse everything
FORBIDDEN = "forbidden"  # this target or port, or what may be it: asked again, the pool refuses it again
ACCOUNT = "account"  # traffic or money used up: the pool is gone until somebody pays
CAPACITY = "capacity"  # too many at once: wait
NO_EXIT = "no_exit"  # no exit for this targeting
SESSION_LOST = "session_lost"  # the exit behind the session went away: a new session helps at once
TARGET = "target"  # the site does not answer or has no address: no blame for the pool
TRANSIENT = "transient"  # anything else: a new session, a few times
CLASSES = (CONFIG, FORBIDDEN, ACCOUNT, CAPACITY, NO_EXIT, SESSION_LOST, TARGET, TRANSIENT)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row of a provider's table. ``status`` 0: any. ``words``, lower case: one must stand in the reason or a detail
    header; none: the status is enough. ``own``: a status that no site sends, so on ``http://`` it is the gateway's."""

    kind: str
    status: int = 0
    words: tuple[str, ...] = ()
    own: bool = False


# Headers in which gateways give their own reason; their presence also tells a gateway's answer from a site's.
DETAIL_HEADERS = frozenset(
    {
        "x-error-description",
        "x-thor-error-code",
        "x-thor-error-msg",
        "x-thor-error",
        "x-brd-err-code",
        "x-brd-err-msg",
        "x-brd-error",
        "x-webshare-reason",
        "x-webshare-error",
    }
)
_NAMES = re.compile(
    r"\w[\w-]*(?:\.[\w-]+)+"
)  # of sites, repeated in a reason: traffic.example is no used up traffic
_STANDARD = re.compile(r"\berror=\"?([a-z_]+)")  # of the header Proxy-Status, RFC 9209
_STANDARD_KINDS = {
    "dns_timeout": TARGET,
    "dns_error": TARGET,
    "destination_not_found": TARGET,
    "destination_unavailable": TARGET,
    "destination_ip_unroutable": TARGET,
    "destination_ip_prohibited": FORBIDDEN,
    "http_request_denied": FORBIDDEN,
    "connection_limit_reached": CAPACITY,
}
_WORDS = (  # first match wins; looked for in the reason phrase and the detail headers, lower case
    (CAPACITY, ("thread", "too many", "concurren", "rate_limit", "rate limit")),
    (ACCOUNT, ("traffic", "bandwidth", "limit reached", "exhausted", "payment", "billing", "quota")),
    (SESSION_LOST, ("session", "exit node not found", "peer gone", "ip gone")),
    (
        NO_EXIT,
        ("no exit", "no_exit", "no peer", "no_peer", "no ray", "no_ray", "allocation", "unsupported region"),
    ),
    (TARGET, ("target unreachable", "target_connect", "no_host_connection")),
)
_STATUSES = {
    400: FORBIDDEN,
    401: CONFIG,
    402: ACCOUNT,
    403: FORBIDDEN,
    407: CONFIG,
    429: CAPACITY,
    452: ACCOUNT,
    453: CAPACITY,
    454: NO_EXIT,
    455: CONFIG,
    490: NO_EXIT,
    503: NO_EXIT,
    525: NO_EXIT,
}


def classify(provider: Provider, status: int, reason: str, headers: Mapping[str, str]) -> str:
    """Return the class of a refused CONNECT, or of an answer that ``is_gateways_own``. Header names in lower case."""
    standard = _STANDARD.search(headers.get("proxy-status", "").lower())
    names = sorted(DETAIL_HEADERS.union(provider.details) & headers.keys())
    told = _NAMES.sub(
        "", " ".join([reason, headers.get("proxy-status", ""), *(headers[name] for name in names)]).lower()
    )
    rows = [row for row in provider.refusals if row.status in (0, status)]
    for row in rows:
        if any(word in told for word in row.words):
            return row.kind
    if standard and standard[1] in _STANDARD_KINDS:
        return _STANDARD_KINDS[standard[1]]
    for row in rows:
        if not row.words:
            return row.kind
    for name, words in _WORDS:
        if any(word in told for word in words):
            return name
    return _STATUSES.get(status, TRANSIENT)


def is_gateways_own(provider: Provider, status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer on a plain ``http://`` page comes from the gateway rather than from the site."""
    if status == 407 or any(row.own and row.status == status for row in provider.refusals):
        return True
    told = not headers.keys().isdisjoint(DETAIL_HEADERS.union(provider.details))
    return status >= 400 and (told or _STANDARD.search(headers.get("proxy-status", "")) is not None)
