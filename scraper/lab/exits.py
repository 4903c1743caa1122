"""Exits: the addresses from which requests reach a site, and which of them a gateway gives to whom.

A rule file: time is an argument, chance comes from the seed. What dies or changes does so after a number of requests
of its own, not at a time, so that a run can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

COUNTRIES = ("us", "de", "fr", "gb")
DATACENTRE_COUNTRIES = (
    "us",
    "us",
    "gb",
    "fr",
)  # where servers are cheap; never de, the country that geo wants
LOW_QUALITY = 0.25  # residential exits below this are known to sites as abused
DEFAULT_MINUTES = 10  # how long a session keeps its exit when the username does not say
_FATED_SHARE = 0.2  # of a gateway's exits: they die (where the pool says so) or their sessions move
_FATE_AFTER = (8, 40)  # requests
_MOST_SESSIONS = 50_000  # then those that ended are forgotten, so that a soak test does not fill the memory


@dataclass(eq=False)
class Exit:
    """One exit. ``quality``: 0 (abused) to 1; ``lives``/``stays``: requests until it dies, or its sessions move."""

    name: str
    address: str
    kind: str
    country: str
    quality: float
    lives: int | None = None
    stays: int | None = None
    served: int = 0
    pool: str = "direct"

    @property
    def alive(self) -> bool:
        """Whether it still carries requests."""
        return self.lives is None or self.served < self.lives

    def trusted(self, limit: float = LOW_QUALITY) -> bool:
        """What a site that buys reputation data thinks of it; ``limit``: the least quality it takes from a home."""
        return self.kind == "mobile" or (self.kind == "residential" and self.quality >= limit)


@dataclass(frozen=True)
class PoolSpec:
    """One pool of a lab: what it costs and which exits it has.

    ``exits``: how many, in all on a datacentre list, in each country behind a gateway. ``block``: second number of their
    addresses, for a gateway that of its first country. ``dying``: share of them that die early. ``best``: the quality
    of the best; the others lie between that and ``worst``.
    """

    name: str
    kind: str
    usd_per_gb: float
    exits: int
    block: int
    worst: float = 0.0
    best: float = 1.0
    dying: float = 0.0
    countries: tuple[str, ...] = COUNTRIES

    @property
    def gateway(self) -> bool:
        """Whether it is one address that can be asked for sessions and countries, not a list."""
        return self.kind != "datacentre"

    def make(self, seed: int) -> list[Exit]:
        """Its exits; the same for the same seed."""
        return _gateway_exits(self, seed) if self.gateway else _listed_exits(self, seed)


def direct_exit() -> Exit:
    """Where a connection comes from that went through no proxy of the lab."""
    return Exit("direct", "127.0.0.1", "direct", "us", 0.1)


def datacentre(count: int, usd_per_gb: float, countries: tuple[str, ...] = DATACENTRE_COUNTRIES) -> PoolSpec:
    """A list of ``count`` fixed proxies, addresses 127.0.7.1 and on."""
    return PoolSpec("datacentre", "datacentre", usd_per_gb, count, 0, best=0.4, countries=countries)


def residential(per_country: int, usd_per_gb: float, **other: Any) -> PoolSpec:
    """A gateway to homes: of any quality, and some of them leave."""
    given = {"name": "residential", "block": 20, "dying": 0.1, **other}
    return PoolSpec(kind="residential", usd_per_gb=usd_per_gb, exits=per_country, **given)


def mobile(per_country: int, usd_per_gb: float) -> PoolSpec:
    """A gateway to phones: few, trusted, lasting."""
    return PoolSpec("mobile", "mobile", usd_per_gb, per_country, 60, worst=0.8)


def _listed_exits(spec: PoolSpec, seed: int) -> list[Exit]:
    rng = Random(f"{seed}:exits:{spec.name}")
    return [
        Exit(
            f"{spec.name}-{n}",
            f"127.{spec.block}.7.{n}",
            spec.kind,
            spec.countries[(n - 1) % len(spec.countries)],
            round(rng.uniform(spec.worst, spec.best), 3),
            pool=spec.name,
        )
        for n in range(1, spec.exits + 1)
    ]


def _gateway_exits(spec: PoolSpec, seed: int) -> list[Exit]:
    rng = Random(f"{seed}:exits:{spec.name}")
    exits = []
    for place, country in enumerate(spec.countries):
        for n in range(spec.exits):
            quality = round(rng.uniform(spec.worst, spec.best), 3)
            address = f"127.{spec.block + place}.{n // 250}.{n % 250 + 1}"
            exit_ = Exit(
                f"{spec.name}-{country}-{n + 1}", address, spec.kind, country, quality, pool=spec.name
            )
            fate, after = rng.random(), rng.randint(*_FATE_AFTER)
            if fate < spec.dying:
                exit_.lives = after
            elif fate < _FATED_SHARE:
                exit_.stays = after
            exits.append(exit_)
    return exits


class NoExit(Exception):
    """No exit is left for what was asked."""


class SessionLost(Exception):
    """The exit of this session died; the client should take a new session."""


@dataclass
class _Session:
    exit: Exit
    ends: float
    last_used: float
    served_before: int
    starts: int  # how many exits the session has had
    told: bool = False  # that its exit died


class ExitChooser:
    """Which exit of a gateway carries a request. ``seed`` names the lab's seed and the pool."""

    def __init__(self, exits: Iterable[Exit], seed: str, idle_seconds: float) -> None:
        self.seed, self.idle_seconds = seed, idle_seconds
        self._by_country: dict[str, list[Exit]] = {country: [] for country in COUNTRIES}
        for exit_ in exits:
            self._by_country[exit_.country].append(exit_)
        self._rng = Random(f"{self.seed}:choice")
        self._sessions: dict[tuple[str, str], _Session] = {}

    def fresh(self, country: str) -> Exit:
        """Any living exit of ``country`` ("": of any country). Raises NoExit."""
        return self._any(country, self._rng)

    def _any(self, country: str, rng: Random) -> Exit:
        places = [country] if country else list(COUNTRIES)
        choices = [exit_ for place in places for exit_ in self._by_country[place] if exit_.alive]
        if not choices:
            raise NoExit(country)
        return rng.choice(choices)

    def sticky(self, session: str, country: str, minutes: int, now: float) -> Exit:
        """The exit of a session. The whole parameter set is the key, as at real gateways.

        Expired, idle or changed: silently another exit. Dead: raises SessionLost once. None left: raises NoExit.
        """
        key = (session, country)
        held = self._sessions.get(key)
        if held is not None and not held.exit.alive and not held.told:
            held.told = True
            raise SessionLost(session)
        if held is not None and self._holds(held, now):
            held.last_used = now
            return held.exit
        starts = 1 if held is None else held.starts + 1
        # By name and count, not by order: a run with the same session names meets the same exits.
        exit_ = self._any(country, Random(f"{self.seed}:{session}:{country}:{starts}"))
        if len(self._sessions) >= _MOST_SESSIONS:
            self._sessions = {key: held for key, held in self._sessions.items() if self._holds(held, now)}
        self._sessions[key] = _Session(exit_, now + minutes * 60, now, exit_.served, starts)
        return exit_

    def _holds(self, session: _Session, now: float) -> bool:
        idle = now - session.last_used >= self.idle_seconds
        return session.exit.alive and now < session.ends and not idle and not _changed(session)


def _changed(session: _Session) -> bool:
    stays = session.exit.stays
    return stays is not None and session.exit.served - session.served_before >= stays
