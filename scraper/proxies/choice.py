"""RULE. Which pool, and from which country, a request goes out through: where the right record is expected to cost least.

``thompson`` draws, for each pool that can be asked, a share of right pages from what is believed about it at this site, and
takes the pool whose cost for one right page is lowest with that draw: money for right pages and blocks, divided by the share.
A pool nobody knows is therefore tried while its price makes that worth it, and one that fails is left with every failure a
bit more surely. Draws below ``min_success`` do not count: a block costs the site's good will, too. The simpler strategies
choose the pool by their own rule; refusals by country are handled alike for all of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from scraper.proxies.beliefs import ANYWHERE, PLACE_SHARE, Beliefs, place_of
from scraper.proxies.pools import Pool

SESSION, FRESH = "session", "fresh"  # the modes of an arm: an identity for many pages, or for one
HALF_A_FAILURE = 0.5  # what a request in flight counts as while its pool has no good page at the site
WORTH_A_LOOK = 0.99  # of the least cost found: a pool that cannot save a hundredth is not drawn for
AS_SURE = 0.95  # of the best share of right pages: no surer, as far as anybody can tell
NEARLY_BEST = (
    0.8  # where no pool is above the floor, those within this share of the best are still compared by cost
)


@dataclass(frozen=True, slots=True)
class Arm:
    """Where a request goes out: a pool, a country ('' when it does not matter), and the mode."""

    pool: Pool
    country: str = ANYWHERE
    mode: str = SESSION


@dataclass(frozen=True, slots=True)
class Terms:
    """``min_success``: share of right pages below which a pool is not asked while another is above it.

    ``request_usd``: what any request costs beside its bytes; it orders pools that cost nothing a GB. ``countries``: those that
    the spider allows where a site refuses some. ``patience``: of the ladder, blocks in a row that spend a pool.
    """

    strategy: str = "thompson"
    min_success: float = 0.7
    request_usd: float = 1e-7
    countries: tuple[str, ...] = ()
    patience: int = 2


@dataclass(slots=True)
class Option:
    """A pool that can be asked now, the best country it can be asked for, and the share that passes from there."""

    pool: Pool
    country: str
    passes: float = 1.0


@dataclass(slots=True)
class _Tally:
    """What the simple strategies remember."""

    turns: dict[str, int] = field(default_factory=dict)  # by site
    uses: dict[str, int] = field(default_factory=dict)  # by pool
    blocks: dict[tuple[str, str], int] = field(default_factory=dict)  # in a row, by site and pool
    spent: set[tuple[str, str]] = field(default_factory=set)  # site and pool


class Chooser:
    """Chooses with ``beliefs``, in the way ``terms`` say. Raises KeyError for a strategy that is none."""

    def __init__(self, beliefs: Beliefs, terms: Terms, chance: random.Random) -> None:
        self.beliefs = beliefs
        self.terms = terms
        self._chance = chance
        self._tally = _Tally()
        self._choose = _STRATEGIES[terms.strategy]

    def arm(
        self,
        site: str,
        able: Sequence[Pool],
        now_s: float,
        *,
        country: str = ANYWHERE,
        mode: str = SESSION,
        has: Callable[[Pool, str], bool] = lambda pool, country: True,
        in_flight: Mapping[tuple[str, str], int] | None = None,
        surest: bool = False,
        frugal: bool = False,
    ) -> Arm | None:
        """Return the arm for one request to ``site``; None where no pool of ``able`` (cheapest first) has the country.

        ``country``: the one that is asked for. ``has``: whether a pool has exits in a country now.
        ``in_flight``: requests by site and pool whose end is not known yet. ``surest``: take what is likeliest to pass,
        whatever it costs (thompson only). ``frugal``: the budget is nearly spent, so cost is all that counts.
        """
        options = self._options(site, able, country, has, now_s)
        if not options:
            return None
        if surest and not frugal and self.terms.strategy == "thompson":
            option = self._surest(site, options, now_s)
        else:
            floor = 0.0 if frugal else self.terms.min_success
            option = self._choose(self, site, options, floor, in_flight or {}, now_s)
        self._tally.uses[option.pool.name] = self._tally.uses.get(option.pool.name, 0) + 1
        return Arm(option.pool, option.country, mode)

    def report(self, site: str, pool: Pool, *, good: bool) -> None:
        """For the ladder: a good page, or a block."""
        if self.terms.strategy != "ladder":
            return  # nothing to remember about very many sites
        key = (site, pool.name)
        if good:
            self._tally.blocks.pop(key, None)
            return
        self._tally.blocks[key] = self._tally.blocks.get(key, 0) + 1
        if self._tally.blocks[key] >= self.terms.patience:
            self._tally.spent.add(key)

    def cost_usd(self, site: str, pool: Pool, share: float, now_s: float) -> float:
        """What a right page of ``site`` costs through ``pool`` when ``share`` of the requests get one."""
        usd_a_byte = pool.usd_per_gb / 1e9
        page = self.terms.request_usd + usd_a_byte * self.beliefs.page_bytes(site)
        block = self.terms.request_usd + usd_a_byte * self.beliefs.block_bytes(site, pool.name)
        return (
            (page * share + block * (1 - share)) / max(share, 1e-9) / self.beliefs.answers(pool.name, now_s)
        )

    # --- inside -------------------------------------------------------------------------------------------------------

    def _options(
        self, site: str, able: Sequence[Pool], country: str, has: Callable[[Pool, str], bool], now_s: float
    ) -> list[Option]:
        if country:
            return [
                Option(pool, country) for pool in able if country in pool.countries and has(pool, country)
            ]
        if not self.terms.countries or not self.beliefs.refuses_countries(site):
            return [Option(pool, ANYWHERE) for pool in able if has(pool, ANYWHERE)]
        options = []
        shares = {place: self._passes(site, place, now_s) for place in self.terms.countries}
        for pool in able:
            known = [place for place in self.terms.countries if place in pool.countries]
            places = [place for place in (*known, ANYWHERE) if has(pool, place)]
            if places:
                shares[ANYWHERE] = self._passes(site, place_of(ANYWHERE, pool.name), now_s)
                options.append(self._place(site, pool, places, shares))
        return options

    def _passes(self, site: str, place: str, now_s: float) -> float:
        good, bad = self.beliefs.place_shape(site, place, now_s)
        return good / (good + bad)

    def _place(self, site: str, pool: Pool, places: Sequence[str], shares: Mapping[str, float]) -> Option:
        """The country to ask ``pool`` for at a site that refuses some. All cost the same, so nothing is tried for its own sake:
        what passed is asked again, else what was not tried yet, and no country last, where the pool can be asked for one."""
        best = max(places, key=shares.__getitem__)
        if best and shares[best] > PLACE_SHARE:
            return Option(pool, best)  # every pool passes from there alike
        if shares[best] <= PLACE_SHARE:
            untried = [place for place in places if place and not self.beliefs.place_tried(site, place)]
            if untried:  # a place to be tried is not held against the pool
                return Option(pool, self._chance.choice(untried))
        return Option(pool, best, shares[best])

    def _surest(self, site: str, options: Sequence[Option], now_s: float) -> Option:
        """The cheapest of those that are as likely to pass as any."""
        means = [self._mean(site, each, now_s) for each in options]
        return next(each for each, mean in zip(options, means, strict=True) if mean >= AS_SURE * max(means))

    def _mean(self, site: str, option: Option, now_s: float) -> float:
        good, bad = self.beliefs.shape(site, option.pool.name, now_s)
        return good / (good + bad) * option.passes * self.beliefs.answers(option.pool.name, now_s)

    def _thompson(
        self,
        site: str,
        options: Sequence[Option],
        floor: float,
        in_flight: Mapping[tuple[str, str], int],
        now_s: float,
    ) -> Option:
        beliefs, request_usd = self.beliefs, self.terms.request_usd
        page_bytes = beliefs.page_bytes(site)
        best: Option | None = None
        least = float("inf")
        below: list[tuple[float, Option]] = []  # share drawn
        for option in options:
            pool = option.pool
            if request_usd + pool.usd_per_gb / 1e9 * page_bytes >= WORTH_A_LOOK * least:
                break  # the others cost as much even if every page of theirs were right
            good, bad = beliefs.shape(site, pool.name, now_s)
            if waiting := in_flight.get((site, pool.name)):
                bad += HALF_A_FAILURE * waiting / (1 + good)
            share = self._chance.betavariate(good, bad) * option.passes
            if share < floor and good / (good + bad) * option.passes < floor:
                below.append((share, option))
            elif (cost := self.cost_usd(site, pool, share, now_s)) < least:
                best, least = option, cost
        if best is not None:
            return best
        enough = NEARLY_BEST * max(share for share, _ in below)
        nearly = (each for each in below if each[0] >= enough)
        return min(nearly, key=lambda each: self.cost_usd(site, each[1].pool, each[0], now_s))[1]

    def _ladder(self, site: str, options: Sequence[Option], *_: object) -> Option:
        unspent = [each for each in options if (site, each.pool.name) not in self._tally.spent]
        return unspent[0] if unspent else options[-1]

    def _round_robin(self, site: str, options: Sequence[Option], *_: object) -> Option:
        turn = self._tally.turns[site] = self._tally.turns.get(site, -1) + 1
        return options[turn % len(options)]

    def _random(self, site: str, options: Sequence[Option], *_: object) -> Option:
        return self._chance.choice(options)

    def _least_used(self, site: str, options: Sequence[Option], *_: object) -> Option:
        return min(options, key=lambda each: self._tally.uses.get(each.pool.name, 0))


_STRATEGIES: dict[str, Callable[..., Option]] = {
    "thompson": Chooser._thompson,
    "ladder": Chooser._ladder,
    "round_robin": Chooser._round_robin,
    "random": Chooser._random,
    "least_used": Chooser._least_used,
}
STRATEGIES = tuple(_STRATEGIES)
