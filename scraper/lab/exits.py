"""Exits: the addresses from which requests reach a site, and which of them a gateway gives to whom.

A rule file: time is an argument, chance comes from the seed. What dies or changes does so after a number of requests
of its own, not at a time, so that a run can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

COUNTRIES = ("us", "de", "fr", "gb")
DATACENTRE_COUNTRIES = (
    "us",
    "us",
    "gb",
    "fr",
)  # where servers are cheap; never de, the country that geo wants
LOW_QUALITY = 0.25  # residential exits below this are known to sites as abused
DEFAULT_MINUTES = 10  # how long a session keeps its exit when the username does not say
_DYING_SHARE, _CHANGING_SHARE = 0.1, 0.1  # of residential exits; mobile ones only change
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

    @property
    def alive(self) -> bool:
        """Whether it still carries requests."""
        return self.lives is None or self.served < self.lives

    @property
    def pool(self) -> str:
        """Name of the pool that it belongs to: one pool for each kind."""
        return self.kind

    @property
    def trusted(self) -> bool:
        """What a site that buys reputation data thinks of it."""
        return self.kind == "mobile" or (self.kind == "residential" and self.quality >= LOW_QUALITY)


def direct_exit() -> Exit:
    """Where a connection comes from that went through no proxy of the lab."""
    return Exit("direct", "127.0.0.1", "direct", "us", 0.1)


def datacentre_exits(seed: int, count: int) -> list[Exit]:
    """The exits of the datacentre list, addresses 127.0.7.1 and on."""
    rng = Random(f"{seed}:exits:datacentre")
    return [
        Exit(
            f"datacentre-{n}",
            f"127.0.7.{n}",
            "datacentre",
            DATACENTRE_COUNTRIES[(n - 1) % len(DATACENTRE_COUNTRIES)],
            round(rng.uniform(0.0, 0.4), 3),
        )
        for n in range(1, count + 1)
    ]


def gateway_exits(kind: str, seed: int, per_country: int) -> list[Exit]:
    """The exits behind the residential or the mobile gateway, ``per_country`` in each country."""
    rng = Random(f"{seed}:exits:{kind}")
    first = 20 if kind == "residential" else 60
    exits = []
    for place, country in enumerate(COUNTRIES):
        for n in range(per_country):
            quality = round(rng.random() if kind == "residential" else rng.uniform(0.8, 1.0), 3)
            address = f"127.{first + place}.{n // 250}.{n % 250 + 1}"
            exit_ = Exit(f"{kind}-{country}-{n + 1}", address, kind, country, quality)
            fate, after = rng.random(), rng.randint(*_FATE_AFTER)
            if kind == "residential" and fate < _DYING_SHARE:
                exit_.lives = after
            elif fate < _DYING_SHARE + _CHANGING_SHARE:
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
