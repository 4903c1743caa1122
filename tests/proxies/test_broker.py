"""Who a request goes out as, and what a verdict teaches: all rules of the folder together, on a played clock."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.errors import BudgetSpent, GatewayError
from scraper.proxies import gateway
from scraper.proxies.beliefs import Beliefs, place_of
from scraper.proxies.broker import (
    BUSY_WAIT_MAX_S,
    BUSY_WAIT_S,
    LOOK_AGAIN_S,
    REDIRECT_WAIT_S,
    ROBOTS,
    Ask,
    Broker,
    Heard,
    Patience,
    Wait,
)
from scraper.proxies.choice import Terms
from scraper.proxies.circuits import EMPTIES_MAX, EMPTY_S, FAILURES_TO_OPEN, FINAL_OPEN_S, OPEN_S
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.ledger import Budget, Ledger
from scraper.proxies.pace import Pace
from scraper.proxies.pools import Pool
from scraper.proxies.roster import Identity, Limits, Roster
from scraper.proxies.stamina import Stamina
from scraper.verdicts import BLOCKED, FAULT, GONE, GOOD, RATE_LIMITED, SITE_ERROR, Verdict

SHOP, OTHER = "shop.example", "other.example"
PAGE, BLOCK = 40_000, 6_000
DEAD_AFTER = 20
GOOD_PAGE, DENIED = Verdict(GOOD, "ok"), Verdict(BLOCKED, "status_403", kind="denied")


def pool(name: str, usd: float, *countries: str, n: int = 1, kind: str = "gateway") -> Pool:
    return Pool(
        name, kind, usd, countries, tuple(Endpoint("http", f"{i}.{name}.example", 1) for i in range(n))
    )


DIRECT = Pool("direct", "direct")
DC = pool("dc", 0.5, n=4, kind="list")
HOME, AWAY = pool("home", 4.0, "us", "de"), pool("away", 5.0, "us", "de")


def broker(
    *pools: Pool, terms: Terms | None = None, budget: Budget | None = None, in_flight: int = 1, seed: int = 1
) -> Broker:
    chance = random.Random(seed)
    return Broker(
        pools=pools,
        terms=terms or Terms(),
        patience=Patience(for_cheaper_s=10.0, surest_from=4, dead_after=DEAD_AFTER),
        roster=Roster(Limits(in_flight, 480.0, 48.0), Stamina(100), chance),
        beliefs=Beliefs(),
        ledger=Ledger(budget or Budget()),
        pace=Pace(1.0, 30.0),
        chance=chance,
    )


def refusal(kind: str) -> Verdict:
    """As bans judges a gateway's refusal of that class."""
    return Verdict(FAULT, f"gateway_{kind}", kind=kind, evidence="pool answered 4xx")


def go(rules: Broker, now_s: float = 0.0, site: str = SHOP, **wish: object) -> Identity:
    found = rules.lease(Ask(site, **wish), now_s)  # type: ignore[arg-type]  # fields of Ask, by name
    assert isinstance(found, Identity), found
    return found


def end(
    rules: Broker, identity: Identity, verdict: Verdict, now_s: float = 0.0, *, answered: bool | None = None
) -> Heard:
    """As the middleware does: the lease ends first, then the verdict is heard."""
    rules.release(identity.id, now_s)
    came = verdict.outcome != FAULT if answered is None else answered
    return rules.heard(
        identity, verdict, now_s, n_bytes=PAGE if verdict.outcome == GOOD else BLOCK, answered=came
    )


def page(
    rules: Broker, now_s: float = 0.0, verdict: Verdict = GOOD_PAGE, site: str = SHOP, **wish: object
) -> Identity:
    identity = go(rules, now_s, site, **wish)
    end(rules, identity, verdict, now_s)
    return identity


# --- evidence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(GONE, "status_404"),
        Verdict(SITE_ERROR, "status_503"),
        Verdict(RATE_LIMITED, "status_429"),
        *(refusal(kind) for kind in gateway.CLASSES),
        Verdict(FAULT, "timeout"),
        Verdict(FAULT, "body_cut", kind="body_cut"),
    ],
    ids=lambda verdict: verdict.rule,
)
def test_no_evidence_changes_no_belief_about_a_pool_at_a_site(verdict: Verdict) -> None:
    rules = broker(HOME)
    page(rules)
    before = rules.beliefs.shape(SHOP, "home", 0.0)
    page(rules, verdict=verdict)
    assert rules.beliefs.shape(SHOP, "home", 0.0) == before


def test_a_block_retires_the_identity_and_a_404_or_a_429_keeps_it() -> None:
    rules = broker(HOME)
    for verdict, kept in (
        (GOOD_PAGE, True),
        (Verdict(GONE, "status_404"), True),
        (Verdict(RATE_LIMITED, "status_429"), True),
        (Verdict(SITE_ERROR, "status_500"), True),
        (DENIED, False),
    ):
        identity = page(rules, verdict=verdict)
        assert (rules.roster.get(identity.id) is identity) == kept
    assert identity.retired == "status_403"


def test_a_block_is_waste_and_a_missing_page_is_not() -> None:
    rules = broker(HOME)
    for verdict in (GOOD_PAGE, Verdict(GONE, "status_404"), DENIED):
        page(rules, verdict=verdict)
    assert rules.ledger.take()["proxies/bytes_wasted"] == BLOCK


def test_a_row_of_tired_identities_slows_the_site_down_and_one_429_does_at_once() -> None:
    rules = broker(HOME)
    assert end(rules, go(rules, site=OTHER), Verdict(RATE_LIMITED, "status_429")).delay_s == 1.25
    told = []
    for n in range(3):
        for _ in range(10):
            page(rules, n * 20.0)
        told.append(end(rules, go(rules, n * 20.0), DENIED, n * 20.0).delay_s)
    assert told[:2] == [None, None]
    assert rules.roster.stamina.pages(SHOP, "home") < 10


# --- who goes ---------------------------------------------------------------------------------------------------------


def test_a_pool_on_request_is_used_by_those_that_name_it_only() -> None:
    named = replace(HOME, on_request=True)
    rules = broker(DC, named)
    assert {page(rules).arm.pool for _ in range(20)} == {DC}
    assert page(rules, pool="home").arm.pool == named


def test_a_country_that_is_asked_for_is_never_another() -> None:
    rules = broker(DC, HOME)
    first = page(rules, country="de")
    assert (first.arm.pool, first.arm.country) == (HOME, "de")
    assert page(rules, country="us", keep=first.id).arm.country == "us"
    with pytest.raises(GatewayError, match="impossible"):
        rules.lease(Ask(SHOP, country="fr"), 0.0)


def test_a_sticky_key_is_one_identity_that_waits_for_itself() -> None:
    rules = broker(HOME)
    first = go(rules, sticky="basket")
    found = rules.lease(Ask(SHOP, sticky="basket"), 0.0)
    assert isinstance(found, Wait)
    assert found.why == "sticky_busy"
    end(rules, first, GOOD_PAGE)
    assert go(rules) is not first
    assert go(rules, sticky="basket") is first
    assert go(rules, site=OTHER, sticky="basket") is not first


def test_a_sticky_key_that_asks_for_another_country_gets_that_country() -> None:
    rules = broker(HOME, AWAY)
    page(rules, sticky="basket", country="us", pool="home")
    assert page(rules, sticky="basket", country="de").arm.country == "de"
    assert page(rules, sticky="basket", pool="away").arm.pool == AWAY


def test_a_request_for_a_fresh_exit_gets_one_that_nobody_used_or_will() -> None:
    rules = broker(HOME)
    first = page(rules)
    fresh = page(rules, fresh=True)
    assert fresh is not first
    assert fresh.retired == "fresh"
    assert page(rules, fresh=True) is not fresh


def test_a_request_goes_on_with_its_identity_after_a_redirect_or_a_429() -> None:
    rules = broker(HOME)
    first, second = go(rules), go(rules)
    end(rules, first, Verdict(RATE_LIMITED, "status_429"))
    end(rules, second, GOOD_PAGE)
    assert go(rules, keep=first.id) is first


def test_a_lost_session_is_followed_by_a_new_one_of_the_same_pool_without_blame() -> None:
    rules = broker(HOME)
    page(rules)
    for _ in range(3 * FAILURES_TO_OPEN):
        lost = page(rules, verdict=refusal(gateway.SESSION_LOST))
        assert go(rules) is not lost
    assert rules.beliefs.answers("home", 0.0) == 1.0
    assert not rules.circuits.of(HOME).opens


# --- pools that fail --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [gateway.CONFIG, gateway.ACCOUNT])
@pytest.mark.parametrize("at_once", [1, 16])
def test_a_wrong_password_or_an_empty_account_costs_at_most_three_requests(kind: str, at_once: int) -> None:
    """A quarter of an hour of requests, sticky ones too, with a second pool that works."""
    rules, costs, now_s, keys = broker(DC, HOME), 0, 0.0, iter(range(10**6))
    while now_s < FINAL_OPEN_S:
        leased = [
            found
            for n in range(at_once)
            if isinstance(
                found := rules.lease(Ask(SHOP, sticky=str(next(keys)) if n % 2 else ""), now_s), Identity
            )
        ]
        for identity in leased:
            bad = identity.arm.pool == DC
            costs += bad
            end(rules, identity, refusal(kind) if bad else GOOD_PAGE, now_s, answered=not bad)
        assert leased
        now_s += 10.0
    assert 1 <= costs <= 3


def test_an_account_that_runs_dry_is_not_tried_again_by_sticky_identities() -> None:
    rules = broker(HOME, AWAY)
    for n in range(10):
        page(rules, sticky=str(n), pool="home")
    end(rules, go(rules, sticky="0"), refusal(gateway.ACCOUNT))
    assert {page(rules, sticky=str(n)).arm.pool for n in range(1, 10)} == {AWAY}


def test_when_one_provider_goes_down_the_other_takes_over_and_hands_back() -> None:
    rules, used = broker(HOME, AWAY), []
    for n in range(200):
        now_s = n * 0.5
        down = 10.0 <= now_s < 30.0
        identity = go(rules, now_s)
        fails = down and identity.arm.pool == HOME
        end(rules, identity, refusal("unreachable") if fails else GOOD_PAGE, now_s, answered=not fails)
        used.append((now_s, identity.arm.pool.name, fails))
    assert sum(fails for *_, fails in used) <= FAILURES_TO_OPEN + 2
    assert {name for now_s, name, _ in used if 20 <= now_s < 24} == {"away"}
    assert Counter(name for now_s, name, _ in used if now_s >= 80)["home"] >= 30


def test_nobody_waits_for_the_one_request_that_tries_a_failed_pool_again() -> None:
    dear = replace(AWAY, usd_per_gb=40.0)
    rules = broker(HOME, dear)
    for _ in range(3):
        page(rules, pool="home")
        page(rules, pool="away")
    for _ in range(FAILURES_TO_OPEN):
        end(rules, go(rules, pool="home"), refusal("unreachable"), answered=False)
    trying = go(rules, OPEN_S, pool="home")
    assert all(go(rules, OPEN_S).arm.pool == dear for _ in range(10))
    end(rules, trying, GOOD_PAGE, OPEN_S)


def test_where_all_pools_rest_a_request_waits_until_the_first_comes_back() -> None:
    rules = broker(HOME)
    page(rules)
    for _ in range(FAILURES_TO_OPEN):
        end(rules, go(rules), refusal("unreachable"), answered=False)
    assert rules.lease(Ask(SHOP), 1.0) == Wait(OPEN_S, "pools_rest")


def test_a_site_that_a_gateway_forbids_goes_through_the_other_and_waits_for_it_while_it_rests() -> None:
    rules = broker(HOME, AWAY)
    page(rules, pool="home")
    page(rules, pool="away")
    page(rules, verdict=refusal(gateway.FORBIDDEN), pool="home")
    assert {page(rules).arm.pool for _ in range(20)} == {AWAY}
    assert page(rules, site=OTHER, pool="home").arm.pool == HOME
    for _ in range(FAILURES_TO_OPEN):
        end(rules, go(rules, pool="away"), refusal("unreachable"), answered=False)
    assert rules.lease(Ask(SHOP), 1.0) == Wait(OPEN_S, "pools_rest")
    with pytest.raises(GatewayError, match="impossible"):
        rules.lease(Ask(SHOP, pool="home"), 1e6)


def test_no_exit_in_a_country_relaxes_to_the_others_that_the_spider_allows_and_to_none_that_was_asked_for() -> (
    None
):
    rules = broker(HOME, terms=Terms(countries=("us", "de")))
    for _ in range(3):
        rules.beliefs.geo(SHOP, place_of("", "home"), 0.0)
        rules.beliefs.good(SHOP, "home", "de", PAGE, 0.0)
    end(rules, go(rules, country="de"), refusal(gateway.NO_EXIT), answered=False)
    assert {page(rules, 1.0).arm.country for _ in range(20)} <= {"us", ""}
    assert isinstance(rules.lease(Ask(SHOP, country="de"), 1.0), Wait), "it may have one again soon"
    for n in range(1, EMPTIES_MAX):
        identity = go(rules, n * (EMPTY_S + 1), country="de")
        end(rules, identity, refusal(gateway.NO_EXIT), n * (EMPTY_S + 1), answered=False)
    with pytest.raises(GatewayError, match="no_exit"):
        rules.lease(Ask(SHOP, country="de"), EMPTIES_MAX * EMPTY_S)
    page(rules, EMPTIES_MAX * (EMPTY_S + 1), country="de")
    end(rules, go(rules, 400.0, country="de"), refusal(gateway.NO_EXIT), 400.0, answered=False)
    assert isinstance(rules.lease(Ask(SHOP, country="de"), 401.0), Wait), "it had one in between"


def test_our_own_address_takes_as_many_requests_at_once_as_the_crawl_has() -> None:
    rules = broker(DIRECT, HOME)
    page(rules, pool="direct")
    leased = [rules.lease(Ask(SHOP, pool="direct"), 0.0) for _ in range(16)]
    assert all(isinstance(each, Identity) for each in leased)


def test_who_waits_for_room_asks_less_and_less_often_and_not_all_at_once() -> None:
    rules = broker(replace(HOME, threads=1))
    page(rules)
    go(rules)
    waits = [rules.lease(Ask(SHOP, waits=n), 0.0) for n in range(12)]
    ends = [each.until_s for each in waits if isinstance(each, Wait)]
    assert len(ends) == 12
    assert ends[0] <= BUSY_WAIT_S
    assert BUSY_WAIT_MAX_S / 2 <= ends[-1] <= BUSY_WAIT_MAX_S
    assert len(set(ends[6:])) > 1


def test_a_page_whose_pools_rest_for_long_looks_again_since_they_may_have_been_changed() -> None:
    rules = broker(HOME, AWAY)
    page(rules)
    for pool in ("home", "away"):
        fail(rules, FAILURES_TO_OPEN + 4, now_s=1.0, pool=pool)
    found = rules.lease(Ask(SHOP), 2.0)
    assert isinstance(found, Wait)
    assert found.until_s <= 2.0 + LOOK_AGAIN_S


def test_a_block_on_our_own_address_slows_us_since_no_identity_gives_another() -> None:
    rules = broker(DIRECT)
    heard = [end(rules, go(rules, float(n)), DENIED, float(n)) for n in range(1, 12, 2)]
    assert any(each.delay_s for each in heard)


def test_a_gateway_that_is_crowded_gets_fewer_requests_and_no_blame() -> None:
    rules = broker(HOME)
    page(rules)
    leased = [go(rules) for _ in range(16)]
    for identity in leased[5:]:
        end(rules, identity, refusal(gateway.CAPACITY), answered=False)
    assert isinstance(rules.lease(Ask(SHOP), 0.0), Wait)
    for identity in leased[:5]:
        end(rules, identity, GOOD_PAGE)
    free = [found for _ in range(16) if isinstance(found := rules.lease(Ask(SHOP), 1.0), Identity)]
    assert 3 <= len(free) <= 5
    assert rules.beliefs.answers("home", 1.0) == 1.0


def test_threads_that_were_bought_are_never_passed_not_by_sticky_keys_or_redirects_either() -> None:
    narrow = replace(HOME, threads=3)
    rules = broker(narrow)
    kept = [page(rules, sticky=str(n)) for n in range(8)]
    kept += [go(rules) for _ in range(3)]
    for identity in kept[8:]:
        end(rules, identity, GOOD_PAGE)
    asks = [Ask(SHOP, sticky=str(n)) for n in range(8)] + [Ask(SHOP, keep=each.id) for each in kept[8:]]
    found = [rules.lease(ask, 1.0) for ask in asks]
    assert sum(isinstance(each, Identity) for each in found) == 3
    assert {each.why for each in found if isinstance(each, Wait)} == {"no_room"}


# --- waiting ----------------------------------------------------------------------------------------------------------


def cooled() -> Broker:
    """A cheap list of which every proxy was blocked at the shop, and a dear gateway."""
    rules = broker(DC, HOME)
    for _ in range(3):
        page(rules, pool="home")
    for n in range(40):
        page(rules, site=f"{n}.example", pool="dc")
        rules.beliefs.good(SHOP, "dc", "", PAGE, 0.0)
    for identity in [go(rules, pool="dc") for _ in range(4)]:
        rules.roster.retire(identity.id, "status_403", 0.0, cool_s=5.0)
    return rules


def test_a_page_waits_for_a_cheap_exit_that_rests_a_little_and_no_longer_than_the_setting() -> None:
    rules = cooled()
    assert rules.lease(Ask(SHOP), 1.0) == Wait(5.0, "exits_rest")
    assert go(rules, 1.0, waited_s=9.0).arm.pool == HOME
    assert go(rules, 5.0).arm.pool == DC


def test_a_pool_that_was_asked_for_is_taken_as_a_last_resort_though_all_its_exits_rest() -> None:
    rules = cooled()
    assert isinstance(rules.lease(Ask(SHOP, pool="dc"), 1.0), Wait)
    assert go(rules, 1.0, pool="dc", waited_s=9.0).arm.pool == DC


def test_one_refusal_in_a_hundred_does_not_drive_the_pages_to_the_dear_pool() -> None:
    rules, chance, used, now_s = broker(DC, HOME), random.Random(3), Counter[str](), 0.0
    for _ in range(1500):
        waited_s = 0.0
        while isinstance(found := rules.lease(Ask(SHOP, waited_s=waited_s), now_s), Wait):
            waited_s += found.until_s - now_s
            now_s = found.until_s
        now_s += 1.0
        used[found.arm.pool.name] += 1
        end(rules, found, DENIED if chance.random() < 0.01 else GOOD_PAGE, now_s)
    assert used["home"] / 1500 <= 0.05


# --- the end of a run -------------------------------------------------------------------------------------------------


def fail(
    rules: Broker, times: int, kind: str = "unreachable", now_s: float = 0.0, pool: str = ""
) -> Sequence[Heard]:
    """So many tries, each at the moment at which one is allowed."""
    heard = []
    for _ in range(times):
        while isinstance(found := rules.lease(Ask(SHOP, pool=pool), now_s), Wait):
            now_s = found.until_s
        heard.append(end(rules, found, refusal(kind), now_s, answered=False))
        now_s += 1.0
    return heard


def test_a_run_whose_pools_never_answered_ends_as_soon_as_all_of_them_rest() -> None:
    heard = fail(broker(HOME), FAILURES_TO_OPEN)
    assert [bool(each.dead) for each in heard] == [False] * 4 + [True]
    assert heard[-1].opened == "home"


def test_a_run_whose_pools_answered_once_ends_after_twenty_tries_in_a_row() -> None:
    rules = broker(HOME, AWAY)
    page(rules, pool="home")
    page(rules, pool="away")
    heard = fail(rules, DEAD_AFTER)
    assert [bool(each.dead) for each in heard] == [False] * (DEAD_AFTER - 1) + [True]


def test_a_run_ends_when_every_pool_refuses_our_password() -> None:
    rules = broker(HOME, AWAY)
    assert [bool(each.dead) for each in fail(rules, 2, gateway.CONFIG)] == [False, True]


def test_a_dead_pool_that_one_page_named_does_not_end_the_run() -> None:
    rules = broker(DC, replace(HOME, on_request=True))
    page(rules)
    (heard,) = fail(rules, 1, gateway.CONFIG, pool="home")
    assert not heard.dead
    with pytest.raises(GatewayError, match="impossible"):
        rules.lease(Ask(SHOP, pool="home"), 1.0)


def test_a_run_goes_on_while_our_own_address_gets_pages() -> None:
    rules, now_s = broker(DIRECT, HOME), 0.0
    page(rules, pool="home")
    for _ in range(2 * DEAD_AFTER):
        (heard,) = fail(rules, 1, now_s=now_s, pool="home")
        assert not heard.dead
        now_s = max(now_s, rules.circuits.of(HOME).rests_until_s)
        page(rules, now_s, pool="direct")


def test_a_site_that_is_down_is_not_held_against_the_pools() -> None:
    rules = broker(HOME)
    page(rules)
    for n in range(3 * DEAD_AFTER):
        for verdict in (Verdict(FAULT, "timeout"), refusal(gateway.TARGET)):
            heard = end(rules, go(rules, n, OTHER), verdict, n, answered=False)
            assert not heard.dead
            assert not heard.opened


def test_a_pool_that_never_said_a_word_is_silent_itself() -> None:
    rules = broker(HOME, AWAY)
    page(rules, pool="away")
    heard = [end(rules, go(rules, pool="home"), Verdict(FAULT, "timeout"), answered=False) for _ in range(5)]
    assert heard[-1].opened == "home"


@pytest.mark.parametrize(
    ("budget", "rule"), [(Budget(usd=0.01), "budget"), (Budget(site_usd=0.01), "site_budget")]
)
def test_nothing_more_goes_out_once_a_budget_is_spent(budget: Budget, rule: str) -> None:
    rules = broker(HOME, budget=budget)
    rules.ledger.spent(SHOP, HOME, "", 2_500_000)
    with pytest.raises(BudgetSpent, match=r"0\.0100") as spent:
        rules.lease(Ask(SHOP, keep="home-1", sticky="basket"), 0.0)
    assert spent.value.rule == rule
    if rule == "site_budget":
        assert go(rules, site=OTHER)


def test_near_the_end_of_a_budget_the_cheapest_pool_is_asked_however_often_it_is_blocked() -> None:
    rules = broker(DC, HOME, budget=Budget(usd=1.0))
    for _ in range(60):
        rules.beliefs.good(SHOP, "home", "", PAGE, 0.0)
        for _ in range(2):
            rules.beliefs.blocked(SHOP, "dc", BLOCK, 0.0)
        rules.beliefs.good(SHOP, "dc", "", PAGE, 0.0)
    assert Counter(page(rules).arm.pool.name for _ in range(50))["home"] > 40
    rules.ledger.spent(SHOP, HOME, "", 210_000_000)
    assert Counter(page(rules).arm.pool.name for _ in range(50))["dc"] > 45


# --- other pools ------------------------------------------------------------------------------------------------------


def test_pools_that_changed_are_taken_up_without_touching_what_is_under_way() -> None:
    rules = broker(HOME, AWAY)
    under_way, kept = go(rules, pool="home"), page(rules, pool="away")
    assert rules.set_pools([DC, replace(HOME, usd_per_gb=3.0), AWAY], 1.0) == ({"dc", "home"}, set())
    assert not under_way.retired
    assert page(rules, 1.0, pool="away") is kept
    end(rules, under_way, GOOD_PAGE, 2.0)
    assert [each.retired for each in rules.roster.retired if each is under_way] == ["pool_changed"]
    assert page(rules, 2.0, pool="home").arm.pool.usd_per_gb == 3.0
    assert rules.set_pools([DC], 3.0) == (set(), {"home", "away"})
    assert page(rules, 3.0).arm.pool == DC


def test_a_mended_password_is_tried_as_soon_as_the_pools_are_read_again() -> None:
    rules = broker(HOME, AWAY)
    fail(rules, 1, gateway.CONFIG, pool="home")
    with pytest.raises(GatewayError, match="impossible"):
        rules.lease(Ask(SHOP, pool="home"), 1.0)
    rules.set_pools(
        [replace(HOME, endpoints=(replace(HOME.endpoints[0], password="mended-example"),)), AWAY], 1.0
    )
    assert go(rules, 1.0, pool="home")


# --- whatever happens -------------------------------------------------------------------------------------------------

VERDICTS = [
    GOOD_PAGE, DENIED, Verdict(BLOCKED, "geo", kind="geo"), Verdict(GONE, "status_404"),
    Verdict(RATE_LIMITED, "status_429"), Verdict(SITE_ERROR, "status_503"), Verdict(FAULT, "timeout"),
    *(refusal(kind) for kind in (*gateway.CLASSES, "unreachable")),
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([SHOP, OTHER]),
            st.sampled_from(["", "", "", "home", "dc"]),
            st.sampled_from(["", "", "", "de"]),
            st.sampled_from(["", "", "k"]),
            st.booleans(),
            st.integers(1, 6),
            st.sampled_from(VERDICTS),
            st.sampled_from([0.0, 1.0, 20.0]),
        ),
        max_size=60,
    ),
    in_flight=st.integers(1, 2),
)
def test_whatever_happens_a_request_gets_what_it_asked_for_or_waits_or_is_told_no(
    steps: list[tuple[str, str, str, str, bool, int, Verdict, float]], in_flight: int
) -> None:
    rules = broker(
        DIRECT, DC, replace(HOME, threads=4), AWAY, terms=Terms(countries=("us", "de")), in_flight=in_flight
    )
    now_s, under_way = 0.0, list[tuple[Identity, Verdict]]()
    for site, name, country, sticky, fresh, attempt, verdict, after_s in steps:
        now_s += after_s
        ask = Ask(site, pool=name, country=country, sticky=sticky, fresh=fresh, attempt=attempt)
        try:
            found = rules.lease(ask, now_s)
        except GatewayError:
            asked = [each for each in rules.pools if name in ("", each.name)]
            circuits = [rules.circuits.of(each) for each in asked]
            assert country or all(site in each.forbidden or each.final for each in circuits)
            found = Wait(now_s, "")
        if isinstance(found, Identity):
            assert found.site == site
            assert found.sticky == sticky
            assert name in ("", found.arm.pool.name)
            assert country in ("", found.arm.country)
            assert rules.circuits.of(found.arm.pool).rests_until_s <= now_s
            assert rules.roster.through(HOME) <= 4
            under_way.append((found, verdict))
        elif not found.why:
            continue
        else:
            assert found.until_s > now_s
        if len(under_way) > 5:
            identity, heard = under_way.pop(0)
            if rules.roster.get(identity.id):
                end(rules, identity, heard, now_s)


def test_an_open_robots_txt_says_nothing_about_the_pages_and_a_refused_one_does() -> None:
    rules = broker(DC, HOME)
    unknown = rules.beliefs.shape(SHOP, "dc", 0.0)
    identity = go(rules, pool="dc")
    rules.release(identity.id, 0.0)
    rules.heard(identity, GOOD_PAGE, 0.0, visit=ROBOTS)
    assert rules.beliefs.shape(SHOP, "dc", 0.0) == unknown
    assert not identity.right
    identity = go(rules, pool="dc")
    rules.release(identity.id, 0.0)
    rules.heard(identity, DENIED, 0.0, visit=ROBOTS)
    assert rules.beliefs.shape(SHOP, "dc", 0.0)[1] > unknown[1]


def test_the_last_tries_at_a_page_go_where_it_was_not_blocked_twice_however_welcome_that_pool_was() -> None:
    rules = broker(DC, HOME)
    for n in range(100):
        page(rules, float(n), pool="dc")
    for _ in range(20):
        found = rules.lease(Ask(SHOP, attempt=4, blocked_by={"dc": 2}), 200.0)
        assert isinstance(found, Identity)
        assert found.arm.pool.name == "home"
        rules.release(found.id, 200.0)
    only = rules.lease(Ask(SHOP, pool="dc", attempt=4, blocked_by={"dc": 2}), 200.0)
    assert isinstance(only, Identity), "where there is no other"


def test_a_redirect_waits_for_its_own_identity_which_another_page_took_and_not_for_ever() -> None:
    rules = broker(HOME)
    first = page(rules)
    assert go(rules) is first
    assert isinstance(rules.lease(Ask(SHOP, keep=first.id, redirected=True), 0.0), Wait)
    late = rules.lease(Ask(SHOP, keep=first.id, redirected=True, waited_s=REDIRECT_WAIT_S), 0.0)
    assert isinstance(late, Identity)
    assert late is not first
    retry = rules.lease(Ask(SHOP, keep=first.id), 0.0)
    assert isinstance(retry, Identity), "a retry has nothing to lose"
