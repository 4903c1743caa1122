"""RULE. Which pools can be asked at all now: those that answer, have room, and do not refuse the site or the country.

A pool that fails by itself several times in a row is left alone for a while, and then tried with one request. One that
refuses our password, or has no traffic left, is left alone at once and for long. Until a pool has answered for the first
time, few requests go through it at once, so that a wrong password costs few. A gateway that says we ask too much at once is
asked with fewer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from scraper.proxies.pools import Pool

FAILURES_TO_OPEN = 5  # of the pool itself in a row, with no answer of any kind between
OPEN_S = 15.0  # seconds for the first opening, doubled each time
OPEN_MAX_S = 300.0
FINAL_OPEN_S = 900.0  # seconds that an account or a password is left alone: somebody must mend it
UNPROVEN_ROOM = (
    2  # requests at once through a pool that has not answered yet: what a wrong password costs at most
)
SHRINK = 0.7  # of the requests at once, when the gateway says that there are too many
GROW_AFTER = 50  # answers after which one more request at once is tried again
EMPTIES_MAX = 3  # answers in a row that a country has no exits, after which nobody waits for them
EMPTY_S = 60.0  # seconds that a country without exits is not asked for at a pool


@dataclass(slots=True)
class Circuit:
    """One pool's state. ``limit`` 0: as many requests at once as the crawl has."""

    failures: int = 0  # in a row
    opens: int = 0
    final: bool = False  # opened by an answer that waiting does not change: password, account
    rests_until_s: float = 0.0
    proven: bool = False  # something came back through it in this run
    limit: int = 0
    answers: int = 0  # since the limit last changed
    empties: dict[str, int] = field(default_factory=dict)  # in a row, by country
    empty_until_s: dict[str, float] = field(default_factory=dict)  # by country
    forbidden: set[str] = field(default_factory=set)  # sites that its gateway refuses

    def room(self, pool: Pool, in_flight: int) -> int:
        """How many more requests may go through it now, where ``in_flight`` do."""
        limits = [limit for limit in (self.limit, pool.threads) if limit]
        if pool.kind != "direct" and (not self.proven or self.opens):
            limits.append(1 if self.opens else UNPROVEN_ROOM)
        return (min(limits) - in_flight) if limits else 1_000_000


class Circuits:
    """The circuits of all pools of a crawl, by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Circuit] = {}

    def of(self, pool: Pool) -> Circuit:
        """The circuit of ``pool``, which keeps it over a reload of the same name."""
        found = self._by_name.get(pool.name)
        if found is None:
            found = self._by_name[pool.name] = Circuit()
        return found

    def forget(self, pool: Pool) -> None:
        """The pool was changed or taken away: what was known of it does not hold."""
        self._by_name[pool.name] = Circuit()

    def may(self, pool: Pool, site: str, country: str, now_s: float) -> bool:
        """Whether ``pool`` can be asked for ``site`` now, if it has room."""
        return self.of(pool).rests_until_s <= now_s and self.serves(pool, site, country, now_s)

    def serves(self, pool: Pool, site: str, country: str, now_s: float) -> bool:
        """Whether ``pool`` could be asked for ``site`` if it did not rest."""
        circuit = self.of(pool)
        return site not in circuit.forbidden and circuit.empty_until_s.get(country, 0.0) <= now_s

    def answered(self, pool: Pool, now_s: float) -> None:
        """Something came back through ``pool``, whatever it was: the pool itself works.

        While it rests, that came through a tunnel from before: it does not say that the pool works again.
        """
        circuit = self.of(pool)
        circuit.proven = True
        if circuit.rests_until_s > now_s:
            return
        circuit.failures = circuit.opens = 0
        circuit.final = False
        circuit.answers += 1
        if circuit.limit and circuit.answers >= GROW_AFTER:
            circuit.limit += 1
            circuit.answers = 0

    def failed(self, pool: Pool, now_s: float, *, final: bool = False) -> bool:
        """``pool`` itself failed; ``final``: it always will (password, account). True where it is left to rest now."""
        circuit = self.of(pool)
        circuit.failures += 1
        if circuit.rests_until_s > now_s:
            return False
        if not final and not circuit.opens and circuit.failures < FAILURES_TO_OPEN:
            return False
        circuit.final = final
        circuit.rests_until_s = now_s + (
            FINAL_OPEN_S if final else min(OPEN_S * 2**circuit.opens, OPEN_MAX_S)
        )
        circuit.opens += 1
        return True

    def crowded(self, pool: Pool, in_flight: int) -> None:
        """The gateway says that ``in_flight`` requests at once are too many."""
        circuit = self.of(pool)
        circuit.limit = max(1, int(in_flight * SHRINK))
        circuit.answers = 0
        circuit.proven = True

    def empty(self, pool: Pool, country: str, now_s: float) -> None:
        """The gateway has no exit in ``country`` now."""
        circuit = self.of(pool)
        circuit.empties[country] = circuit.empties.get(country, 0) + 1
        circuit.empty_until_s[country] = now_s + EMPTY_S

    def filled(self, pool: Pool, country: str) -> None:
        """Something came back from ``country``."""
        self.of(pool).empties.pop(country, None)

    def empty_until_s(self, pools: Iterable[Pool], country: str, now_s: float) -> float | None:
        """When one of ``pools`` may have exits in ``country`` again; None where none rests for want of them, or too often."""
        ends = [
            circuit.empty_until_s.get(country, 0.0)
            for circuit in map(self.of, pools)
            if circuit.empties.get(country, 0) < EMPTIES_MAX
        ]
        return min((end for end in ends if end > now_s), default=None)

    def forbid(self, pool: Pool, site: str) -> None:
        """The gateway refuses this site for good; it may serve every other."""
        self.of(pool).forbidden.add(site)

    def resting_until_s(self, pools: Iterable[Pool], now_s: float) -> float | None:
        """When the first of the resting ``pools`` may be asked again; None where one can be asked now."""
        ends = [self.of(each).rests_until_s for each in pools]
        return min(ends) if ends and min(ends) > now_s else None

    def hopeless(self, pools: Iterable[Pool]) -> bool:
        """Whether no pool will ever answer: every one of them refuses our password or has no money left."""
        return all(self.of(pool).final for pool in pools)
