"""Pools that fail, budgets that are spent, runs that have to end, pools that are changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from scraper.errors import BudgetSpent, GatewayError
from scraper.proxies import gateway
from scraper.proxies.beliefs import place_of
from scraper.proxies.broker import (
    LOOK_AGAIN_S,
    Ask,
    Wait,
)
from scraper.proxies.choice import Terms
from scraper.proxies.circuits import EMPTIES_MAX, EMPTY_S, FAILURES_TO_OPEN, FINAL_OPEN_S, OPEN_S
from scraper.proxies.ledger import Budget
from scraper.proxies.roster import Identity
from scraper.verdicts import FAULT, Verdict
from tests.proxies.brokers import (
    AWAY,
    BLOCK,
    DC,
    DEAD_AFTER,
    DIRECT,
    GOOD_PAGE,
    HOME,
    OTHER,
    PAGE,
    SHOP,
    broker,
    end,
    fail,
    go,
    page,
    refusal,
)

# --- pools that fail ---------------------------------------------------------------------------------------------------


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


def test_a_page_whose_pools_rest_for_long_looks_again_since_they_may_have_been_changed() -> None:
    rules = broker(HOME, AWAY)
    page(rules)
    for pool in ("home", "away"):
        fail(rules, FAILURES_TO_OPEN + 4, now_s=1.0, pool=pool)
    found = rules.lease(Ask(SHOP), 2.0)
    assert isinstance(found, Wait)
    assert found.until_s <= 2.0 + LOOK_AGAIN_S


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


# --- the end of a run --------------------------------------------------------------------------------------------------


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


# --- other pools -------------------------------------------------------------------------------------------------------


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
