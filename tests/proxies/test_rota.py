"""The order in which proxies of a list are taken: against a model that looks at every proxy every time."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from scraper.proxies.rota import ORDERS, RELEASED_AT_ONCE, WORD, Rota

SITES = st.sampled_from(["a", "b", "c"])
REST_S = st.floats(0, 40)


class Against(RuleBasedStateMachine):
    """Rota beside two dictionaries and loops over all proxies."""

    sizes = st.integers(1, 12)
    exact = True  # a few proxies: every answer is foretold

    @initialize(data=st.data(), order=st.sampled_from(ORDERS), seed=st.integers(0, 99))
    def start(self, data: st.DataObject, order: str, seed: int) -> None:
        self.size, self.order, self.now_s = data.draw(self.sizes), order, 1000.0
        self.rota = Rota(self.size, random.Random(seed), order)
        self.here: dict[tuple[str, int], float] = {}
        self.everywhere: dict[int, float] = {}
        self.last: dict[str, int] = {}

    def free_s(self, site: str, index: int) -> float:
        return max(self.here.get((site, index), 0.0), self.everywhere.get(index, 0.0))

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(site=SITES, place=st.floats(0, 1, exclude_max=True), rest_s=REST_S)
    def cool(self, site: str, place: float, rest_s: float) -> None:
        index = int(place * self.size)
        until_s = self.now_s + rest_s
        self.rota.cool(site, index, until_s)
        self.here[site, index] = max(self.here.get((site, index), 0.0), ceil(until_s * 8) / 8)

    @rule(place=st.floats(0, 1, exclude_max=True), rest_s=REST_S)
    def cool_everywhere(self, place: float, rest_s: float) -> None:
        index = int(place * self.size)
        until_s = self.now_s + rest_s
        self.rota.cool_everywhere(index, until_s)
        self.everywhere[index] = max(self.everywhere.get(index, 0.0), ceil(until_s * 8) / 8)

    @rule(site=SITES)
    def forget(self, site: str) -> None:
        self.rota.forget(site)
        self.here = {key: until_s for key, until_s in self.here.items() if key[0] != site}
        self.last.pop(site, None)
        assert self.rota.cooling(site) == 0

    @rule(site=SITES)
    def take(self, site: str) -> None:
        free = [index for index in range(self.size) if self.free_s(site, index) <= self.now_s]
        taken = self.rota.take(site, self.now_s)
        if taken is None:
            assert not free
            first_s = min(self.free_s(site, index) for index in range(self.size))
            soonest_s = self.rota.soonest_s(site)
            assert soonest_s is not None
            assert self.now_s < soonest_s <= first_s
            if self.exact:
                assert soonest_s == first_s == self.free_s(site, self.rota.soonest(site))
        else:
            assert taken in free
            assert self.rota.soonest_s(site) is None
            assert self.rota.soonest(site) < self.size
        if self.exact:
            cooling = [key for key, until_s in self.here.items() if key[0] == site and until_s > self.now_s]
            assert self.rota.cooling(site) == len(cooling)
        if self.exact and taken is not None and self.order == "round_robin":
            if (last := self.last.get(site)) is not None:
                assert taken == min(free, key=lambda index: (index - last - 1) % self.size)
            self.last[site] = taken


class AgainstMany(Against):
    """Lists of several words, of which long runs rest."""

    sizes = st.sampled_from([WORD - 1, WORD, WORD + 1, 3 * WORD + 7])
    exact = False

    @rule(data=st.data(), site=SITES, there=st.booleans(), rest_s=REST_S)
    def cool_run(self, data: st.DataObject, site: str, there: bool, rest_s: float) -> None:
        first = data.draw(st.sampled_from([0, 1, WORD // 2, WORD, 2 * WORD])) % self.size
        for index in range(first, min(self.size, first + data.draw(st.sampled_from([WORD, 4 * WORD])))):
            if there:
                self.cool_everywhere((index + 0.5) / self.size, rest_s)
            else:
                self.cool(site, (index + 0.5) / self.size, rest_s)


TestAgainst = Against.TestCase
TestAgainstMany = AgainstMany.TestCase
TestAgainst.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestAgainstMany.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


class Counting(Rota):
    """Counts the words it looks at."""

    looks = 0

    def _free(self, *args: object) -> int:
        self.looks += 1
        return super()._free(*args)  # type: ignore[arg-type]  # only counted, and handed on


@pytest.mark.parametrize("order", ORDERS)
def test_a_take_looks_at_few_words_whatever_rests_and_why(order: str) -> None:
    words = 60
    rota = Counting(words * WORD, random.Random(1), order)
    free = 31 * WORD + 500
    for index in range(words * WORD):  # no word is busy for one reason alone
        if index == free:
            continue
        if index % 2:
            rota.cool("a", index, 100)
        else:
            rota.cool_everywhere(index, 200)
    assert rota.take("a", 0) == free  # notes every word on its way
    rota.looks = 0
    assert {rota.take("a", 0) for _ in range(100)} == {free}
    assert rota.looks <= 100 * 8
    rota.cool("a", free, 300)
    assert rota.take("a", 0) is None
    rota.looks = 0
    for _ in range(100):
        assert rota.take("a", 0) is None
    assert rota.looks <= 100 * 2
    assert rota.soonest_s("a") == 100


@pytest.mark.parametrize("everywhere", [False, True])
def test_what_ends_first_is_found_by_every_site_that_had_found_all_busy(everywhere: bool) -> None:
    rota, sites = Rota(3 * WORD, random.Random(1)), "abcdefgh"  # whose walks begin in different words
    for index in range(3 * WORD):
        until_s = 10 if index == WORD + 7 else 50
        if everywhere and (index % 2 or until_s == 10):
            rota.cool_everywhere(index, until_s)
            continue
        for site in sites:
            rota.cool(site, index, until_s)
    assert [rota.take(site, 0) for site in sites] == [None] * 8
    assert [rota.soonest_s(site) for site in sites] == [10] * 8
    assert [rota.soonest(site) for site in sites] == [WORD + 7] * 8
    assert [rota.take(site, 10) for site in sites] == [WORD + 7] * 8


def test_many_rests_that_end_together_are_ended_a_few_at_a_time_and_all_come_back() -> None:
    rota = Rota(5000, random.Random(1))
    for index in range(5000):
        rota.cool("a", index, 10)
    assert rota.take("a", 9.99) is None
    taken = [rota.take("a", 10)]
    assert rota.cooling("a") == 5000 - RELEASED_AT_ONCE
    taken += [rota.take("a", 10) for _ in range(9999)]
    assert rota.cooling("a") == 0
    assert set(taken) == set(range(5000))


def test_round_robin_gives_each_in_the_lists_order_and_begins_elsewhere_at_each_site() -> None:
    rota = Rota(1500, random.Random(1))
    walks = [[rota.take(site, 0) or 0 for _ in range(1500)] for site in "abcdefgh"]
    assert all(sorted(walk) == list(range(1500)) for walk in walks)
    assert all((b - a) % 1500 == 1 for walk in walks for a, b in pairwise(walk))
    assert len({walk[0] for walk in walks}) > 4


@pytest.mark.parametrize("resting", [range(0), range(0, 100, 2), range(90)])
def test_random_takes_each_free_one_about_as_often(resting: range) -> None:
    rota = Rota(100, random.Random(1), "random")
    for index in resting:
        rota.cool("a", index, 10)
    free = 100 - len(resting)
    taken = Counter(rota.take("a", 0) for _ in range(free * 200))
    assert len(taken) == free
    assert 140 < min(taken.values()) <= max(taken.values()) < 260  # 200 each, and 4 standard deviations


@pytest.mark.parametrize("resting", [range(0), range(70, 170), range(20, 150)])
def test_least_used_keeps_uses_closer_together_than_chance_does(resting: range) -> None:
    spread = {}
    for order in ("least_used", "random"):
        rota = Rota(200, random.Random(1), order)
        for index in resting:
            rota.cool("a", index, 10)
        taken = Counter(rota.take("a", 0) for _ in range((200 - len(resting)) * 100))
        spread[order] = max(taken.values()) - min(taken.values())
    assert spread["least_used"] <= 12 < 40 < spread["random"]


def test_a_site_costs_memory_only_for_what_it_refused() -> None:
    rota = Rota(1_000_000, random.Random(1))
    tracemalloc.start()
    for site in map(str, range(100)):
        for _ in range(10):
            rota.cool(site, rota.take(site, 0) or 0, 60)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used / 100 < 4000


@pytest.mark.parametrize(("size", "order"), [(0, "random"), (5, "best")])
def test_a_rota_that_cannot_be_is_refused(size: int, order: str) -> None:
    with pytest.raises(ValueError, match=r"size \d"):
        Rota(size, random.Random(1), order)


@pytest.mark.parametrize("index", [-1, 5])
def test_a_proxy_that_is_not_in_the_list_cannot_rest(index: int) -> None:
    rota = Rota(5, random.Random(1))
    with pytest.raises(IndexError, match="of 5"):
        rota.cool("a", index, 1)
    with pytest.raises(IndexError, match="of 5"):
        rota.cool_everywhere(index, 1)
