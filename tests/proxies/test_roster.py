"""Identities: leased, used, cooled, retired whole and for good."""

from __future__ import annotations

import random

from scraper.proxies.ladder import Arm
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.pools import Pool
from scraper.proxies.roster import Identity, Limits, Roster

HOME = Arm(
    Pool(
        "home", "gateway", 3.0, (), (Endpoint("http", "g.example", 1, "u", "example"),), "", "-{session}", 10
    )
)
LIST = Arm(Pool("dc", "list", 0.5, (), tuple(Endpoint("http", f"{n}.example", 1) for n in range(3))))
LIMITS = Limits(in_flight=1, uses=5, age_s=100.0, idle_s=20.0, cool_s=60.0)


def roster() -> Roster:
    return Roster(LIMITS, random.Random(1))


def lease(
    names: Roster, arm: Arm = HOME, now_s: float = 0.0, site: str = "shop.example", keep: str = ""
) -> Identity:
    identity, _ = names.lease(site, arm, now_s, keep)
    assert identity is not None
    return identity


def test_an_identity_serves_one_request_at_a_time_and_is_used_again() -> None:
    names = roster()
    first, second = lease(names), lease(names)
    assert first.id != second.id
    names.release(first.id, 1.0)
    assert lease(names, now_s=1.0) is first


def test_an_identity_belongs_to_one_site() -> None:
    names = roster()
    first = lease(names)
    names.release(first.id, 0.0)
    assert lease(names, site="other.example") is not first


def test_sessions_differ_and_the_id_carries_none() -> None:
    names = roster()
    users = {lease(names).endpoint.user for _ in range(50)}
    assert len(users) == 50
    assert not any(identity.endpoint.user[2:] in identity.id for identity in names.live())


def test_a_redirect_keeps_its_identity_on_its_site_and_takes_another_elsewhere() -> None:
    names = roster()
    first = lease(names)
    names.release(first.id, 0.0)
    assert lease(names, LIST, keep=first.id) is first
    names.release(first.id, 0.0)
    assert lease(names, site="other.example", keep=first.id) is not first


def test_an_identity_of_another_arm_is_not_kept_where_the_request_asks_for_one() -> None:
    names = roster()
    first = lease(names)
    names.release(first.id, 0.0)
    identity, _ = names.lease("shop.example", LIST, 0.0, first.id, any_arm=False)
    assert identity is not None
    assert identity.arm == LIST


def test_a_sweep_retires_what_nobody_came_back_to() -> None:
    names = roster()
    for n in range(5):
        names.release(lease(names, site=f"{n}.example").id, 0.0)
    busy = lease(names, site="busy.example")
    assert len(names.sweep(25.0)) == 5
    assert names.live() == [busy]


def test_only_blocks_make_a_pool_blocked_out_at_a_site() -> None:
    names = roster()
    for index in range(3):
        names.retire(lease(names, LIST).id, "rule", 0.0, cool_s=60.0, blocked=index < 2)
    assert not names.all_blocked("shop.example", LIST)
    for _ in range(3):
        names.retire(lease(names, LIST, 61.0).id, "status_403", 61.0, cool_s=60.0, blocked=True)
    assert names.all_blocked("shop.example", LIST)
    assert not names.all_blocked("other.example", LIST)


def test_retirement_is_final() -> None:
    names = roster()
    first = lease(names)
    assert names.retire(first.id, "status_403", 0.0, cool_s=60.0) is first
    assert names.retire(first.id, "again", 0.0, cool_s=60.0) is None
    assert names.get(first.id) is None
    names.release(first.id, 0.0)
    assert lease(names, keep=first.id) is not first
    assert first.retired == "status_403"


def test_age_idle_time_and_uses_end_an_identity() -> None:
    for case, now_s in (("age", 101.0), ("idle", 21.0)):
        names = roster()
        first = lease(names)
        names.release(first.id, 0.0 if case == "idle" else 100.0)
        second, aged = names.lease("shop.example", HOME, now_s)
        assert second is not first
        assert [old.retired for old in aged] == [case]
    names = roster()
    for _ in range(5):
        last = lease(names)
        names.release(last.id, 0.0)
    assert lease(names) is not last
    assert last.retired == "uses"


def test_a_blocked_list_proxy_rests_at_that_site_only_and_comes_back() -> None:
    names = roster()
    blocked = [lease(names, LIST) for _ in range(3)]
    assert {identity.index for identity in blocked} == {0, 1, 2}
    for identity in blocked:
        names.retire(identity.id, "status_403", 0.0, cool_s=60.0)
    assert names.lease("shop.example", LIST, 1.0) == (None, [])
    assert lease(names, LIST, 1.0, site="other.example").index in (0, 1, 2)
    assert lease(names, LIST, 61.0).index in (0, 1, 2)


def test_as_a_last_resort_the_proxy_that_may_soonest_is_taken() -> None:
    names = roster()
    for now_s, identity in enumerate([lease(names, LIST) for _ in range(3)]):
        names.retire(identity.id, "gateway_unreachable", float(now_s), cool_s=5.0)
    assert names.lease("shop.example", LIST, 3.0)[0] is None
    identity, _ = names.lease("shop.example", LIST, 3.0, last_resort=True)
    assert identity is not None
    assert identity.index == 0
