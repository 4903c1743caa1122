"""RULE. Who a request goes out as, and what its verdict teaches: the rules of this folder put together.

``lease`` gives an identity, or says to wait, or that nothing helps; ``heard`` learns from a verdict and says what became of
the pools. Time and chance are given; nothing here knows of Scrapy.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from scraper.errors import BudgetSpent, GatewayError
from scraper.proxies import gateway, pace
from scraper.proxies.beliefs import Beliefs, place_of
from scraper.proxies.binding import Binding
from scraper.proxies.choice import FRESH, SESSION, Arm, Chooser, Terms
from scraper.proxies.circuits import Circuits
from scraper.proxies.ledger import FRUGAL, RUN_SPENT, SITE_SPENT, Ledger
from scraper.proxies.pools import Pool
from scraper.proxies.roster import Identity, Roster
from scraper.verdicts import BLOCKED, FAULT, GONE, GOOD, RATE_LIMITED, Verdict

PAGE, DOOR, ROBOTS = "page", "door", "robots"  # what a request asks for: see Broker.heard
ENOUGH = 2  # blocks of one page through a pool, after which its last tries go elsewhere
IMPOSSIBLE = "impossible"  # kind of a GatewayError that no further try and no waiting can mend
BUSY_WAIT_S = 0.2  # seconds until a pool or a sticky identity without room is asked for again: about one page
BUSY_WAIT_MAX_S = 5.0  # the same for one that asked several times in vain
LOOK_AGAIN_S = (
    15.0  # seconds after which a page looks again though its pools rest longer: they may have been changed
)
WORTH = 1.3  # times what waiting gets: a dearer pool that costs less more is taken at once
# Faults of a try that came from beyond the pool, which therefore works.
ANSWERS = frozenset({gateway.FORBIDDEN, gateway.TARGET, gateway.SESSION_LOST, gateway.CAPACITY,
                     "body_cut", "body_undecodable", "too_large", "certificate_refused"})  # fmt: skip
# Faults that may be the pool's or the site's: held against a pool only while nothing has come through it yet.
SILENCE = frozenset({"timeout", "connection_lost", "download_failed"})


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request to ``site`` wants: see docs/proxies.md. ``keep``: the identity to go on with; ``attempt``: from 1."""

    site: str
    pool: str = ""
    country: str = ""
    sticky: str = ""
    fresh: bool = False
    keep: str = ""
    attempt: int = 1
    waited_s: float = 0.0
    waits: int = 0  # in a row
    blocked_by: Mapping[str, int] = field(
        default_factory=dict
    )  # how often each pool was blocked at this page


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again at ``until_s``. ``why``: pools_rest, no_room, exits_rest, or sticky_busy."""

    until_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Patience:
    """``for_cheaper_s``: seconds a page waits in all for a cheaper exit that is resting. ``surest_from``: the attempt from
    which on only what is likeliest to pass is taken. ``dead_after``: tries in a row with no answer of any pool."""

    for_cheaper_s: float
    surest_from: int
    dead_after: int


class Refusal(NamedTuple):
    """A refusal without a mark ("403"), as the page keeps it: against the exit only once another one gets the page."""

    site: str
    pool: str
    n_bytes: int
    right: int  # right pages of the identity before
    uses: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What a verdict changed. ``opened``: a pool that is left alone now. ``dead``: why no pool will serve this run.

    ``delay_s``: seconds to leave between two requests to the site from now on; None: as before.
    """

    opened: str = ""
    dead: str = ""
    delay_s: float | None = None
    suspicion: bool = False  # the block speaks about a missing entry, not about the pool
    refusal: Refusal | None = None  # for the page to keep, and to be told with its next verdict


@dataclass(slots=True)
class Broker:
    """All that is known about pools, sites and identities in one crawl. ``pools``: cheapest first."""

    pools: Sequence[Pool]
    terms: Terms
    patience: Patience
    roster: Roster
    beliefs: Beliefs
    ledger: Ledger
    pace: pace.Pace
    chance: random.Random
    circuits: Circuits = field(default_factory=Circuits)
    binding: Binding = field(default_factory=Binding)
    chooser: Chooser = field(init=False)
    _unanswered: int = 0
    _answered: set[str] = field(default_factory=set)  # pools through which something came back in this run

    def __post_init__(self) -> None:
        self.chooser = Chooser(self.beliefs, self.terms, self.chance)

    # --- before a download --------------------------------------------------------------------------------------------

    def lease(self, ask: Ask, now_s: float) -> Identity | Wait:
        """Return who goes, or how long to wait. Raises GatewayError (no_exit) where no waiting helps, BudgetSpent."""
        standing = self.ledger.standing(ask.site)
        if standing in (RUN_SPENT, SITE_SPENT):
            raise BudgetSpent(standing, self.ledger.said(ask.site))
        if found := self._same(ask, now_s):
            return found
        able = [
            pool
            for pool in self.pools
            if (pool.name == ask.pool or not (ask.pool or pool.on_request))
            and (not ask.country or ask.country in pool.countries)
        ]
        open_now = [pool for pool in able if self.circuits.may(pool, ask.site, ask.country, now_s)]
        if (
            ask.attempt >= self.patience.surest_from
        ):  # whatever a pool is elsewhere, this page does not want it
            others = [pool for pool in open_now if ask.blocked_by.get(pool.name, 0) < ENOUGH]
            open_now = others or open_now
        mode = FRESH if ask.fresh else SESSION
        later: list[
            tuple[float, str, Arm]
        ] = []  # arms that cannot take it now, in the order they were wanted
        while open_now:
            arm = self._arm(ask, open_now, mode, standing == FRUGAL, now_s)
            if arm is None:
                break
            circuit = self.circuits.of(arm.pool)
            if circuit.room(arm.pool, self.roster.through(arm.pool)) <= 0:
                later.append((now_s + self._busy_s(ask), "pools_rest" if circuit.opens else "no_room", arm))
            elif (wait := self._worth_waiting(ask, later, arm, now_s)) is not None:
                return wait
            elif (identity := self._take(ask, arm, now_s)) is not None:
                return identity
            else:
                free_s = self.roster.soonest_s(ask.site, arm.pool)
                later.append((now_s if free_s is None else free_s, "exits_rest", arm))
            open_now = [pool for pool in open_now if pool.name != arm.pool.name]
        return self._nothing_now(ask, able, later, now_s)

    def release(self, identity_id: str, now_s: float, *, hold: bool = False) -> None:
        """The try that leased it has ended; ``hold``: with a redirect, which goes on as the same identity."""
        self.roster.release(identity_id, now_s, hold=hold)

    def set_pools(self, pools: Sequence[Pool], now_s: float) -> tuple[set[str], set[str]]:
        """Go on with other pools. Returns the names of those that came or changed, and of those that went.

        What is under way through a pool that went ends as it would have; nothing new goes out through it.
        """
        before, after = ({pool.name: pool for pool in each} for each in (self.pools, pools))
        changed = {name for name, pool in after.items() if before.get(name) != pool}
        gone = set(before) - set(after)
        for name in (changed | gone) & set(before):
            self.circuits.forget(before[name])
        self.roster.pools_changed((changed | gone) & set(before), now_s)
        self.pools = pools
        return changed, gone

    # --- after it -------------------------------------------------------------------------------------------------------

    def heard(
        self,
        identity: Identity,
        verdict: Verdict,
        now_s: float,
        *,
        n_bytes: int = 0,
        answered: bool = True,
        linked: bool = False,
        visit: str = PAGE,
        refusals: Sequence[Refusal] = (),
    ) -> Heard:
        """Learn from the verdict of a try that ``identity`` made. ``answered``: there was a response.

        ``linked``: the page was linked from another of the site. ``visit``: what was asked for. That the DOOR or
        robots.txt are open says nothing about the pages behind; a refusal there does. ``refusals``: those without a mark
        that this page met before; where it is right now, they were blocks.
        """
        site, pool = identity.site, identity.arm.pool
        if verdict.outcome not in (GOOD, GONE):
            self.ledger.wasted(site, pool, identity.arm.country, n_bytes)
        taught = verdict.proven or verdict.outcome != GOOD  # a 204 or 304 shows no page
        if verdict.outcome == GOOD and taught and visit == PAGE:
            identity.right += 1
        delay_s = None
        suspicion = (
            taught
            and visit != ROBOTS
            and self.binding.is_suspicion(site, pool.name, identity.id, verdict, linked=linked)
        )
        refusal = None
        if verdict.outcome == BLOCKED and not verdict.proven:
            refusal = (
                Refusal(site, pool.name, n_bytes, identity.right, identity.uses) if not suspicion else None
            )
        elif taught and not suspicion and (visit == PAGE or verdict.outcome != GOOD):
            signs = [self._learn(identity, verdict, n_bytes, now_s)]
            if verdict.outcome == GOOD:
                signs += [
                    self._refused(*each, now_s) for each in refusals
                ]  # by the site that was asked, wherever it led
            delays = [self.pace.hear(site, sign, now_s) for sign in signs if sign]
            delay_s = next((delay for delay in reversed(delays) if delay is not None), None)
        self._learn_of_gateway(identity, verdict, now_s)
        if verdict.outcome in (BLOCKED, FAULT):
            self._retire(identity, verdict, now_s, answered=answered)
        elif identity.arm.mode == FRESH:
            self.roster.retire(identity.id, "fresh", now_s)
        elif identity.closing and not identity.in_flight:
            self.roster.retire(identity.id, "pool_changed", now_s)
        opened, dead = self._watch(pool, identity.arm.country, verdict, now_s, answered=answered)
        return Heard(opened, dead, delay_s, suspicion, refusal)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _same(self, ask: Ask, now_s: float) -> Identity | Wait | None:
        """The identity that the request is to go on with, or that its sticky key stands for."""
        kept = self.roster.kept_for(ask.site, ask.sticky) if ask.sticky else self.roster.get(ask.keep)
        if kept is None or kept.closing or (ask.pool and kept.arm.pool.name != ask.pool):
            return None
        pool, country = kept.arm.pool, kept.arm.country
        if (ask.country and country != ask.country) or not self.circuits.may(pool, ask.site, country, now_s):
            return None
        if ask.sticky and not self.roster.has_room(kept):
            return Wait(now_s + self._busy_s(ask), "sticky_busy")
        if self.circuits.of(pool).room(pool, self.roster.through(pool)) <= 0:
            return Wait(now_s + self._busy_s(ask), "no_room")
        return self.roster.keep(kept.id, ask.site, now_s)

    def _busy_s(self, ask: Ask) -> float:
        """Seconds until it asks again for room: longer each time, and not all at once."""
        return min(BUSY_WAIT_MAX_S, BUSY_WAIT_S * 2.0**ask.waits) * (0.5 + self.chance.random() / 2)

    def _arm(self, ask: Ask, able: Sequence[Pool], mode: str, frugal: bool, now_s: float) -> Arm | None:
        return self.chooser.arm(
            ask.site,
            able,
            now_s,
            country=ask.country,
            mode=mode,
            has=lambda pool, country: self.circuits.may(pool, ask.site, country, now_s),
            in_flight=self.roster.in_flight,
            surest=ask.attempt >= self.patience.surest_from,
            frugal=frugal,
        )

    def _take(self, ask: Ask, arm: Arm, now_s: float, *, last_resort: bool = False) -> Identity | None:
        return self.roster.lease(ask.site, arm, now_s, sticky=ask.sticky, last_resort=last_resort)

    def _worth_waiting(
        self, ask: Ask, later: Sequence[tuple[float, str, Arm]], arm: Arm, now_s: float
    ) -> Wait | None:
        """Whether one of the arms that were wanted first is free soon, and cheaper by enough than ``arm``."""
        left_s = self.patience.for_cheaper_s - ask.waited_s
        mine = self._expected_usd(ask.site, arm.pool, now_s)
        for free_s, why, wanted in later:
            if why == "pools_rest":
                continue  # one request tries whether it works again; nobody else waits for that
            if free_s - now_s <= left_s and WORTH * self._expected_usd(ask.site, wanted.pool, now_s) <= mine:
                return Wait(max(free_s, now_s + BUSY_WAIT_S / 2), why)
        return None

    def _expected_usd(self, site: str, pool: Pool, now_s: float) -> float:
        good, bad = self.beliefs.shape(site, pool.name, now_s)
        return self.chooser.cost_usd(site, pool, good / (good + bad), now_s)

    def _nothing_now(
        self, ask: Ask, able: Sequence[Pool], later: Sequence[tuple[float, str, Arm]], now_s: float
    ) -> Identity | Wait:
        crowded = [entry for entry in later if entry[1] != "exits_rest"]
        left_s = self.patience.for_cheaper_s - ask.waited_s
        soon = min(
            (entry for entry in later if entry[0] - now_s <= left_s), default=None, key=lambda each: each[0]
        )
        if soon is not None or crowded:
            free_s, why, _ = soon or crowded[0]
            return Wait(max(free_s, now_s + BUSY_WAIT_S / 2), why)
        for _, _, arm in later:
            if (identity := self._take(ask, arm, now_s, last_resort=True)) is not None:
                return identity
        could = [pool for pool in able if self.circuits.serves(pool, ask.site, ask.country, now_s)]
        rested_s = self.circuits.resting_until_s(could, now_s)
        if able and self.circuits.hopeless(able):
            why = f"{_named(able)}: the password is refused, or no traffic is left"
            raise GatewayError("", 0, why, IMPOSSIBLE)
        if rested_s is not None:
            return Wait(min(rested_s, now_s + LOOK_AGAIN_S), "pools_rest")
        if not able and not ask.country:
            raise GatewayError("", 0, "every pool of proxies.toml is for requests that name it", IMPOSSIBLE)
        if not able:
            countries = sorted({country for pool in self.pools for country in pool.countries})
            asked = f"pool {ask.pool}" if ask.pool else "no pool"
            verb = "cannot" if ask.pool else "can"
            why = f"{asked} {verb} be asked for {ask.country}; proxies.toml has {', '.join(countries) or 'no countries'}"
            raise GatewayError("", 0, why, IMPOSSIBLE)
        if all(ask.site in self.circuits.of(pool).forbidden for pool in able):
            raise GatewayError("", 0, f"{_named(able)}: the provider refuses {ask.site}", IMPOSSIBLE)
        filled_s = self.circuits.empty_until_s(able, ask.country, now_s)
        if filled_s is not None:
            return Wait(min(filled_s, now_s + LOOK_AGAIN_S), "pools_rest")
        raise GatewayError(ask.pool, 0, "no pool has an exit for this page now", gateway.NO_EXIT)

    def _learn(self, identity: Identity, verdict: Verdict, n_bytes: int, now_s: float) -> str:
        """Change what is believed about the site; returns what the page says about our speed."""
        site, arm = identity.site, identity.arm
        if verdict.outcome == GOOD:
            self.beliefs.good(site, arm.pool.name, arm.country, n_bytes, now_s)
            self.chooser.report(site, arm.pool, good=True)
            return pace.WELCOME
        if verdict.outcome == RATE_LIMITED:
            return pace.LIMITED
        if verdict.outcome == FAULT:
            return pace.TIMED_OUT if verdict.rule == "timeout" else ""
        if verdict.outcome != BLOCKED:
            return ""
        if verdict.kind == "geo" and (self.terms.countries or arm.country):
            self.beliefs.geo(site, place_of(arm.country, arm.pool.name), now_s)
            return ""
        return self._refused(site, arm.pool.name, n_bytes, identity.right, identity.uses, now_s)

    def _refused(self, site: str, pool: str, n_bytes: int, right: int, uses: int, now_s: float) -> str:
        tired = right > 0 and self.roster.stamina.refused(site, pool, uses)
        self.beliefs.blocked(site, pool, n_bytes, now_s, tired=tired)
        named = next((each for each in self.pools if each.name == pool), None)
        if named is None:
            return ""
        self.chooser.report(site, named, good=False)
        return pace.TIRED if tired or named.kind == "direct" else ""  # a new identity there is no new address

    def _learn_of_gateway(self, identity: Identity, verdict: Verdict, now_s: float) -> None:
        pool = identity.arm.pool
        if verdict.kind == gateway.FORBIDDEN:
            self.circuits.forbid(pool, identity.site)
        elif verdict.kind == gateway.CAPACITY:
            self.circuits.crowded(pool, self.roster.through(pool) + 1)
        elif verdict.kind == gateway.NO_EXIT and identity.arm.country:
            self.circuits.empty(pool, identity.arm.country, now_s)

    def _retire(self, identity: Identity, verdict: Verdict, now_s: float, *, answered: bool) -> None:
        limits = self.roster.limits
        cool_s, everywhere = 0.0, False
        if verdict.outcome == BLOCKED:
            cool_s = limits.cool_s
        elif not answered and verdict.kind not in ANSWERS:
            cool_s, everywhere = limits.fault_cool_s, verdict.rule.startswith("gateway_")
        self.roster.retire(identity.id, verdict.rule, now_s, cool_s=cool_s, everywhere=everywhere)

    def _watch(
        self, pool: Pool, country: str, verdict: Verdict, now_s: float, *, answered: bool
    ) -> tuple[str, str]:
        """Tell a pool that fails from a site that does: only the first is held against the pool."""
        if pool.kind == "direct":
            if answered:
                self._unanswered = 0
            return "", ""  # on our own line it is the site that is dead
        if answered or verdict.kind in ANSWERS:
            self._unanswered = 0
            self._answered.add(pool.name)
            self.circuits.answered(pool, now_s)
            if answered:
                self.circuits.filled(pool, country)
            self.beliefs.reached(pool.name, now_s, answered=True)
            return "", ""
        silent = verdict.rule in SILENCE and pool.name not in self._answered
        if not verdict.rule.startswith("gateway_") and not silent:
            return "", ""
        self._unanswered += 1
        self.beliefs.reached(pool.name, now_s, answered=False)
        final = verdict.kind in (gateway.CONFIG, gateway.ACCOUNT)
        opened = pool.name if self.circuits.failed(pool, now_s, final=final) else ""
        usable = [each for each in self.pools if not each.on_request or each.name == pool.name]
        never_any = not self._answered and self.circuits.resting_until_s(usable, now_s) is not None
        if never_any or self._unanswered >= self.patience.dead_after or self.circuits.hopeless(usable):
            why = f"{self._unanswered} tries in a row had no answer of a pool, the last: {verdict.evidence}"
            return opened, why
        return opened, ""


def _named(pools: Sequence[Pool]) -> str:
    return ("pool " if len(pools) == 1 else "pools ") + ", ".join(pool.name for pool in pools)
