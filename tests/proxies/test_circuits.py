"""Which pools can be asked: those that answer, have room, and do not refuse the site or the country."""

from __future__ import annotations

from scraper.proxies.circuits import (
    EMPTY_S,
    FAILURES_TO_OPEN,
    FINAL_OPEN_S,
    GROW_AFTER,
    OPEN_MAX_S,
    OPEN_S,
    UNPROVEN_ROOM,
    Circuits,
)
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.pools import Pool

HOME = Pool("home", "gateway", 3.0, ("us", "de"), (Endpoint("http", "g.example", 1),))
BOUGHT = Pool("bought", "gateway", 3.0, (), (Endpoint("http", "g.example", 1),), threads=4)
SHOP = "shop.example"


def may(circuits: Circuits, now_s: float, pool: Pool = HOME, site: str = SHOP, country: str = "") -> bool:
    return circuits.may(pool, site, country, now_s)


def opened(circuits: Circuits, now_s: float = 0.0, pool: Pool = HOME) -> bool:
    return [circuits.failed(pool, now_s) for _ in range(FAILURES_TO_OPEN)][-1]


def test_a_pool_that_fails_five_times_in_a_row_is_left_alone_for_a_while() -> None:
    circuits = Circuits()
    assert [circuits.failed(HOME, 0.0) for _ in range(FAILURES_TO_OPEN)] == [False] * 4 + [True]
    assert not may(circuits, OPEN_S - 0.1)
    assert may(circuits, OPEN_S)


def test_failures_with_an_answer_between_are_not_in_a_row() -> None:
    circuits = Circuits()
    for n in range(40):
        assert not circuits.failed(HOME, float(n))
        if n % 4 == 3:
            circuits.answered(HOME, float(n))


def test_one_request_tries_whether_it_works_again_and_an_answer_opens_it_for_all() -> None:
    circuits = Circuits()
    circuits.answered(HOME, 0.0)
    opened(circuits)
    circuit = circuits.of(HOME)
    assert circuit.room(HOME, 0) == 1
    assert circuit.room(HOME, 1) == 0
    circuits.answered(HOME, OPEN_S)
    assert circuit.room(HOME, 500) > 0


def test_each_failed_trial_doubles_the_rest_up_to_five_minutes() -> None:
    circuits, now_s, rests_s = Circuits(), 0.0, []
    opened(circuits)
    for _ in range(8):
        now_s = circuits.of(HOME).rests_until_s
        assert circuits.failed(HOME, now_s)
        rests_s.append(circuits.of(HOME).rests_until_s - now_s)
    assert rests_s[:3] == [2 * OPEN_S, 4 * OPEN_S, 8 * OPEN_S]
    assert rests_s[-1] == OPEN_MAX_S


def test_a_wrong_password_is_left_alone_at_once_and_costs_two_requests() -> None:
    circuits = Circuits()
    assert circuits.of(HOME).room(HOME, 0) == UNPROVEN_ROOM == 2
    assert circuits.of(HOME).room(HOME, 2) == 0
    assert circuits.failed(HOME, 0.0, final=True)
    assert not circuits.failed(HOME, 0.1, final=True), "told once"
    assert not may(circuits, FINAL_OPEN_S - 1)
    assert circuits.hopeless([HOME])
    assert not circuits.hopeless([HOME, BOUGHT])


def test_an_answer_of_a_tunnel_from_before_does_not_say_that_the_account_is_paid_again() -> None:
    circuits = Circuits()
    circuits.answered(HOME, 0.0)
    circuits.failed(HOME, 1.0, final=True)
    circuits.answered(HOME, 1.1)
    assert circuits.hopeless([HOME])
    assert circuits.of(HOME).room(HOME, 0) == 1, "after the rest one request tries"


def test_threads_that_were_bought_are_never_passed() -> None:
    circuits = Circuits()
    circuits.answered(BOUGHT, 0.0)
    assert circuits.of(BOUGHT).room(BOUGHT, 3) == 1
    assert circuits.of(BOUGHT).room(BOUGHT, 4) == 0


def test_a_gateway_that_says_too_many_gets_fewer_at_once_and_slowly_more_again() -> None:
    circuits = Circuits()
    circuits.crowded(HOME, 10)
    assert circuits.of(HOME).room(HOME, 0) == 7
    for _ in range(GROW_AFTER):
        circuits.answered(HOME, 0.0)
    assert circuits.of(HOME).room(HOME, 0) == 8
    for in_flight in (3, 1, 1):
        circuits.crowded(HOME, in_flight)
    assert circuits.of(HOME).room(HOME, 0) == 1, "never none"


def test_a_country_without_exits_is_left_alone_for_a_minute_and_the_others_are_not() -> None:
    circuits = Circuits()
    circuits.empty(HOME, "de", 0.0)
    assert not may(circuits, EMPTY_S - 1, country="de")
    assert may(circuits, 0.0, country="us")
    assert may(circuits, EMPTY_S, country="de")


def test_a_site_that_a_gateway_forbids_is_never_asked_for_through_it_again() -> None:
    circuits = Circuits()
    circuits.forbid(HOME, SHOP)
    assert not may(circuits, 1e9)
    assert may(circuits, 0.0, site="other.example")
    assert may(circuits, 0.0, pool=BOUGHT)


def test_a_pool_that_was_changed_begins_anew() -> None:
    circuits = Circuits()
    circuits.failed(HOME, 0.0, final=True)
    circuits.forget(HOME)
    assert may(circuits, 0.0)
    assert not circuits.hopeless([HOME])


def test_when_all_rest_the_first_to_come_back_is_told() -> None:
    circuits = Circuits()
    opened(circuits)
    assert circuits.resting_until_s([HOME, BOUGHT], 1.0) is None
    circuits.failed(BOUGHT, 1.0, final=True)
    assert circuits.resting_until_s([HOME, BOUGHT], 1.0) == OPEN_S
    assert circuits.resting_until_s([], 1.0) is None
