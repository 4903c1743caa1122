"""RULE. What a few requests to a page that tells who asks say about a pool, in words that name the way out."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from scraper.proxies import gateway
from scraper.proxies.pools import Pool
from scraper.verdicts import BLOCKED, FAULT, GOOD, RATE_LIMITED, Verdict

CHECK_URL = (
    "https://ipinfo.io/json"  # where neither setting nor provider name a page: 300 bytes, no account needed
)
TRIES = 3  # fresh exits of each pool: enough to see whether they differ, at about 10 kB each
NOTHING_HELPS = frozenset(
    {gateway.CONFIG, gateway.ACCOUNT, gateway.FORBIDDEN}
)  # the next try would be refused alike
_ADDRESS_KEYS = ("ip", "query", "origin", "ip_address", "ipaddress", "ip_addr", "address")
_COUNTRY_KEYS = ("country", "country_code", "countrycode", "country_iso", "country_code_iso2", "cc")
_WORDS = {
    gateway.CONFIG: "user, password or a parameter is wrong: check username and password of the pool in proxies.toml",
    gateway.ACCOUNT: "no traffic or money is left: top up at the provider",
    gateway.CAPACITY: "too many requests at once: set threads to what was bought, or stop other crawls",
    gateway.NO_EXIT: "has no exit for what is asked now: ask for another country, or later",
    gateway.FORBIDDEN: "the provider refuses {host}: ask it to allow the site, or set PROXY_CHECK_URL to another page",
    gateway.SESSION_LOST: "the exit went away: usual now and then; a new session helps",
    gateway.TARGET: "reaches no {host}: set PROXY_CHECK_URL to a page that answers",
    gateway.TRANSIENT: "failed on its way: try again, and ask the provider where it stays so",
    "unreachable": "does not answer: check host and port in proxies.toml, and whether the provider is up",
    "timeout": "no answer in time: the exits are slow or gone",
    "dns": "{host} has no address here: set PROXY_CHECK_URL to a page you can reach",
    "connection_refused": "{host} takes no connection: set PROXY_CHECK_URL to a page you can reach",
    "certificate_refused": "opens TLS with an authority that is not trusted: intercepts = true if the provider says so, "
    "or TLS_CA_FILE",
}
# What the text of a GatewayError has around the gateway's own words, and what _WORDS say already.
_SAID = re.compile(r"^pool \S+ |^does not answer: |\s*\(\w+\)$")


@dataclass(frozen=True, slots=True)
class Try:
    """One request. ``address`` '': none came back; ``error``: in plain words; ``final``: asking again is useless."""

    address: str = ""
    country: str = ""  # lower case; '': the page does not tell
    latency_s: float = 0.0  # from dialling to the first byte of the answer
    error: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A pool, and the country it was asked for ('' for any), for people and for scripts. Times in seconds."""

    pool: str
    provider: str
    usd_per_gb: float
    asked: str
    tries: int
    answers: int
    exits: tuple[str, ...]
    countries: dict[str, int]  # answers by country
    latency_median_s: float | None
    latency_worst_s: float | None
    errors: tuple[str, ...]
    notes: tuple[str, ...]
    works: bool | None  # None: it was not tried


def tries_of(pool: Pool, wanted: int) -> int:
    """How many requests tell something: a list has no more exits than lines, and our own address is one."""
    return {"direct": 1, "list": min(wanted, len(pool.endpoints))}.get(pool.kind, wanted)


def read_answer(body: str) -> tuple[str, str]:
    """Return address and two-letter country that a JSON or plain text answer tells; '' for each that it does not."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = body
    if isinstance(answer, str):
        return _address(answer), ""
    country = _find(answer, _COUNTRY_KEYS, _country)
    return _find(answer, _ADDRESS_KEYS, _address), country


def judge(verdict: Verdict, host: str, body: str, latency_s: float, asked: str = "") -> Try:
    """The outcome of one request to ``host`` from the country ``asked`` for; ``body`` '' where no page came."""
    if verdict.outcome == GOOD:
        address, country = read_answer(body)
        if address:
            return Try(address, country, latency_s)
        return Try(
            error=f"{host} tells no address: set PROXY_CHECK_URL to a page that does, in JSON or as text"
        )
    if verdict.outcome in (BLOCKED, RATE_LIMITED):
        return Try(
            error=f"{host} refuses this exit ({verdict.rule}): the pool works, the page is a bad choice"
        )
    said = verdict.evidence
    for _ in range(3):  # one thing after the other stands at its begin or end
        said = _SAID.sub("", said).strip()
    words = _WORDS.get(verdict.kind) if verdict.outcome == FAULT else f"{host} answers with {verdict.rule}"
    if words is None:
        return Try(error=f"{verdict.rule}: {said}")
    text = words.format(host=host)
    if asked and verdict.kind == gateway.CONFIG:
        text += ", or this country"
    return Try(error=f"{text} ({said})" if said else text, final=verdict.kind in NOTHING_HELPS)


def summarise(pool: Pool, asked: str, tries: Sequence[Try]) -> Row:
    """One row of the table. A pool works where an exit answered, from the country asked for if the page tells it."""
    answers = [each for each in tries if each.address]
    right = [each for each in answers if not asked or each.country in ("", asked)]
    errors = Counter(each.error for each in tries if each.error)
    exits = tuple(dict.fromkeys(each.address for each in answers))
    times_s = sorted(each.latency_s for each in answers)
    notes = []
    if wrong := len(answers) - len(right):
        got = ", ".join(sorted({each.country for each in answers if each not in right}))
        notes.append(
            f"asked for {asked}, {wrong} of {len(answers)} came from {got}: the provider ignores the country"
        )
    if pool.kind == "gateway" and len(answers) > 1 and len(exits) == 1:
        notes.append(
            "every session has the same exit: check how the session is written (session_part, provider)"
        )
    return Row(
        pool=pool.name,
        provider="-" if pool.kind == "direct" else pool.provider.name,
        usd_per_gb=pool.usd_per_gb,
        asked=asked,
        tries=len(tries),
        answers=len(answers),
        exits=exits,
        countries=dict(Counter(each.country or "?" for each in answers)),
        latency_median_s=statistics.median(times_s) if times_s else None,
        latency_worst_s=times_s[-1] if times_s else None,
        errors=tuple(text if n == 1 else f"{n} times: {text}" for text, n in errors.items()),
        notes=tuple(notes),
        works=bool(right),
    )


def not_asked(pool: Pool, asked: str, why: str) -> Row:
    """The row of a pool that was not tried, and neither works nor fails."""
    row = summarise(pool, asked, ())
    return Row(**{**{name: getattr(row, name) for name in Row.__slots__}, "notes": (why,), "works": None})


def outcome(rows: Sequence[Row]) -> tuple[bool | None, str]:
    """Whether all works, and a sentence on it. False: a pool fails; None: for a country no pool could be tried."""
    failing = dict.fromkeys(row.pool for row in rows if row.works is False)
    tried = {row.asked for row in rows if row.works is not None}
    nowhere = dict.fromkeys(row.asked for row in rows if row.asked not in tried)
    some = {row.pool for row in rows if row.works is not None}
    left = dict.fromkeys(
        f"{row.pool} ({row.asked})" if row.pool in some else row.pool
        for row in rows
        if row.works is None and row.asked not in nowhere
    )
    said = []
    if failing:
        said.append(f"does not work: {', '.join(failing)}")
    elif tried:
        said.append("every pool that was tried works" if left or nowhere else "every pool works")
    if nowhere:
        said.append(f"no pool can be asked for {', '.join(nowhere)}: add it to `countries` of a pool")
    if left:
        said.append(f"not tried: {', '.join(left)}")
    return (False if failing else None if nowhere else True), "; ".join(said)


def _address(value: Any) -> str:
    text = value.split(",")[0].strip() if isinstance(value, str) else ""
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def _country(value: Any) -> str:
    known = isinstance(value, str) and len(value) == 2 and value.isascii() and value.isalpha()
    return value.lower() if known else ""


def _find(answer: Any, keys: Sequence[str], read: Callable[[Any], str]) -> str:
    """The first value under one of ``keys`` that ``read`` takes, the outermost first."""
    level = [answer]
    while level:
        inner: list[Any] = []
        for each in level:
            for key, value in each.items() if isinstance(each, dict) else ():
                if str(key).lower() in keys and (found := read(value)):
                    return found
            inner += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        level = inner
    return ""
