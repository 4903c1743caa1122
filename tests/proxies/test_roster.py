"""Identities: leased, used, cooled, retired whole and for good."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scraper.proxies.choice import FRESH, Arm
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.pools import Pool
from scraper.proxies.roster import DIRECT_IDLE_S, SAFETY, Identity, Limits, Roster
from scraper.proxies.sources import providers
from scraper.proxies.stamina import Stamina

GATE = Endpoint("http", "g.example", 1, "u", "example")
OXYLABS = providers()["oxylabs"]
HOME = Arm(Pool("home", "gateway", 3.0, ("de",), (GATE,), OXYLABS, session_s=600.0, idle_s=60.0))
GERMAN = Arm(HOME.pool, "de")
ONCE = Arm(HOME.pool, mode=FRESH)
LIST = Arm(Pool("dc", "list", 0.5, (), tuple(Endpoint("http", f"{n}.example", 1) for n in range(3))))
DIRECT = Arm(Pool("direct", "direct"))
LIMITS = Limits(in_flight=1, age_s=1000.0, idle_s=100.0)
SHOP, OTHER = "shop.example", "other.example"
USES = 5


def roster(in_flight: int = 1) -> Roster:
    return Roster(Limits(in_flight, LIMITS.age_s, LIMITS.idle_s), Stamina(USES), random.Random(1))


def lease(names: Roster, arm: Arm = HOME, now_s: float = 0.0, site: str = SHOP, sticky: str = "") -> Identity:
    identity = names.lease(site, arm, now_s, sticky=sticky)
    assert identity is not None
    return identity


class Leases(RuleBasedStateMachine):
    """Any order of leases, ends, retirements, waits and reloads, at two sites."""

    @initialize(in_flight=st.integers(1, 3), seed=st.integers(0, 99))
    def start(self, in_flight: int, seed: int) -> None:
        self.names = Roster(Limits(in_flight, 1000.0, 100.0), Stamina(USES), random.Random(seed))
        self.limit, self.now_s = in_flight, 0.0
        self.under_way: list[Identity] = []
        self.retired: dict[str, str] = {}
        self.key_of: dict[str, str] = {}
        self.leased_once: set[str] = set()

    @rule(
        site=st.sampled_from([SHOP, OTHER]),
        arm=st.sampled_from([HOME, GERMAN, ONCE, LIST, DIRECT]),
        sticky=st.sampled_from(["", "", "k1", "k2"]),
        last_resort=st.booleans(),
    )
    def lease(self, site: str, arm: Arm, sticky: str, last_resort: bool) -> None:
        found = self.names.kept_for(site, sticky) if sticky else None
        if found is not None:
            found = self.names.keep(found.id, site, self.now_s)
        if found is None:
            found = self.names.lease(site, arm, self.now_s, sticky=sticky, last_resort=last_resort)
            if found is None:
                assert arm is LIST
                assert not last_resort
                return
            assert found.arm == arm
            assert found.id not in self.leased_once or not (sticky or arm.mode == FRESH)
        assert found.site == site
        assert found.id not in self.retired, "retirement is final"
        assert not found.closing, "nothing new through a pool that is gone"
        assert self.key_of.setdefault(found.id, sticky) == sticky, "a sticky identity is nobody else's"
        assert found.uses <= USES or found.arm is DIRECT, (
            "our own address does not change, however often it is used"
        )
        self.leased_once.add(found.id)
        self.under_way.append(found)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        identity = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.names.release(identity.id, self.now_s)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), cool_s=st.sampled_from([0.0, 60.0]), everywhere=st.booleans())
    def retire(self, data: st.DataObject, cool_s: float, everywhere: bool) -> None:
        identity = data.draw(st.sampled_from(self.under_way))
        self.names.retire(identity.id, "status_403", self.now_s, cool_s=cool_s, everywhere=everywhere)

    @rule(seconds=st.sampled_from([1.0, 30.0, 90.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.names.sweep(self.now_s)

    @rule(name=st.sampled_from(["home", "dc"]))
    def reload(self, name: str) -> None:
        self.names.pools_changed({name}, self.now_s)

    @invariant()
    def books(self) -> None:
        for identity in self.names.retired:
            assert self.retired.setdefault(identity.id, identity.retired) == identity.retired != ""
        self.names.retired.clear()
        live = {identity.id: identity for identity in self.names.live()}
        assert not live.keys() & self.retired.keys()
        through = {"home": 0, "dc": 0, "direct": 0}
        for identity in self.under_way:
            if identity.id in live:
                through[identity.arm.pool.name] += 1
        for identity in live.values():
            assert identity.in_flight == sum(each is identity for each in self.under_way) <= self.limit
        for arm in (HOME, LIST, DIRECT):
            assert self.names.through(arm.pool) == through[arm.pool.name]
        assert sum(self.names.in_flight.values()) == sum(through.values())


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_an_identity_serves_one_request_at_a_time_and_the_warmest_is_used_first() -> None:
    names = roster()
    first, second = lease(names), lease(names)
    assert first.id != second.id
    names.release(second.id, 1.0)
    names.release(first.id, 2.0)
    assert lease(names, now_s=3.0) is first


def test_an_identity_belongs_to_one_site_pool_and_country() -> None:
    names = roster()
    first = lease(names)
    names.release(first.id, 0.0)
    assert lease(names, site=OTHER) is not first
    assert lease(names, GERMAN) is not first
    assert lease(names, LIST) is not first


def test_sessions_differ_and_the_id_carries_none() -> None:
    names = roster()
    leased = [lease(names) for _ in range(50)]
    users = {identity.endpoint.user for identity in leased if identity.endpoint}
    assert len(users) == 50
    assert not any(
        user.split("-sessid-")[1].split("-")[0] in identity.id for user in users for identity in leased
    )
    assert "example" not in repr(leased[0].endpoint).replace("g.example", "")


def test_a_redirect_keeps_its_identity_on_its_site_and_takes_another_elsewhere() -> None:
    names = roster()
    first = lease(names)
    names.release(first.id, 0.0)
    assert names.keep(first.id, OTHER, 0.0) is None
    assert names.keep(first.id, SHOP, 0.0) is first
    assert names.keep(first.id, SHOP, 0.0) is None, "it has no room"


def test_an_identity_made_for_one_request_is_not_used_for_another() -> None:
    names = roster()
    first = lease(names, ONCE)
    names.release(first.id, 0.0)
    assert lease(names, ONCE) is not first
    assert lease(names) is not first


@pytest.mark.parametrize("in_flight", [1, 2])
def test_a_sticky_key_keeps_the_newest_identity_made_for_it(in_flight: int) -> None:
    names = roster(in_flight)
    old = lease(names, sticky="basket")
    new = lease(names, GERMAN, sticky="basket")
    names.retire(old.id, "status_403", 0.0)
    assert names.kept_for(SHOP, "basket") is new
    names.retire(new.id, "status_403", 0.0)
    assert names.kept_for(SHOP, "basket") is None


def test_age_and_idle_time_end_before_the_providers_do() -> None:
    for case, last_use_s, now_s in (
        ("age", SAFETY * 600.0 - 1, SAFETY * 600.0 + 1),
        ("idle", 0.0, SAFETY * 60.0 + 1),
    ):
        names = roster()
        first = lease(names)
        names.release(first.id, last_use_s)
        assert lease(names, now_s=now_s) is not first
        assert [old.retired for old in names.retired] == [case]
        assert now_s < {"age": 600.0, "idle": 60.0}[case]


def test_an_identity_is_retired_after_its_last_page() -> None:
    names = roster()
    for _ in range(USES):
        last = lease(names)
        names.release(last.id, 0.0)
    assert lease(names) is not last
    assert last.retired == "uses"


def test_a_sweep_retires_what_nobody_came_back_to_and_nothing_that_is_under_way() -> None:
    names = roster()
    for n in range(5):
        names.release(lease(names, site=f"{n}.example").id, 0.0)
    busy = lease(names, site="busy.example")
    names.sweep(10_000.0)
    assert {old.retired for old in names.retired} <= {"age", "idle"}
    assert names.live() == [busy]


def test_our_own_address_stays_one_identity_of_a_site_until_nobody_asks() -> None:
    names = roster()
    first = lease(names, DIRECT)
    assert first.endpoint is None
    for n in range(3 * USES):
        names.release(first.id, 100.0 * n)
        assert lease(names, DIRECT, 100.0 * n) is first
    names.release(first.id, 5000.0)
    assert lease(names, DIRECT, 5001.0 + DIRECT_IDLE_S) is not first


def test_a_blocked_list_proxy_rests_at_that_site_only_and_comes_back() -> None:
    names = roster()
    blocked = [lease(names, LIST) for _ in range(3)]
    assert {identity.index for identity in blocked} == {0, 1, 2}
    for identity in blocked:
        names.retire(identity.id, "status_403", 0.0, cool_s=60.0)
    assert names.lease(SHOP, LIST, 1.0) is None
    assert names.soonest_s(SHOP, LIST.pool) == 60.0
    assert lease(names, LIST, 1.0, site=OTHER)
    assert lease(names, LIST, 61.0)


def test_a_list_proxy_that_is_dead_rests_at_every_site() -> None:
    names = roster()
    for identity in [lease(names, LIST) for _ in range(3)]:
        names.retire(identity.id, "gateway_unreachable", 0.0, cool_s=5.0, everywhere=True)
    assert names.lease(OTHER, LIST, 1.0) is None
    assert lease(names, LIST, 6.0, site=OTHER)


def test_as_a_last_resort_the_proxy_that_may_soonest_is_taken() -> None:
    names = roster()
    for index, identity in enumerate(
        sorted((lease(names, LIST) for _ in range(3)), key=lambda each: each.index)
    ):
        names.retire(identity.id, "status_403", 0.0, cool_s=10.0 + index)
    found = names.lease(SHOP, LIST, 3.0, last_resort=True)
    assert found is not None
    assert found.index == 0


def test_identities_of_a_changed_pool_end_with_what_is_under_way() -> None:
    names = roster(in_flight=2)
    idle, busy = lease(names, site=OTHER), lease(names)
    names.release(idle.id, 0.0)
    names.pools_changed({"home"}, 1.0)
    assert idle.retired == "pool_changed"
    assert not busy.retired
    assert names.keep(busy.id, SHOP, 1.0) is None
    assert lease(names, now_s=1.0) is not busy
    names.release(busy.id, 2.0)
    assert names.get(busy.id) is busy, "its verdict is still to be heard"
    names.sweep(1000.0)
    assert [each.id for each in names.retired if each.retired == "pool_changed"] == [idle.id, busy.id]


def test_a_refusal_that_comes_after_its_list_was_made_shorter_harms_nothing() -> None:
    names = roster()
    leased = [lease(names, LIST) for _ in range(3)]
    names.pools_changed({"dc"}, 0.0)
    shorter = Arm(Pool("dc", "list", 0.5, (), LIST.pool.endpoints[:1]))
    assert lease(names, shorter).index == 0
    for identity in leased:
        names.retire(identity.id, "status_403", 0.0, cool_s=60.0)
    assert names.lease(OTHER, shorter, 0.0) is not None
    assert names.soonest_s(SHOP, shorter.pool) is None, (
        "what the old list's proxies did says nothing about this one"
    )


def test_an_identity_held_for_a_redirect_is_given_to_nobody_else() -> None:
    names = roster()
    first = lease(names)
    first.uses = 1000  # its term is over, and the redirect goes on all the same
    names.release(first.id, 0.0, hold=True)
    assert lease(names) is not first
    assert names.keep(first.id, SHOP, 0.0) is first
    first.uses = 1
    names.release(first.id, 0.0)
    assert lease(names) is first
