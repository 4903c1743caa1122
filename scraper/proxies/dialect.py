"""RULE. A provider as its file under providers/ tells it: where to dial, how to ask, what refusals mean, the price.

``build`` and ``read`` are each other's inverse. Adding a provider is adding a file; docs/providers.md tells how.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from scraper.errors import ConfigError
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.gateway import Refusal
from scraper.proxies.grammar import FIELDS, TARGETS, TIMES, Grammar, Value, Wish, fields_of, usual

PLACES = ("user", "password")
SCHEMES = ("http", "https", "socks5", "socks5h")
MINUTES = 10  # a session's life where neither file nor pool tells: what Oxylabs and Thordata give unasked
IDLE_S = 60.0  # s without a request after which an exit may change: the shortest rule that is known (Oxylabs)


@dataclass(frozen=True, slots=True)
class Session:
    """Ids: ``length`` characters of ``alphabet``. Times in minutes; ``longest`` 0: no bound is known.

    ``idle_s``: unused for so long, a session may change its exit. ``key``: the fields that make another exit when
    they change. ``ports`` (first, last): a port of the gateway can stand for a session, held for ``port_minutes``.
    """

    alphabet: str = "abcdefghijklmnopqrstuvwxyz0123456789"
    length: int = 8  # what the strictest provider wants; 2.8e12 of them
    minutes: int = MINUTES
    shortest: int = 1
    longest: int = 0
    strict_longest: int = 0
    idle_s: float = IDLE_S
    key: tuple[str, ...] = ("session",)
    ports: tuple[int, int] = (0, 0)
    port_minutes: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """``tiers``: (from GB, USD for 1e9 bytes), dearest first; ``per``: what the GB are counted in."""

    tiers: tuple[tuple[float, float], ...] = ()
    per: str = ""
    date: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """``account``: the user name with the keys of proxies.toml in braces. ``place``: where ``grammar`` is appended.

    ``strict``: the grammar with which the provider fails rather than change the exit; empty where it cannot.
    ``host`` replaces the gateway's host, ``headers`` go to the proxy with every CONNECT. ``by_port``: sessions are ports.
    """

    name: str = "generic"
    title: str = ""
    source: str = ""
    date: str = ""
    unknown: tuple[str, ...] = ()
    gateway: str = ""
    schemes: tuple[str, ...] = SCHEMES
    account: str = "{username}"
    place: str = "user"
    grammar: Grammar = field(default_factory=Grammar)
    strict: Grammar = field(default_factory=Grammar)
    host: Grammar = field(default_factory=Grammar)
    headers: tuple[tuple[str, Grammar], ...] = ()
    values: tuple[tuple[str, Value], ...] = ()
    sessions: Session = field(default_factory=Session)
    by_port: bool = False
    refusals: tuple[Refusal, ...] = ()
    details: tuple[str, ...] = ()
    exit_headers: tuple[str, ...] = ()  # in which the answer to CONNECT describes the exit
    check_url: str = ""  # a page that tells the exit's address and country
    price: Price = field(default_factory=Price)

    @property
    def fields(self) -> frozenset[str]:
        """What this provider can be asked for, the session's fields with it."""
        told = self.grammar.fields | self.host.fields
        told = told.union(*(grammar.fields for _, grammar in self.headers))
        return told | {"session"} if self.by_port else told

    @property
    def targets(self) -> tuple[str, ...]:
        """The fields that say where an exit is, in the order of ``grammar.TARGETS``."""
        return tuple(name for name in TARGETS if name in self.fields)

    @property
    def account_keys(self) -> frozenset[str]:
        """The keys of proxies.toml from which the user name is made."""
        return fields_of(self.account)

    def value(self, name: str) -> Value:
        """How the field is spelt here."""
        return dict(self.values).get(name) or usual(name)

    def user(self, given: Mapping[str, str]) -> str:
        """Return the account's user name. A name that already holds what stands before the braces keeps it once."""
        before = self.account.partition("{")[0]
        return self.account.format_map({key: text.removeprefix(before) for key, text in given.items()})

    def session(self, chance: random.Random) -> str:
        """Return a new session id; one that looks like a number never begins with 0."""
        if self.by_port:
            return str(chance.randint(*self.sessions.ports))
        alphabet = self.sessions.alphabet
        first = chance.choice(alphabet.replace("0", "") or alphabet)
        return first + "".join(chance.choices(alphabet, k=self.sessions.length - 1))

    def build(self, base: Endpoint, wish: Wish) -> Endpoint:
        """Return where to dial, and as whom, for ``wish``; ``base`` is the gateway with the account's credentials."""
        values = self._spell(wish)
        text = self.grammar.write(values)
        return Endpoint(
            base.scheme,
            self.host.write(values) or base.host,
            int(wish.session) if self.by_port and wish.session else base.port,
            base.user + (text if self.place == "user" else ""),
            base.password + (text if self.place == "password" else ""),
        )

    def connect_headers(self, wish: Wish) -> dict[str, str]:
        """Return the headers that the proxy, and no site, is to get with CONNECT."""
        values = self._spell(wish)
        return {name: text for name, grammar in self.headers if (text := grammar.write(values))}

    def read(self, endpoint: Endpoint, base: Endpoint, headers: Mapping[str, str] | None = None) -> Wish:
        """Return the wish from which ``build`` made ``endpoint``. Raises ValueError, without any of it, otherwise."""
        whole, own = (
            (endpoint.user, base.user) if self.place == "user" else (endpoint.password, base.password)
        )
        readings = [(self.grammar, whole.removeprefix(own))]
        if not whole.startswith(own):
            raise ValueError("not of this account")
        if endpoint.host != base.host:
            readings.append((self.host, endpoint.host))
        readings += [(grammar, (headers or {}).get(name, "")) for name, grammar in self.headers]
        patterns = {name: self._pattern(name) for name in FIELDS}
        plain: dict[str, str] = {}
        for grammar, text in readings:
            found = grammar.read(text, patterns)
            if found is None:
                raise ValueError("not written as this provider wants it")
            plain.update({name: self.value(name).plain(text) for name, text in found.items()})
        seconds, minutes = int(plain.pop("seconds", 0)), int(plain.pop("minutes", 0))
        if self.by_port and self.sessions.ports[0] <= endpoint.port <= self.sessions.ports[1]:
            plain["session"] = str(endpoint.port)
        return Wish(**plain, minutes=minutes or seconds // 60)

    def same_exit(self, one: Wish, other: Wish) -> bool:
        """Whether two wishes of one account share an exit as long as the session lasts."""
        return bool(one.session) and all(
            getattr(one, name) == getattr(other, name) for name in self.sessions.key
        )

    def checked(self, wish: Wish, where: str) -> Wish:
        """Return the wish in plain spelling, if this provider can be asked for it. Raises ConfigError."""
        targets = {name: getattr(wish, name) for name in TARGETS if getattr(wish, name)}
        for name, text in targets.items():
            if name not in self.targets:
                known = ", ".join(self.targets) or "nothing"
                raise ConfigError(
                    f"{where}.{name}", text, f"{self.name} cannot be asked for it; it can for: {known}"
                )
            value = self.value(name)
            targets[name] = value.plain(text)
            if not value.fits(targets[name]):
                raise ConfigError(f"{where}.{name}", text, f"{self.name} takes {value.allowed}")
            for need in value.needs:
                if not getattr(wish, need):
                    how = "one code in countries" if need == "country" else need
                    raise ConfigError(
                        f"{where}.{name}", text, f"{self.name} takes it only together with {how}"
                    )
        plain = replace(wish, **targets)
        base = Endpoint("http", "gate.example", 0)
        if self.read(self.build(base, plain), base, self.connect_headers(plain)) != plain:
            raise ConfigError(where, targets, f"{self.name} would read these together as something else")
        return plain

    def minutes(self, asked: int | None, where: str, beside: str = "") -> int:
        """Return how long sessions are to last: ``asked``, or what is usual here.

        Raises ConfigError out of bounds; ``beside``: what else the pool says that may have set them.
        """
        rules = self.sessions
        if asked is None:
            return min(rules.minutes, rules.longest or rules.minutes)
        if asked < rules.shortest or (rules.longest and asked > rules.longest):
            upto = f"{rules.shortest} to {rules.longest}" if rules.longest else f"{rules.shortest} or more"
            raise ConfigError(where, asked, f"must be whole minutes, {upto}, for {self.name}{beside}")
        return asked

    def strictly(self) -> Provider:
        """The same provider, asked to fail rather than to change the exit of a session."""
        return replace(
            self, grammar=self.strict, sessions=replace(self.sessions, longest=self.sessions.strict_longest)
        )

    def over_ports(self, first: int, last: int) -> Provider:
        """The same provider with a port of the gateway for every session, and none in the user name."""
        return replace(
            self,
            grammar=self.grammar.without(frozenset(TIMES)),
            sessions=replace(self.sessions, ports=(first, last), longest=self.sessions.port_minutes),
            by_port=True,
        )

    def _spell(self, wish: Wish) -> dict[str, str]:
        plain = {name: getattr(wish, name) for name in TARGETS}
        if not self.by_port:
            plain["session"] = wish.session
        if wish.minutes and wish.session:
            plain |= {"minutes": str(wish.minutes), "seconds": str(wish.minutes * 60)}
        return {name: self.value(name).write(text) for name, text in plain.items() if text}

    def _pattern(self, name: str) -> str:
        if name == "session":
            return f"[{re.escape(self.sessions.alphabet)}]+"
        value = self.value(name)
        return f"(?i:{value.pattern})" if value.upper else value.pattern


def generic(country_part: str, session_part: str, like: Provider | None = None) -> Provider:
    """Return ``like`` (or one that is nobody's) with the two texts that a pool gives for its user name."""
    parts = tuple((text,) for text in (country_part, session_part) if text)
    return replace(like or Provider(), grammar=Grammar(parts))
