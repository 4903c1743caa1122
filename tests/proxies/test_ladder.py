"""A site is asked through the cheapest pool that still gets pages."""

from __future__ import annotations

from scraper.proxies.ladder import Arm, Ladder
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.pools import Pool
from scraper.verdicts import BLOCKED, FAULT, GONE, GOOD, Verdict

CHEAP = Pool("cheap", "list", 0.5, endpoints=(Endpoint("http", "a.example", 1),))
HOME = Pool(
    "home", "gateway", 3.0, ("us", "de"), (Endpoint("http", "b.example", 1),), "-{country}", "-{session}"
)
PHONE = Pool(
    "phone", "gateway", 8.0, ("us", "de"), (Endpoint("http", "c.example", 1),), "-{country}", "-{session}"
)
BLOCK, GEO = Verdict(BLOCKED, "status_403"), Verdict(BLOCKED, "geo_wall", kind="geo")


def ladder(*countries: str) -> Ladder:
    return Ladder([CHEAP, HOME, PHONE], patience=2, countries=countries)


def arm(rules: Ladder, site: str = "shop.example", **asks: str) -> Arm:
    found = rules.arm(site, 0.0, **asks)
    assert found is not None
    return found


def test_blocks_in_a_row_spend_a_pool_for_that_site_and_no_other() -> None:
    rules = ladder()
    for _ in range(2):
        rules.report("shop.example", Arm(CHEAP), BLOCK)
    assert arm(rules).pool is HOME
    assert arm(rules, "other.example").pool is CHEAP


def test_a_good_page_between_two_blocks_keeps_the_pool() -> None:
    rules = ladder()
    for verdict in (BLOCK, Verdict(GOOD, "good"), BLOCK):
        rules.report("shop.example", Arm(CHEAP), verdict)
    assert arm(rules).pool is CHEAP


def test_a_404_and_a_fault_say_nothing_about_the_pool() -> None:
    rules = ladder()
    for verdict in [Verdict(GONE, "status_404"), Verdict(FAULT, "timeout")] * 5:
        rules.report("shop.example", Arm(CHEAP), verdict)
    assert arm(rules).pool is CHEAP


def test_late_news_about_a_pool_already_left_spend_no_other() -> None:
    rules = ladder()
    for _ in range(4):
        rules.report("shop.example", Arm(CHEAP), BLOCK)
    assert arm(rules).pool is HOME


def test_blocks_count_wherever_the_request_went() -> None:
    """A request that asks for a country the cheapest pool lacks begins at the next pool, and still goes on from there."""
    rules = ladder()
    for _ in range(2):
        rules.report("shop.example", Arm(HOME, "us"), BLOCK)
    assert arm(rules, country="us") == Arm(PHONE, "us")
    assert arm(rules).pool is CHEAP


def test_a_pool_can_be_skipped_once_without_being_spent() -> None:
    rules = ladder()
    skipped = rules.arm("shop.example", 0.0, skip=["cheap"])
    assert skipped == Arm(HOME)
    assert arm(rules).pool is CHEAP


def test_the_dearest_pool_is_the_end() -> None:
    rules = ladder()
    for pool in (CHEAP, HOME, PHONE, PHONE):
        for _ in range(2):
            rules.report("shop.example", Arm(pool), BLOCK)
    assert arm(rules).pool is PHONE


def test_a_geo_wall_walks_through_the_spiders_countries_at_the_cheapest_pool_that_has_them() -> None:
    rules = ladder("us", "de")
    rules.report("shop.example", Arm(CHEAP), GEO)
    assert arm(rules) == Arm(HOME, "us")
    rules.report("shop.example", Arm(CHEAP), GEO)  # late news
    rules.report("shop.example", Arm(HOME, "us"), GEO)
    assert arm(rules) == Arm(HOME, "de")


def test_without_countries_a_geo_wall_is_a_block_like_any_other() -> None:
    rules = ladder()
    for _ in range(2):
        rules.report("shop.example", Arm(CHEAP), GEO)
    assert arm(rules) == Arm(HOME)


def test_a_gateway_that_refuses_a_site_serves_the_others() -> None:
    rules = ladder()
    rules.forbid("shop.example", CHEAP)
    assert arm(rules).pool is HOME
    assert arm(rules, "other.example").pool is CHEAP
    for pool in (HOME, PHONE):
        rules.forbid("shop.example", pool)
    assert rules.arm("shop.example", 0.0) is None
    assert not rules.hopeless()


def test_a_request_may_ask_for_pool_and_country() -> None:
    assert arm(ladder(), pool="phone").pool is PHONE
    assert arm(ladder(), country="de") == Arm(HOME, "de")
    assert ladder().arm("shop.example", 0.0, country="fr") is None


def test_a_pool_that_never_answers_is_left_alone_and_comes_back() -> None:
    rules = ladder()
    opened = [rules.failed(CHEAP, 0.0) for _ in range(Ladder.FAILURES_TO_OPEN)]
    assert opened[-1]
    assert not any(opened[:-1])
    assert arm(rules).pool is HOME
    back = rules.arm("shop.example", Ladder.OPEN_S + 1)
    assert back is not None
    assert back.pool is CHEAP


def test_a_wrong_password_closes_a_pool_at_once_and_for_longer() -> None:
    rules = ladder()
    assert rules.failed(CHEAP, 0.0, final=True)
    still = rules.arm("shop.example", Ladder.OPEN_S + 1)
    assert still is not None
    assert still.pool is HOME


def test_it_is_known_when_a_resting_pool_comes_back() -> None:
    rules = ladder()
    assert rules.resting_until_s(0.0) is None
    for pool in (CHEAP, HOME, PHONE):
        for _ in range(Ladder.FAILURES_TO_OPEN):
            rules.failed(pool, 10.0)
    assert rules.resting_until_s(11.0) == 10.0 + Ladder.OPEN_S
    assert rules.resting_until_s(10.0 + Ladder.OPEN_S) is None
    assert rules.resting_until_s(11.0, pool="home") == 10.0 + Ladder.OPEN_S


def test_with_every_pool_closed_there_is_no_arm_and_never_our_own_address() -> None:
    rules = ladder()
    for pool in (CHEAP, HOME, PHONE):
        rules.failed(pool, 0.0, final=True)
    assert rules.arm("shop.example", 1.0) is None


def test_only_refusals_that_waiting_does_not_change_make_all_pools_hopeless() -> None:
    rules = ladder()
    rules.failed(CHEAP, 0.0, final=True)
    rules.failed(HOME, 0.0, final=True)
    for _ in range(Ladder.FAILURES_TO_OPEN):
        rules.failed(PHONE, 0.0)
    assert not rules.hopeless()
    rules.failed(PHONE, 99.0, final=True)
    assert rules.hopeless()
    rules.answered(CHEAP)
    assert not rules.hopeless()
