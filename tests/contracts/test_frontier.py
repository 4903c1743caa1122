"""What every frontier store promises, run against each of them."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from scraper.frontier.contract import Counts, Page, Store
from scraper.frontier.memory import MemoryStore

STORES: dict[str, Callable[..., Store]] = {"memory": MemoryStore}


@pytest.fixture(params=STORES)
def make(request: pytest.FixtureRequest) -> Callable[..., Store]:
    def store(delay_s: float = 0.0, jitter: float = 0.0, host_limit: int = 100) -> Store:
        return STORES[request.param](delay_s, jitter, host_limit, random.Random(1))

    return store


def page(name: str, host: str = "a.example", priority: int = 0, not_before_s: float = 0.0) -> Page:
    return Page(name.encode(), host, priority, name, not_before_s)


def drain(store: Store, now_s: float) -> list[str]:
    """Lease and download until there is nothing to lease."""
    found = []
    while (leased := store.lease(now_s)) is not None:
        store.downloaded(leased, now_s)
        found.append(leased.request)
    return found


def test_a_page_is_put_once_unless_it_comes_again(make: Callable[..., Store]) -> None:
    store = make()
    assert store.put(page("x"))
    assert not store.put(page("x"))
    assert store.put(page("x"), again=True)
    assert drain(store, 1.0) == ["x", "x"]


def test_priority_goes_first_and_equal_ones_in_order_of_arrival(make: Callable[..., Store]) -> None:
    store = make()
    for name, priority in (("low", -1), ("first", 0), ("high", 5), ("second", 0)):
        store.put(page(name, priority=priority))
    assert drain(store, 1.0) == ["high", "first", "second", "low"]


def test_hosts_take_turns(make: Callable[..., Store]) -> None:
    store = make()
    for n in range(3):
        store.put(page(f"a{n}", "a.example"))
    store.put(page("b0", "b.example"))
    assert drain(store, 1.0).index("b0") < 2


def test_two_leases_of_a_host_are_apart_by_its_delay_and_never_early(make: Callable[..., Store]) -> None:
    store = make(delay_s=2.0)
    for n in range(3):
        store.put(page(f"a{n}"))
    assert drain(store, 10.0) == ["a0"]
    assert store.next_at_s() == 12.0
    assert drain(store, 11.999) == []
    assert drain(store, 12.0) == ["a1"]


def test_a_crawl_delay_lengthens_the_delay_and_never_shortens_it(make: Callable[..., Store]) -> None:
    store = make(delay_s=2.0)
    store.set_delay("a.example", 5.0, 0.0)
    store.set_delay("b.example", 0.5, 0.0)
    for host in ("a.example", "b.example"):
        store.put(page("1" + host, host))
        store.put(page("2" + host, host))
    drain(store, 10.0)
    assert drain(store, 12.0) == ["2b.example"]
    assert drain(store, 15.0) == ["2a.example"]


def test_chance_never_shortens_what_a_host_asked_for(make: Callable[..., Store]) -> None:
    store = make(delay_s=1.0, jitter=0.5)
    store.set_delay("a.example", 1.2, 0.0)
    for n in range(50):
        store.put(page(str(n)))
    now_s, last_s = 0.0, -10.0
    while store.counts().pending:
        now_s += 0.05
        if leased := store.lease(now_s):
            store.downloaded(leased, now_s)
            assert now_s - last_s >= 1.2
            last_s = now_s


def test_a_blocked_host_waits_and_the_others_do_not(make: Callable[..., Store]) -> None:
    store = make()
    store.put(page("a", "a.example"))
    store.put(page("b", "b.example"))
    store.block_host("a.example", 30.0)
    assert drain(store, 1.0) == ["b"]
    assert store.next_at_s() == 30.0
    assert drain(store, 30.0) == ["a"]


def test_a_host_keeps_its_pace_until_it_is_told_another(make: Callable[..., Store]) -> None:
    store = make(delay_s=1.0)
    for n in range(4):
        store.put(page(f"a{n}"))
    store.set_pace("a.example", 4.0)
    assert drain(store, 10.0) == ["a0"]
    assert store.next_at_s() == 14.0
    assert drain(store, 14.0) == ["a1"]
    store.set_pace("a.example", 0.0)
    assert drain(store, 18.0) == ["a2"]
    assert store.next_at_s() == 19.0


def test_a_host_need_not_rest_for_a_page_that_was_not_sent(make: Callable[..., Store]) -> None:
    store = make(delay_s=30.0)
    store.put(page("a"))
    first = store.lease(10.0)
    assert first is not None
    store.not_sent(first)
    store.ack(first, 10.1)
    store.put(page("b"))
    assert drain(store, 10.2) == ["b"]
    store.put(page("c"))
    store.not_sent(first)
    assert drain(store, 11.0) == [], "the page that was sent since counts"


def test_no_pace_is_faster_than_the_delay_or_the_site_allows(make: Callable[..., Store]) -> None:
    store = make(delay_s=1.0)
    for n in range(2):
        store.put(page(f"a{n}"))
    store.set_delay("a.example", 3.0, 0.0)
    store.set_pace("a.example", 0.1)
    assert drain(store, 10.0) == ["a0"]
    assert store.next_at_s() == 13.0


def test_a_page_that_waits_is_leased_when_its_time_has_come(make: Callable[..., Store]) -> None:
    store = make()
    store.put(page("later", not_before_s=20.0))
    store.put(page("now"))
    assert drain(store, 10.0) == ["now"]
    assert store.next_at_s() == 20.0
    assert store.counts() == Counts(pending=1, leased=1)
    assert drain(store, 20.0) == ["later"]


def test_a_host_has_only_so_many_pages_in_download(make: Callable[..., Store]) -> None:
    store = make(host_limit=2)
    store.put(page("first"))
    assert drain(store, 1.0) == ["first"]
    for n in range(4):
        store.put(page(f"a{n}"))
    first, second = store.lease(1.0), store.lease(1.0)
    assert first
    assert second
    assert store.lease(1.0) is None
    assert store.next_at_s() is None
    store.downloaded(first, 2.0)
    store.downloaded(first, 2.0)
    assert store.lease(2.0) is not None
    assert store.lease(2.0) is None
    assert store.counts() == Counts(pending=1, leased=4), "a lease outlives the download"


def test_the_first_page_of_a_host_goes_alone(make: Callable[..., Store]) -> None:
    store = make(host_limit=4)
    for n in range(3):
        store.put(page(f"a{n}"))
    store.put(page("b", "b.example"))
    first, other = store.lease(1.0), store.lease(1.0)
    assert first is not None
    assert other is not None
    assert store.lease(1.0) is None
    store.downloaded(first, 2.0)
    assert store.lease(2.0) is not None
    assert store.lease(2.0) is not None


def test_a_crawl_delay_counts_from_the_moment_it_is_known(make: Callable[..., Store]) -> None:
    """The page that made us read robots.txt is on its way then."""
    store = make()
    for n in range(2):
        store.put(page(f"a{n}"))
    first = store.lease(10.0)
    assert first is not None
    store.set_delay("a.example", 3.0, 10.5)
    store.downloaded(first, 10.6)
    assert drain(store, 13.4) == []
    assert drain(store, 13.5) == ["a1"]


def test_what_is_pending_can_be_listed(make: Callable[..., Store]) -> None:
    store = make()
    for name, not_before_s in (("now", 0.0), ("later", 50.0), ("leased", 0.0)):
        store.put(page(name, host=f"{name}.example", not_before_s=not_before_s))
    while (leased := store.lease(1.0)) is not None and leased.request != "leased":
        store.put(leased, again=True)
    assert {found.request for found in store.pending()} == {"now", "later"}


def test_a_lease_ends_with_its_ack(make: Callable[..., Store]) -> None:
    store = make()
    store.put(page("x"))
    leased = store.lease(1.0)
    assert leased is not None
    assert store.counts() == Counts(0, 1)
    store.ack(leased, 2.0)
    assert store.counts() == Counts(0, 0)
    assert not store.put(page("x")), "it stays known"


@pytest.mark.parametrize("seed", range(20))
def test_every_page_is_leased_exactly_once_whatever_happens_in_between(
    make: Callable[..., Store], seed: int
) -> None:
    chance = random.Random(seed)
    store = make(delay_s=0.5, jitter=0.5, host_limit=3)
    put, got, out, now_s, last = 0, [], [], 0.0, {}
    while put < 300 or store.counts().pending or out:
        now_s += chance.random() * 0.2
        roll = chance.random()
        host = f"h{chance.randrange(8)}.example"
        if roll < 0.4 and put < 300:
            store.put(page(str(put), host, chance.randrange(3), now_s + 3 if chance.random() < 0.2 else 0.0))
            put += 1
        elif roll < 0.8:
            leased = store.lease(now_s)
            if leased is not None:
                assert now_s - last.get(leased.host, -1.0) >= 0.25, "never earlier than the shortest delay"
                last[leased.host] = now_s
                got.append(leased.request)
                out.append(leased)
        elif roll < 0.97 and out:
            leased = out.pop(chance.randrange(len(out)))
            store.downloaded(leased, now_s)
            store.ack(leased, now_s)
        elif roll >= 0.99:
            store.block_host(host, now_s + 2)
    assert sorted(got, key=int) == [str(n) for n in range(300)]
