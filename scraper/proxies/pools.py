"""RULE. The pools of proxies.toml as checked, frozen values, and the endpoint a pool gives for a country and session.

A pool is ``direct`` (our own address), a ``list`` of fixed proxies, or a ``gateway`` that is told country and session in
its provider's own way (dialect.py). Secrets arrive here already read (sources.py); they stay out of every repr.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scraper.errors import ConfigError
from scraper.proxies.dialect import IDLE_S, MINUTES, Provider, generic
from scraper.proxies.endpoints import HIDDEN, Endpoint, EndpointList, parse_endpoint
from scraper.proxies.grammar import COUNTRIES, MISWRITTEN, TARGETS, Wish, fields_of
from scraper.proxies.provider_file import check_keys, check_one

KINDS = ("direct", "list", "gateway")
_COMMON = {"kind", "provider", "usd_per_gb", "countries", "intercepts", "threads", "on_request"}
_GATEWAY = {"gateway", "password", "password_file", "session_minutes", "session_ports"}
_PARTS = {
    "country_part",
    "session_part",
}  # only where the provider is nobody's: the file of any other tells them


@dataclass(frozen=True, slots=True)
class Pool:
    """``usd_per_gb``: price of 1e9 bytes. ``countries``: ISO codes that can be asked for; empty: none can.

    ``target``: what every exit of the pool is asked for, and for how long. ``session_s``: how long the gateway holds a
    session; ``idle_s``: how long one may rest and keep its exit. ``threads``: requests at once that were bought; 0: no
    limit is known. ``intercepts``: the pool opens TLS with an authority of its own, so certificates are not verified
    there. ``on_request``: only for requests that name the pool.
    """

    name: str
    kind: str
    usd_per_gb: float = 0.0
    countries: tuple[str, ...] = ()
    endpoints: Sequence[Endpoint] = field(default=(), repr=False, hash=False)
    provider: Provider = field(default_factory=Provider, repr=False, hash=False)
    target: Wish = field(default_factory=Wish)
    session_s: float = MINUTES * 60.0
    idle_s: float = IDLE_S
    threads: int = 0
    intercepts: bool = False
    on_request: bool = False


def wish_for(pool: Pool, country: str, session: str) -> Wish:
    """Return all that a gateway is asked for with ``country`` ('' for any) and ``session``."""
    return replace(pool.target, country=country or pool.target.country, session=session)


def endpoint_for(pool: Pool, country: str, session: str, index: int = 0) -> Endpoint | None:
    """Return where to dial for ``country`` ('' for any) and ``session``; None for a direct pool.

    ``index`` picks the proxy of a list pool.
    """
    if pool.kind == "direct":
        return None
    base = pool.endpoints[index % len(pool.endpoints)]
    return base if pool.kind == "list" else pool.provider.build(base, wish_for(pool, country, session))


def headers_for(pool: Pool, country: str, session: str) -> dict[str, str]:
    """Return the headers that only the gateway is to get, with every CONNECT."""
    return pool.provider.connect_headers(wish_for(pool, country, session)) if pool.kind == "gateway" else {}


def parse(
    table: Mapping[str, Any], where: str, providers: Mapping[str, Provider] | None = None
) -> tuple[Pool, ...]:
    """Check the parsed TOML ``table`` of file ``where`` and return its pools, cheapest first.

    List pools arrive with ``proxies``, any iterable of lines, filled in, gateway pools with ``password``. Raises ConfigError.
    """
    if unknown := set(table) - {"pools"}:
        raise ConfigError(where, min(unknown), "is not known here; pools stand under [pools.<name>]")
    pools = table.get("pools")
    if not isinstance(pools, dict) or not pools:
        raise ConfigError(
            where, pools, 'has no pool; [pools.direct] with kind = "direct" uses no proxy at all'
        )
    known = {"list": Provider("list"), "generic": Provider(), **(providers or {})}
    parsed = [_pool(f"{where}: pools.{name}", name, entry, known) for name, entry in pools.items()]
    return tuple(sorted(parsed, key=lambda pool: pool.usd_per_gb))


def _pool(where: str, name: str, entry: Any, providers: Mapping[str, Provider]) -> Pool:
    if not isinstance(entry, dict):
        raise ConfigError(where, None, "must be a table")
    named = entry.get("provider", "")
    kind = entry.get("kind", "" if not named else "list" if named == "list" else "gateway")
    check_one(kind, KINDS, f"{where}.kind")
    if kind == "direct":
        check_keys(entry, {"kind", "on_request"}, where, "a direct pool")
        return Pool(name, kind, on_request=_flag(where, entry, "on_request"))
    named = named or ("list" if kind == "list" else "generic")
    check_one(named, sorted(providers), f"{where}.provider", " or a file of yours, like ./my-provider.toml")
    if (named, kind) in (("list", "gateway"), ("generic", "list")):
        raise ConfigError(f"{where}.kind", kind, f"does not go with provider {named}")
    if kind == "gateway" and "strict" in entry and not providers[named].strict.parts:
        able = ", ".join(name for name, each in sorted(providers.items()) if each.strict.parts) or "none"
        raise ConfigError(
            f"{where}.strict", entry["strict"], f"{named} has no `strict` ({able} has); leave it out"
        )
    return (_list_pool if kind == "list" else _gateway_pool)(where, name, entry, providers[named])


def _list_pool(where: str, name: str, entry: dict[str, Any], provider: Provider) -> Pool:
    check_keys(entry, _COMMON | {"file", "proxies"}, where, "a list pool")
    lines = entry.get("proxies", [])
    if not isinstance(lines, Iterable) or isinstance(lines, str):
        raise ConfigError(f"{where}.proxies", HIDDEN, 'must be a list, like ["http://10.0.0.1:3128"]')
    endpoints = EndpointList.parse(map(str, lines), f"{where}, {entry.get('file', 'proxies')}")
    if not endpoints:
        raise ConfigError(
            where, entry.get("file", "proxies"), "holds no proxy; one scheme://user:password@host:port a line"
        )
    return _bought(where, entry, Pool(name, "list", endpoints=endpoints, provider=provider))


def _gateway_pool(where: str, name: str, entry: dict[str, Any], provider: Provider) -> Pool:
    account = provider.account_keys
    targets = set(provider.targets) - {"country"}
    known = _COMMON | _GATEWAY | account | targets | ({"strict"} if provider.strict.parts else set())
    check_keys(entry, known | (_PARTS if provider.name == "generic" else set()), where, "this pool")
    if provider.name == "generic":
        provider = _with_parts(where, entry, provider)
    strict = _flag(where, entry, "strict")
    if strict and "session_ports" in entry:
        raise ConfigError(
            f"{where}.strict", strict, "needs sessions in the user name; leave out session_ports"
        )
    if strict:
        provider = provider.strictly()
    if "session_ports" in entry:
        provider = _by_port(where, entry["session_ports"], provider)
    if "session" not in provider.fields:
        raise ConfigError(
            where, provider.name, "has no session; name a port for each: session_ports = [first, last]"
        )
    asked = entry.get("session_minutes")
    if asked is not None and (not isinstance(asked, int) or isinstance(asked, bool) or asked < 1):
        raise ConfigError(f"{where}.session_minutes", asked, "must be whole minutes, 1 or more")
    beside = " with strict = true" if strict else " with session_ports" if provider.by_port else ""
    minutes = provider.minutes(asked, f"{where}.session_minutes", beside)
    pool = _bought(where, entry, Pool(name, "gateway", provider=provider))
    if pool.countries and "country" not in provider.fields:
        raise ConfigError(
            f"{where}.countries", list(pool.countries), f"{provider.name} cannot be asked for a country"
        )
    told = provider.fields & {"minutes", "seconds"}
    return replace(
        pool,
        endpoints=(_gateway(where, entry, provider),),
        target=replace(_target(where, entry, pool), minutes=minutes if told else 0),
        session_s=minutes * 60.0,
        idle_s=provider.sessions.idle_s,
    )


def _bought(where: str, entry: dict[str, Any], pool: Pool) -> Pool:
    """The pool with what every kind of pool may be told: price, countries, threads, and when it is used."""
    tiers = pool.provider.price.tiers
    price = entry.get("usd_per_gb", tiers[0][1] if tiers else None)
    if price is None:
        seller = {"list": "a list of proxies", "generic": "a gateway of any provider"}.get(
            pool.provider.name, pool.provider.name
        )
        raise ConfigError(
            f"{where}.usd_per_gb",
            None,
            f"no price is known for {seller}: write what you pay, as usd_per_gb = 4.0 (USD for 1e9 bytes)",
        )
    if not isinstance(price, int | float) or isinstance(price, bool) or not 0 <= price < float("inf"):
        raise ConfigError(f"{where}.usd_per_gb", price, "must be a price in USD for 1e9 bytes, 0 or more")
    threads = entry.get("threads", 0)
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 0:
        raise ConfigError(
            f"{where}.threads", threads, "must be how many requests at once were bought; 0: no limit known"
        )
    return replace(
        pool,
        usd_per_gb=float(price),
        countries=_countries(f"{where}.countries", entry.get("countries", []), pool.provider),
        threads=threads,
        intercepts=_flag(where, entry, "intercepts"),
        on_request=_flag(where, entry, "on_request"),
    )


def _countries(where: str, given: Any, provider: Provider) -> tuple[str, ...]:
    """The codes in plain spelling, each once: of ISO 3166-1, or of the provider's file (an alias of values.country)."""
    if not isinstance(given, list) or any(not _is_country(code) for code in given):
        raise ConfigError(where, given, 'must be a list of two-letter codes, like ["us", "de"]')
    value = provider.value("country")
    codes = tuple(dict.fromkeys(value.plain(code) for code in given))
    for code in codes:
        if code in COUNTRIES or any(code == ours for ours, _ in value.alias):
            continue
        right = MISWRITTEN.get(code)
        raise ConfigError(
            where,
            None,
            f"{code!r} is written {right}" if right else f"{code!r} is no country code (ISO 3166-1)",
        )
    return codes


def _gateway(where: str, entry: dict[str, Any], provider: Provider) -> Endpoint:
    """The address to dial with the account's own user and password, before anything is asked for."""
    address = parse_endpoint(str(entry.get("gateway", provider.gateway)), f"{where}.gateway")
    if address.user or address.password:
        raise ConfigError(f"{where}.gateway", HIDDEN, "holds credentials; put them in username and password")
    if address.scheme not in provider.schemes:
        raise ConfigError(
            f"{where}.gateway",
            f"{address.scheme}://...",
            f"{provider.name} does not take {address.scheme}; it takes {', '.join(provider.schemes)}",
        )
    account = {key: str(entry.get(key, "")) for key in provider.account_keys}
    password = str(entry.get("password", ""))
    for key, text in sorted({**account, "password": password}.items()):
        if not text and provider.name != "generic":
            wrong = "is empty" if key in entry else "is missing"
            raise ConfigError(f"{where}.{key}", None, f"{wrong}; {_way_to(key, provider)}")
    return replace(address, user=provider.user(account), password=password)


def _way_to(key: str, provider: Provider) -> str:
    if key != "password":
        return f"the user for {provider.name} is {provider.account}"
    variable = re.sub(r"\W+", "_", provider.name.removesuffix(".toml")).strip("_").upper()
    return f'write password = "${{{variable}_PASSWORD}}" or password_file = "..."'


def _target(where: str, entry: dict[str, Any], pool: Pool) -> Wish:
    """What all exits of the pool are asked for, checked with every country that can be asked for beside it."""
    fixed: dict[str, Any] = {name: str(entry[name]) for name in TARGETS if name in entry}
    if fixed and len(pool.countries) > 1:
        raise ConfigError(
            f"{where}.countries", list(pool.countries), f"one country only, beside {', '.join(sorted(fixed))}"
        )
    target = Wish(**fixed, country=pool.countries[0] if fixed and pool.countries else "")
    for country in pool.countries:
        pool.provider.checked(Wish(country=country), f"{where}.countries")
    return pool.provider.checked(target, where)


def _by_port(where: str, ports: Any, provider: Provider) -> Provider:
    lowest, highest = provider.sessions.ports
    if provider.name == "generic":
        lowest, highest = 1, 65535
    if not lowest:
        raise ConfigError(
            f"{where}.session_ports", ports, f"{provider.name} is not known to give ports for sessions"
        )
    whole = isinstance(ports, list) and len(ports) == 2 and all(type(port) is int for port in ports)
    if not whole or not lowest <= ports[0] <= ports[1] <= (highest or 65535):
        raise ConfigError(
            f"{where}.session_ports",
            ports,
            f"must be [first, last] between {lowest} and {highest or 65535} for {provider.name}",
        )
    return provider.over_ports(ports[0], ports[1])


def _with_parts(where: str, entry: dict[str, Any], provider: Provider) -> Provider:
    country, session = entry.get("country_part", ""), entry.get("session_part", "")
    _check_part(f"{where}.country_part", country, {"country"}, "{country}" if entry.get("countries") else "")
    needed = "" if "session_ports" in entry else "{session}"
    _check_part(f"{where}.session_part", session, {"session", "minutes", "seconds"}, needed)
    return generic(country, session, provider)


def _check_part(where: str, part: Any, known: set[str], needed: str) -> None:
    if not isinstance(part, str) or needed not in part:
        raise ConfigError(where, part, f'must hold {needed}, as in "-{needed.strip("{}")}-{needed}"')
    try:
        wrong = not fields_of(part) <= known
    except ValueError:
        wrong = True
    if wrong:
        names = ", ".join("{" + name + "}" for name in sorted(known))
        raise ConfigError(where, part, f"may hold {names} and plain text")


def _flag(where: str, entry: dict[str, Any], key: str) -> bool:
    value = entry.get(key, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{where}.{key}", value, "must be true or false")
    return value


def _is_country(code: Any) -> bool:
    return isinstance(code, str) and len(code) == 2 and code.isascii() and code.isalpha()
