"""RULE. What a gateway's refusal means: which class, and so whether another session or another pool can help.

The classes are those of every provider's tables put together; a table per provider comes as data later.
"""

from __future__ import annotations

from collections.abc import Mapping

CONFIG = "config"  # wrong user or password: the pool will refuse everything
FORBIDDEN = (
    "forbidden"  # this target, port or parameter: the pool will refuse this site again, and serve others
)
ACCOUNT = "account"  # traffic or money used up: the pool is gone until somebody pays
CAPACITY = "capacity"  # too many threads: wait
NO_EXIT = "no_exit"  # no exit for this targeting
SESSION_LOST = "session_lost"  # the exit behind the session went away: a new session helps at once
TRANSIENT = "transient"  # anything else: a new session, a few times

# Headers in which gateways give their own reason; their presence also tells a gateway's answer from a site's.
DETAIL_HEADERS = (
    "x-error-description",  # Oxylabs
    "x-thor-error-code",  # Thordata
    "x-thor-error-msg",
    "x-brd-err-code",  # Bright Data
    "x-brd-error",
    "x-webshare-reason",  # Webshare
    "x-webshare-error",
    "proxy-status",  # RFC 9209
)
_WORDS = (  # first match wins; looked for in the reason phrase and the detail headers, lower case
    (CAPACITY, ("thread", "too many", "concurren", "rate_limit", "rate limit")),
    (ACCOUNT, ("traffic", "bandwidth", "limit reached", "exhausted", "payment", "billing", "quota")),
    (SESSION_LOST, ("session", "exit node not found", "peer gone", "ip gone")),
    (
        NO_EXIT,
        ("no exit", "no_exit", "no peer", "no_peer", "no ray", "no_ray", "allocation", "unsupported region"),
    ),
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
    490: NO_EXIT,
    503: NO_EXIT,
    525: NO_EXIT,
}


def classify(status: int, reason: str, headers: Mapping[str, str]) -> str:
    """Return the class of a refused CONNECT, or of an answer that ``is_gateways_own``. Header names in lower case."""
    details = " ".join([reason, *(headers.get(name, "") for name in DETAIL_HEADERS)]).lower()
    for name, words in _WORDS:
        if any(word in details for word in words):
            return name
    return _STATUSES.get(status, TRANSIENT)


def is_gateways_own(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer on a plain ``http://`` page comes from the gateway rather than from the site."""
    if status == 407:
        return True
    told = any(name in headers for name in DETAIL_HEADERS if name != "proxy-status")
    return status >= 400 and (told or "error=" in headers.get("proxy-status", ""))
