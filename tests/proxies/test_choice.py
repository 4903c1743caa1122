"""Which pool a request goes out through: the right record where it is expected to cost least.

The convergence tests play a site in which each pool passes with a share of its own; nothing in them waits or depends on time.
"""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.proxies.beliefs import ANYWHERE, Beliefs, place_of
from scraper.proxies.choice import STRATEGIES, Arm, Chooser, Terms
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.pools import Pool

SHOP = "shop.example"
PAGE, BLOCK = 40_000, 6_000
ATTEMPTS, SUREST_FROM = 6, 4
COUNTRIES = ("us", "de", "fr")
SEEDS = range(40)


def pool(name: str, usd_per_gb: float, *countries: str) -> Pool:
    return Pool(name, "gateway", usd_per_gb, countries, (Endpoint("http", "g.example", 1),))


CHEAP, DEAR = pool("cheap", 0.5), pool("dear", 4.0, *COUNTRIES)


@dataclass
class Site:
    """``shares``: of requests that pass, by pool, cheapest first; ``country``: the only one that is let in; '': all are."""

    shares: dict[Pool, float]
    seed: int
    terms: Terms = field(default_factory=Terms)
    country: str = ""

    def __post_init__(self) -> None:
        self.beliefs = Beliefs()
        self.chooser = Chooser(self.beliefs, self.terms, random.Random(self.seed))
        self.chance = random.Random(1000 + self.seed)
        self.asked: list[tuple[Arm, bool]] = []
        self.lost, self.usd, self.now_s = 0, 0.0, 0.0

    def pages(self, n: int) -> Site:
        for _ in range(n):
            self.lost += not any(self._request(attempt) for attempt in range(1, ATTEMPTS + 1))
        return self

    def _request(self, attempt: int) -> bool:
        self.now_s += 1.0
        arm = self.chooser.arm(SHOP, list(self.shares), self.now_s, surest=attempt >= SUREST_FROM)
        assert arm is not None
        welcome = not self.country or arm.country == self.country
        good = welcome and self.chance.random() < self.shares[arm.pool]
        self.usd += self.terms.request_usd + arm.pool.usd_per_gb / 1e9 * (PAGE if good else BLOCK)
        if good:
            self.beliefs.good(SHOP, arm.pool.name, arm.country, PAGE, self.now_s)
        elif not welcome:
            self.beliefs.geo(SHOP, place_of(arm.country, arm.pool.name), self.now_s)
        else:
            self.beliefs.blocked(SHOP, arm.pool.name, BLOCK, self.now_s)
        self.chooser.report(SHOP, arm.pool, good=good)
        self.asked.append((arm, good))
        return good

    def blocks(self, since: int = 0) -> int:
        return sum(not good for _, good in self.asked[since:])

    def share_of(self, chosen: Pool, since: int = 0) -> float:
        asked = self.asked[since:]
        return sum(arm.pool == chosen for arm, _ in asked) / len(asked)


def best_fixed_usd(shares: Mapping[Pool, float], floor: float) -> float:
    """USD a right page of whoever knows which pool above the floor costs least, and asks no other."""
    able = {each: share for each, share in shares.items() if share >= floor}
    return min(
        each.usd_per_gb / 1e9 * (PAGE + BLOCK * (1 - share) / share) + Terms().request_usd / share
        for each, share in able.items()
    )


# --- a site that stays as it is ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shares",
    [
        {CHEAP: 0.0, DEAR: 0.97},
        {CHEAP: 0.5, DEAR: 0.97},
        {CHEAP: 0.95, DEAR: 0.97},
        {pool("free", 0.0): 0.0, CHEAP: 0.95, DEAR: 0.97},
        {pool("free", 0.0): 0.2, CHEAP: 0.4, DEAR: 0.97},
    ],
    ids=lambda shares: "-".join(f"{share:g}" for share in shares.values()),
)
def test_five_hundred_pages_cost_hardly_more_than_with_the_best_pool_known(shares: dict[Pool, float]) -> None:
    best = best_fixed_usd(shares, Terms().min_success)
    played = [Site(shares, seed).pages(500) for seed in SEEDS]
    assert statistics.mean(site.usd / (500 - site.lost) / best for site in played) <= 1.15
    assert sum(site.lost for site in played) / len(played) / 500 < 0.001


def test_a_pool_that_never_passes_is_left_after_a_few_blocks() -> None:
    for seed in SEEDS:
        site = Site({CHEAP: 0.0, DEAR: 1.0}, seed).pages(100)
        assert site.blocks() <= 20
        assert site.share_of(CHEAP, since=50) <= 0.15
    assert statistics.median(Site({CHEAP: 0.0, DEAR: 1.0}, seed).pages(100).blocks() for seed in SEEDS) <= 10


def test_a_pool_below_the_floor_is_hardly_asked_while_another_is_above_it() -> None:
    late = [Site({CHEAP: 0.5, DEAR: 0.97}, seed).pages(400).share_of(CHEAP, since=200) for seed in SEEDS]
    assert statistics.mean(late) <= 0.1


def test_a_cheap_pool_that_passes_nearly_always_is_kept() -> None:
    dear = [Site({CHEAP: 0.95, DEAR: 1.0}, seed).pages(500).share_of(DEAR) for seed in SEEDS]
    assert statistics.mean(dear) <= 0.03


def test_a_free_pool_that_passes_leaves_hardly_a_page_to_be_paid_for() -> None:
    free = pool("free", 0.0)
    paid = [1 - Site({free: 0.95, CHEAP: 0.95, DEAR: 0.97}, seed).pages(500).share_of(free) for seed in SEEDS]
    assert statistics.mean(paid) <= 0.02


def test_of_two_pools_at_one_price_the_better_wins() -> None:
    bad, good = pool("bad", 3.0), pool("good", 3.0)
    for shares in ({bad: 0.6, good: 0.97}, {good: 0.97, bad: 0.6}):
        found = [Site(shares, seed).pages(300).share_of(good, since=100) for seed in SEEDS]
        assert statistics.mean(found) >= 0.85


def test_of_two_free_pools_the_better_wins_since_a_request_costs_something() -> None:
    bad, good = pool("bad", 0.0), pool("good", 0.0)
    found = [Site({bad: 0.5, good: 0.97}, seed).pages(300).share_of(good, since=100) for seed in SEEDS]
    assert statistics.mean(found) >= 0.85


def test_where_no_pool_reaches_the_floor_the_best_of_them_goes_on() -> None:
    played = [Site({CHEAP: 0.1, DEAR: 0.5}, seed).pages(200) for seed in SEEDS]
    assert statistics.mean(site.share_of(DEAR, since=100) for site in played) >= 0.8


def test_the_only_pool_is_asked_whatever_it_does() -> None:
    site = Site({CHEAP: 0.0}, seed=1).pages(50)
    assert site.share_of(CHEAP) == 1.0


# --- a site that changes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [20, 100, 1000])
@pytest.mark.parametrize("after", [0.0, 0.3])
def test_a_site_that_shuts_the_cheap_pool_out_costs_at_most_thirty_blocks(known: int, after: float) -> None:
    """Beyond those that the dear pool would have met anyway; of nine sites in ten, whatever was known before."""
    extra, lost = [], 0
    for seed in SEEDS:
        site = Site({CHEAP: 0.97, DEAR: 0.97}, seed).pages(known)
        before, lost_before = len(site.asked), site.lost
        site.shares[CHEAP] = after
        site.pages(100)
        extra.append(site.blocks(since=before) - 100 * 0.03 / 0.97)
        lost += site.lost - lost_before
    assert statistics.quantiles(extra, n=10)[-1] <= 30
    assert lost / len(SEEDS) <= 0.3, "and most pages find another way within their tries"


def test_a_site_that_lets_the_cheap_pool_in_again_is_noticed() -> None:
    shares = []
    for seed in SEEDS:
        site = Site({CHEAP: 0.0, DEAR: 0.97}, seed).pages(300)
        before = len(site.asked)
        site.shares[CHEAP] = 1.0
        shares.append(site.pages(300).share_of(CHEAP, since=before + 150))
    assert statistics.median(shares) >= 0.9


def test_what_is_known_of_other_sites_saves_the_tries_at_a_new_one() -> None:
    known, anew = [], []
    for seed in SEEDS:
        site = Site({CHEAP: 0.0, DEAR: 1.0}, seed)
        for n in range(10):
            for _ in range(4):
                site.beliefs.blocked(f"{n}.example", "cheap", BLOCK, 0.0)
                site.beliefs.good(f"{n}.example", "dear", "", PAGE, 0.0)
        known.append(site.pages(20).blocks())
        anew.append(Site({CHEAP: 0.0, DEAR: 1.0}, seed).pages(20).blocks())
    assert statistics.mean(known) <= 0.3 * statistics.mean(anew)


# --- countries --------------------------------------------------------------------------------------------------------


def test_a_country_that_is_let_in_is_found_within_a_dozen_refusals() -> None:
    refused = []
    for seed in SEEDS:
        site = Site({CHEAP: 1.0, DEAR: 1.0}, seed, Terms(countries=COUNTRIES), country="de").pages(100)
        refused.append(site.blocks())
        assert site.share_of(DEAR, since=50) >= 0.9
        assert sum(arm.country == "de" for arm, _ in site.asked[-20:]) >= 18
    assert statistics.mean(refused) <= 12


def test_no_country_is_asked_for_while_the_site_refuses_none_or_the_spider_allows_none() -> None:
    for terms, country in ((Terms(countries=COUNTRIES), ""), (Terms(), "de")):
        site = Site({CHEAP: 0.5, DEAR: 0.9}, 1, terms, country).pages(30)
        assert {arm.country for arm, _ in site.asked} == {ANYWHERE}


def test_a_request_that_asks_for_a_country_gets_it_or_nothing() -> None:
    chooser = Chooser(Beliefs(), Terms(), random.Random(1))
    assert chooser.arm(SHOP, [CHEAP, DEAR], 0.0, country="de") == Arm(DEAR, "de")
    assert chooser.arm(SHOP, [CHEAP], 0.0, country="de") is None
    assert chooser.arm(SHOP, [CHEAP, DEAR], 0.0, country="de", has=lambda _, country: country != "de") is None


# --- strategies -------------------------------------------------------------------------------------------------------

POOLS = [pool(name, usd) for name, usd in (("a", 0.0), ("b", 1.0), ("c", 1.0), ("d", 8.0))]


@given(
    strategy=st.sampled_from(STRATEGIES),
    shares=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    busy=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 50)),
    has=st.sets(st.sampled_from("abcd")),
    surest=st.booleans(),
    frugal=st.booleans(),
    floor=st.sampled_from([0.0, 0.7, 1.0]),
    seed=st.integers(0, 9),
)
def test_whatever_is_known_one_of_the_able_pools_is_taken(
    strategy: str,
    shares: list[float],
    busy: dict[str, int],
    has: set[str],
    surest: bool,
    frugal: bool,
    floor: float,
    seed: int,
) -> None:
    site = Site(dict(zip(POOLS, shares, strict=True)), seed, Terms(strategy, floor)).pages(10)
    arm = site.chooser.arm(
        SHOP,
        POOLS,
        11.0,
        has=lambda each, _: each.name in has,
        in_flight={(SHOP, name): n for name, n in busy.items()},
        surest=surest,
        frugal=frugal,
    )
    assert (arm is None) == (not has)
    assert arm is None or arm.pool.name in has


@pytest.mark.parametrize("strategy", ["round_robin", "least_used", "random"])
def test_simple_strategies_use_all_pools_alike(strategy: str) -> None:
    uses = Counter(
        arm.pool.name for arm, _ in Site(dict.fromkeys(POOLS, 1.0), 1, Terms(strategy)).pages(400).asked
    )
    if strategy == "random":
        assert all(70 <= uses[each.name] <= 130 for each in POOLS)
    else:
        assert set(uses.values()) == {100}


def test_round_robin_goes_through_all_pools_at_each_site_though_sites_take_turns() -> None:
    chooser = Chooser(Beliefs(), Terms("round_robin"), random.Random(1))
    seen: dict[str, set[str]] = {"x": set(), "y": set()}
    for n in range(8):
        arm = chooser.arm("xy"[n % 2], POOLS, 0.0)
        assert arm is not None
        seen["xy"[n % 2]].add(arm.pool.name)
    assert seen == {"x": set("abcd"), "y": set("abcd")}


def test_the_ladder_takes_the_next_dearer_pool_after_two_blocks_in_a_row_and_stays_there() -> None:
    site = Site(dict(zip(POOLS, (0.0, 0.0, 1.0, 1.0), strict=True)), 1, Terms("ladder")).pages(20)
    assert [arm.pool.name for arm, _ in site.asked[:5]] == ["a", "a", "b", "b", "c"]
    assert {arm.pool.name for arm, _ in site.asked[4:]} == {"c"}


def test_the_ladder_stays_at_its_last_step() -> None:
    site = Site(dict.fromkeys(POOLS[:2], 0.0), 1, Terms("ladder")).pages(3)
    assert site.asked[-1][0].pool == POOLS[1]


def test_a_strategy_nobody_knows_is_refused() -> None:
    with pytest.raises(KeyError):
        Chooser(Beliefs(), Terms("best"), random.Random(1))


# --- what a request, a budget and other requests change ---------------------------------------------------------------


def picks(site: Site, n: int = 300, **asked: object) -> Counter[str]:
    chosen = (site.chooser.arm(SHOP, list(site.shares), site.now_s, **asked) for _ in range(n))  # type: ignore[arg-type]  # options of arm, by name
    return Counter(arm.pool.name for arm in chosen if arm is not None)


def test_the_last_tries_at_a_page_go_where_it_is_likeliest_to_pass() -> None:
    site = Site({CHEAP: 0.8, DEAR: 1.0}, seed=2, terms=Terms(min_success=0.0)).pages(30)
    for _ in range(30):
        site.beliefs.good(SHOP, "dear", "", PAGE, site.now_s)
    assert picks(site)["cheap"] > 250
    assert picks(site, surest=True) == {"dear": 300}


def test_a_budget_nearly_spent_asks_what_costs_least_a_page_however_often_that_is_blocked() -> None:
    site = Site({CHEAP: 0.4, DEAR: 1.0}, seed=2).pages(150)
    assert picks(site)["dear"] > 200
    assert picks(site, frugal=True)["cheap"] > 270
    assert picks(site, frugal=True, surest=True)["cheap"] > 270


def test_many_requests_at_once_do_not_all_try_a_pool_that_nobody_knows() -> None:
    def tries(counted: bool) -> float:
        total = 0
        for seed in SEEDS:
            site, under_way = Site({CHEAP: 0.0, DEAR: 1.0}, seed), Counter[tuple[str, str]]()
            for _ in range(32):
                arm = site.chooser.arm(SHOP, [CHEAP, DEAR], 0.0, in_flight=under_way if counted else {})
                assert arm is not None
                under_way[SHOP, arm.pool.name] += 1
            total += under_way[SHOP, "cheap"]
        return total / len(SEEDS)

    assert tries(counted=True) <= 0.85 * tries(counted=False)


def test_a_pool_that_half_of_the_time_does_not_answer_is_dearer() -> None:
    site = Site({CHEAP: 1.0}, seed=1)
    before = site.chooser.cost_usd(SHOP, CHEAP, 0.9, 0.0)
    for n in range(100):
        site.beliefs.reached("cheap", 0.0, answered=n % 2 == 0)
    assert site.chooser.cost_usd(SHOP, CHEAP, 0.9, 0.0) == pytest.approx(before * 1.8, rel=0.15)
