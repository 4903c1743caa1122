"""RULE. Which pool, and from which country, a site is asked through: the cheapest that still gets pages.

A site starts at the cheapest pool. Blocks with no good page between move it to the next dearer one, and it stays
there for the run. A geo wall moves it to the next country of those the spider allows; where it names none, it is a
block like any other. Faults and 404s move nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scraper.proxies.pools import Pool
from scraper.verdicts import BLOCKED, GOOD, Verdict


@dataclass(frozen=True, slots=True)
class Arm:
    """Where a request goes out: a pool, and a country ('' when it does not matter)."""

    pool: Pool
    country: str = ""


@dataclass(slots=True)
class _Site:
    rung: int = 0  # index into the pools, cheapest first
    country: int = -1  # index into the spider's countries; -1: any
    blocks: int = 0  # in a row, at this rung and country
    forbidden: set[str] = field(default_factory=set)  # pools whose gateway refuses this site


@dataclass(slots=True)
class _Circuit:
    failures: int = 0  # in a row
    opens: int = 0
    final: bool = False  # opened by an answer that waiting does not change: password, account
    closed_at_s: float = 0.0  # the pool is left alone until then


@dataclass(slots=True)
class Ladder:
    """``pools``: cheapest first. ``patience``: blocks at one rung before the next. ``countries``: the spider's."""

    pools: Sequence[Pool]
    patience: int
    countries: Sequence[str] = ()
    _sites: dict[str, _Site] = field(default_factory=dict)
    _circuits: dict[str, _Circuit] = field(default_factory=dict)

    FAILURES_TO_OPEN = 5  # transport failures in a row with no answer of any kind between
    OPEN_S = 15.0  # seconds for the first opening, doubled each time
    OPEN_MAX_S = 300.0

    def arm(self, site: str, now_s: float, *, pool: str = "", country: str = "") -> Arm | None:
        """Return the arm for a request to ``site``; ``pool`` and ``country`` are what the request asks for.

        None when no pool can serve it now: its circuits are open, or none has that country.
        """
        state = self._sites.setdefault(site, _Site())
        wanted = country or (self.countries[state.country] if state.country >= 0 else "")
        candidates = self.pools if pool else [*self.pools[state.rung :], *reversed(self.pools[: state.rung])]
        for candidate in candidates:
            if pool and candidate.name != pool:
                continue
            if candidate.name in state.forbidden or (wanted and wanted not in candidate.countries):
                continue
            if self._circuits.setdefault(candidate.name, _Circuit()).closed_at_s <= now_s:
                return Arm(candidate, wanted)
        return None

    def report(self, site: str, arm: Arm, verdict: Verdict) -> None:
        """Learn from a page of ``site`` that came through ``arm``. Late news about an arm already left is ignored."""
        state = self._sites.setdefault(site, _Site())
        if verdict.outcome == BLOCKED and verdict.kind == "geo" and self.countries:
            self._next_country(state, arm)
        elif self.pools[state.rung].name != arm.pool.name:
            return
        elif verdict.outcome == GOOD:
            state.blocks = 0
        elif verdict.outcome == BLOCKED:
            self._block(state)

    def exhausted(self, site: str, pool: Pool) -> None:
        """Every exit of ``pool`` is blocked at ``site``: the same as enough blocks."""
        state = self._sites.setdefault(site, _Site())
        if self.pools[state.rung].name == pool.name:
            self._climb(state)

    def answered(self, pool: Pool) -> None:
        """Something came back through ``pool``, whatever it was: the pool itself works."""
        circuit = self._circuits.setdefault(pool.name, _Circuit())
        circuit.failures = 0
        circuit.opens = 0
        circuit.final = False

    def failed(self, pool: Pool, now_s: float, *, final: bool = False) -> bool:
        """A try through ``pool`` had no answer; ``final``: it never will have (password, account). True if it opens."""
        circuit = self._circuits.setdefault(pool.name, _Circuit())
        circuit.failures += 1
        if circuit.closed_at_s > now_s or (circuit.failures < self.FAILURES_TO_OPEN and not final):
            return False
        circuit.final = final
        wait_s = self.OPEN_MAX_S if final else min(self.OPEN_S * 2**circuit.opens, self.OPEN_MAX_S)
        circuit.closed_at_s = now_s + wait_s
        circuit.opens += 1
        return True

    def hopeless(self) -> bool:
        """Whether no pool will ever answer: every one of them refuses our password or has no money left."""
        return all(self._circuits.get(pool.name, _Circuit()).final for pool in self.pools)

    def forbid(self, site: str, pool: Pool) -> None:
        """The gateway of ``pool`` refuses this site; it may serve every other."""
        self._sites.setdefault(site, _Site()).forbidden.add(pool.name)

    def _block(self, state: _Site) -> None:
        state.blocks += 1
        if state.blocks >= self.patience:
            self._climb(state)

    def _climb(self, state: _Site) -> None:
        if state.rung + 1 < len(self.pools):
            state.rung += 1
        state.blocks = 0

    def _next_country(self, state: _Site, arm: Arm) -> None:
        """The site does not serve where ``arm`` came from: go on to the next country, at the cheapest pool that has it."""
        current = self.countries[state.country] if state.country >= 0 else ""
        if arm.country != current:
            return
        state.country = (state.country + 1) % len(self.countries)
        state.blocks = 0
        wanted = self.countries[state.country]
        state.rung = next((n for n, pool in enumerate(self.pools) if wanted in pool.countries), state.rung)
