"""Who a request goes out as, and what its verdict teaches."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.errors import GatewayError
from scraper.proxies import gateway
from scraper.proxies.broker import (
    BUSY_WAIT_MAX_S,
    BUSY_WAIT_S,
    ROBOTS,
    Ask,
    Broker,
    Wait,
)
from scraper.proxies.choice import Terms
from scraper.proxies.circuits import FAILURES_TO_OPEN
from scraper.proxies.roster import Identity
from scraper.verdicts import BLOCKED, FAULT, GONE, RATE_LIMITED, SITE_ERROR, Verdict
from tests.proxies.brokers import (
    AWAY,
    BLOCK,
    DC,
    DENIED,
    DIRECT,
    GOOD_PAGE,
    HOME,
    OTHER,
    PAGE,
    SHOP,
    broker,
    end,
    go,
    page,
    refusal,
)

# --- evidence ----------------------------------------------------------------------------------------------------------


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


BARE = Verdict(BLOCKED, "status_403", kind="denied", proven=False)


def test_a_refusal_without_a_mark_counts_once_another_exit_gets_the_page() -> None:
    rules = broker(DC, HOME)
    before = rules.beliefs.shape(SHOP, "dc", 0.0)
    identity = go(rules, pool="dc")
    heard = end(rules, identity, BARE)
    assert identity.retired == "status_403"
    assert heard.refusal is not None
    assert rules.beliefs.shape(SHOP, "dc", 0.0) == before
    other = go(rules, pool="home")
    rules.heard(other, GOOD_PAGE, 0.0, n_bytes=PAGE, refusals=[heard.refusal])
    good, bad = rules.beliefs.shape(SHOP, "dc", 0.0)
    assert good / (good + bad) < before[0] / sum(before)


def test_a_refusal_counts_for_the_site_that_refused_wherever_the_page_was_found_at_last() -> None:
    rules = broker(DC, HOME)
    heard = end(rules, go(rules, pool="dc"), BARE)
    rules.heard(go(rules, site=OTHER, pool="home"), GOOD_PAGE, 0.0, n_bytes=PAGE, refusals=[heard.refusal])
    good, bad = rules.beliefs.shape(SHOP, "dc", 0.0)
    assert bad > good


def test_a_page_that_refuses_every_exit_accuses_none() -> None:
    rules = broker(DC, HOME)
    before = [rules.beliefs.shape(SHOP, name, 0.0) for name in ("dc", "home")]
    refusals = []
    for name in ("dc", "home", "dc"):
        identity = go(rules, pool=name)
        heard = rules.heard(identity, BARE, 0.0, n_bytes=BLOCK, refusals=refusals)
        refusals.append(heard.refusal)
    assert [rules.beliefs.shape(SHOP, name, 0.0) for name in ("dc", "home")] == before


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


def test_a_block_on_our_own_address_slows_us_since_no_identity_gives_another() -> None:
    rules = broker(DIRECT)
    heard = [end(rules, go(rules, float(n)), DENIED, float(n)) for n in range(1, 12, 2)]
    assert any(each.delay_s for each in heard)


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


# --- who goes ----------------------------------------------------------------------------------------------------------


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


# --- waiting -----------------------------------------------------------------------------------------------------------


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


# --- whatever happens --------------------------------------------------------------------------------------------------


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
