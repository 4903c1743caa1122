"""RULE. Which pool, and from which country, a site is asked through: the cheapest that still gets pages.

A site starts at the cheapest pool. Blocks in a row with no good page between spend a pool for that site, for the rest of the
run, and the next dearer one is asked. A geo wall moves the site to the next country of those the spider allows; where it
names none, it is a block like any other. Faults and 404s spend nothing. A pool that does not answer rests for all sites.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
    country: int = -1  # index into the spider's countries; -1: any
    blocks: dict[str, int] = field(default_factory=dict)  # in a row, by pool
    spent: set[str] = field(default_factory=set)  # pools that do not get past the site's blocks
    forbidden: set[str] = field(default_factory=set)  # pools whose gateway refuses the site


@dataclass(slots=True)
class _Circuit:
    failures: int = 0  # in a row
    opens: int = 0
    final: bool = False  # opened by an answer that waiting does not change: password, account
    rests_until_s: float = 0.0


@dataclass(slots=True)
class Ladder:
    """``pools``: cheapest first. ``patience``: blocks in a row that spend a pool. ``countries``: the spider's."""

    pools: Sequence[Pool]
    patience: int
    countries: Sequence[str] = ()
    _sites: dict[str, _Site] = field(default_factory=dict)
    _circuits: dict[str, _Circuit] = field(default_factory=dict)

    FAILURES_TO_OPEN = 5  # of the pool itself in a row, with no answer of any kind between
    OPEN_S = 15.0  # seconds for the first opening, doubled each time
    OPEN_MAX_S = 300.0

    def arm(
        self, site: str, now_s: float, *, pool: str = "", country: str = "", skip: Collection[str] = ()
    ) -> Arm | None:
        """Return the arm for a request to ``site``; ``pool`` and ``country`` are what the request asks for.

        ``skip``: pools not to take this time. Where every pool is spent, the dearest is asked all the same. None when no
        pool can serve the site now: it rests, is forbidden or skipped, or lacks the country.
        """
        state = self._sites.setdefault(site, _Site())
        wanted = country or (self.countries[state.country] if state.country >= 0 else "")
        able = [
            candidate
            for candidate in self.pools
            if (not pool or candidate.name == pool)
            and (not wanted or wanted in candidate.countries)
            and candidate.name not in state.forbidden
            and candidate.name not in skip
            and self._circuit(candidate).rests_until_s <= now_s
        ]
        unspent = [candidate for candidate in able if candidate.name not in state.spent]
        chosen = unspent[0] if unspent else able[-1] if able else None
        return None if chosen is None else Arm(chosen, wanted)

    def report(self, site: str, arm: Arm, verdict: Verdict) -> None:
        """Learn from a page of ``site`` that came through ``arm``."""
        state = self._sites.setdefault(site, _Site())
        if verdict.outcome == GOOD:
            state.blocks.pop(arm.pool.name, None)
        elif verdict.outcome == BLOCKED and verdict.kind == "geo" and self.countries:
            self._next_country(state, arm)
        elif verdict.outcome == BLOCKED:
            state.blocks[arm.pool.name] = state.blocks.get(arm.pool.name, 0) + 1
            if state.blocks[arm.pool.name] >= self.patience:
                state.spent.add(arm.pool.name)

    def exhausted(self, site: str, pool: Pool) -> None:
        """Every exit of ``pool`` is blocked at ``site``: the same as enough blocks."""
        self._sites.setdefault(site, _Site()).spent.add(pool.name)

    def forbid(self, site: str, pool: Pool) -> None:
        """The gateway of ``pool`` refuses this site; it may serve every other."""
        self._sites.setdefault(site, _Site()).forbidden.add(pool.name)

    def answered(self, pool: Pool) -> None:
        """Something came back through ``pool``, whatever it was: the pool itself works."""
        circuit = self._circuit(pool)
        circuit.failures = 0
        circuit.opens = 0
        circuit.final = False

    def failed(self, pool: Pool, now_s: float, *, final: bool = False) -> bool:
        """``pool`` itself failed; ``final``: it always will (password, account). True where it is left to rest now."""
        circuit = self._circuit(pool)
        circuit.failures += 1
        if circuit.rests_until_s > now_s or (circuit.failures < self.FAILURES_TO_OPEN and not final):
            return False
        circuit.final = final
        wait_s = self.OPEN_MAX_S if final else min(self.OPEN_S * 2**circuit.opens, self.OPEN_MAX_S)
        circuit.rests_until_s = now_s + wait_s
        circuit.opens += 1
        return True

    def resting_until_s(self, now_s: float, *, pool: str = "") -> float | None:
        """When the first resting pool (of that name, if given) may be asked again; None where one can be asked now."""
        ends = [self._circuit(each).rests_until_s for each in self.pools if not pool or each.name == pool]
        return min(ends) if ends and min(ends) > now_s else None

    def hopeless(self) -> bool:
        """Whether no pool will ever answer: every one of them refuses our password or has no money left."""
        return all(self._circuit(pool).final for pool in self.pools)

    def _circuit(self, pool: Pool) -> _Circuit:
        return self._circuits.setdefault(pool.name, _Circuit())

    def _next_country(self, state: _Site, arm: Arm) -> None:
        """The site does not serve where ``arm`` came from: go on to the next country. Late news are ignored."""
        current = self.countries[state.country] if state.country >= 0 else ""
        if arm.country == current:
            state.country = (state.country + 1) % len(self.countries)
            state.blocks.clear()
