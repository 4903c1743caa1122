"""RULE. The pools of proxies.toml as checked, frozen values, and the endpoint a pool gives for a country and session.

A pool is ``direct`` (our own address), a ``list`` of fixed proxies, or a ``gateway`` whose username carries country
and session. Secrets arrive here already read (sources.py); they stay out of every repr.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scraper.errors import ConfigError
from scraper.proxies.endpoints import HIDDEN, Endpoint, parse_endpoint

KINDS = ("direct", "list", "gateway")
_COMMON = {"kind", "usd_per_gb", "countries", "intercepts"}
_KEYS = {
    "direct": {"kind"},
    "list": _COMMON | {"file", "proxies"},
    "gateway": _COMMON
    | {"gateway", "username", "country_part", "session_part", "session_minutes", "password", "password_file"},
}
DEFAULT_SESSION_MINUTES = 10  # what most residential gateways give without being asked


@dataclass(frozen=True, slots=True)
class Pool:
    """``usd_per_gb``: price of 1e9 bytes. ``countries``: ISO codes that can be asked for; empty: none can.

    ``session_minutes``: how long the gateway holds a session. ``intercepts``: the pool opens TLS with an authority of
    its own, so certificates are not verified there.
    """

    name: str
    kind: str
    usd_per_gb: float = 0.0
    countries: tuple[str, ...] = ()
    endpoints: tuple[Endpoint, ...] = field(default=(), repr=False)
    country_part: str = ""
    session_part: str = ""
    session_minutes: int = DEFAULT_SESSION_MINUTES
    intercepts: bool = False


def endpoint_for(pool: Pool, country: str, session: str, index: int = 0) -> Endpoint | None:
    """Return where to dial for ``country`` ('' for any) and ``session``; None for a direct pool.

    ``index`` picks the proxy of a list pool.
    """
    if pool.kind == "direct":
        return None
    base = pool.endpoints[index % len(pool.endpoints)]
    if pool.kind == "list":
        return base
    user = base.user
    if country and pool.country_part:
        user += pool.country_part.format(country=country)
    if pool.session_part:
        user += pool.session_part.format(session=session, minutes=pool.session_minutes)
    return Endpoint(base.scheme, base.host, base.port, user, base.password)


def parse(table: Mapping[str, Any], where: str) -> tuple[Pool, ...]:
    """Check the parsed TOML ``table`` of file ``where`` and return its pools, cheapest first.

    List pools arrive with ``proxies`` filled in, gateway pools with ``password``. Raises ConfigError.
    """
    if unknown := set(table) - {"pools"}:
        raise ConfigError(where, min(unknown), "is not known here; pools stand under [pools.<name>]")
    pools = table.get("pools")
    if not isinstance(pools, dict) or not pools:
        raise ConfigError(
            where, pools, 'has no pool; [pools.direct] with kind = "direct" uses no proxy at all'
        )
    parsed = [_pool(f"{where}: pools.{name}", name, entry) for name, entry in pools.items()]
    return tuple(sorted(parsed, key=lambda pool: pool.usd_per_gb))


def _pool(where: str, name: str, entry: Any) -> Pool:
    if not isinstance(entry, dict):
        raise ConfigError(where, HIDDEN, "must be a table")
    kind = entry.get("kind")
    if kind not in KINDS:
        raise ConfigError(f"{where}.kind", kind, f"must be one of {', '.join(KINDS)}")
    for key in entry:
        if key not in _KEYS[kind]:
            near = difflib.get_close_matches(key, _KEYS[kind], 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(f"{where}.{key}", HIDDEN, f"{hint}known: {', '.join(sorted(_KEYS[kind]))}")
    if kind == "direct":
        return Pool(name, kind)
    price = entry.get("usd_per_gb")
    if not isinstance(price, int | float) or isinstance(price, bool) or price < 0:
        raise ConfigError(f"{where}.usd_per_gb", price, "must be a price in USD for 1e9 bytes, 0 or more")
    countries = entry.get("countries", [])
    if not isinstance(countries, list) or any(not _is_country(code) for code in countries):
        raise ConfigError(
            f"{where}.countries", countries, 'must be a list of two-letter codes, like ["us", "de"]'
        )
    intercepts = entry.get("intercepts", False)
    if not isinstance(intercepts, bool):
        raise ConfigError(f"{where}.intercepts", intercepts, "must be true or false")
    codes = tuple(code.lower() for code in countries)
    if kind == "list":
        return _list_pool(where, name, entry, float(price), codes, intercepts)
    return _gateway_pool(where, name, entry, float(price), codes, intercepts)


def _list_pool(
    where: str, name: str, entry: dict[str, Any], price: float, countries: tuple[str, ...], intercepts: bool
) -> Pool:
    lines = entry.get("proxies", [])
    if not isinstance(lines, list) or not lines:
        raise ConfigError(
            where, entry.get("file", "proxies"), "holds no proxy; one scheme://user:password@host:port a line"
        )
    endpoints = tuple(parse_endpoint(str(line), f"{where}, proxy {n}") for n, line in enumerate(lines, 1))
    return Pool(name, "list", price, countries, endpoints, intercepts=intercepts)


def _gateway_pool(
    where: str, name: str, entry: dict[str, Any], price: float, countries: tuple[str, ...], intercepts: bool
) -> Pool:
    gateway = parse_endpoint(str(entry.get("gateway", "")), f"{where}.gateway")
    if gateway.user or gateway.password:
        raise ConfigError(f"{where}.gateway", HIDDEN, "holds credentials; put them in username and password")
    minutes = entry.get("session_minutes", DEFAULT_SESSION_MINUTES)
    if not isinstance(minutes, int) or isinstance(minutes, bool) or minutes < 1:
        raise ConfigError(f"{where}.session_minutes", minutes, "must be whole minutes, 1 or more")
    country_part, session_part = entry.get("country_part", ""), entry.get("session_part", "")
    _check_part(f"{where}.country_part", country_part, {"country": "us"}, "{country}" if countries else "")
    _check_part(f"{where}.session_part", session_part, {"session": "a1", "minutes": 1}, "{session}")
    endpoint = Endpoint(
        gateway.scheme,
        gateway.host,
        gateway.port,
        str(entry.get("username", "")),
        str(entry.get("password", "")),
    )
    return Pool(
        name, "gateway", price, countries, (endpoint,), country_part, session_part, minutes, intercepts
    )


def _check_part(where: str, part: Any, values: dict[str, Any], needed: str) -> None:
    if not isinstance(part, str) or needed not in part:
        raise ConfigError(where, part, f'must hold {needed}, as in "-{needed.strip("{}")}-{needed}"')
    try:
        part.format(**values)
    except (KeyError, IndexError, ValueError):
        known = ", ".join("{" + name + "}" for name in values)
        raise ConfigError(where, part, f"may hold {known} and plain text") from None


def _is_country(code: Any) -> bool:
    return isinstance(code, str) and len(code) == 2 and code.isascii() and code.isalpha()
