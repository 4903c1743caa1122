"""What is believed: three kinds of evidence, fading by pages and by time, with an assumption where nothing was seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.proxies import beliefs
from scraper.proxies.beliefs import DEFAULT_SHARE, HALF_LIFE_S, Beliefs, Row

SHOP, OTHER = "shop.example", "other.example"
PAGE, BLOCK = 40_000, 6_000

# (site, pool, good, seconds since the one before)
OBSERVATIONS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]), st.booleans(), st.floats(0, HALF_LIFE_S / 4)
    ),
    max_size=60,
)


def see(known: Beliefs, pool: str, good: int = 0, bad: int = 0, site: str = SHOP, now_s: float = 0.0) -> None:
    for _ in range(good):
        known.good(site, pool, "", PAGE, now_s)
    for _ in range(bad):
        known.blocked(site, pool, BLOCK, now_s)


def share(known: Beliefs, pool: str, site: str = SHOP, now_s: float = 0.0) -> float:
    good, bad = known.shape(site, pool, now_s)
    return good / (good + bad)


@given(OBSERVATIONS)
def test_fading_when_asked_is_the_same_as_fading_at_every_step(
    steps: list[tuple[str, str, bool, float]],
) -> None:
    known, keep = Beliefs(memory=50), 1 - 1 / 50
    beliefs_only = pytest.MonkeyPatch()
    beliefs_only.setattr(beliefs, "UNLIKELY", 0.0)  # a row of blocks is not at issue here
    model: dict[tuple[str, str], list[float]] = {}
    now_s = 0.0
    for site, pool, good, after_s in steps:
        now_s += after_s
        for (of, _), counts in model.items():
            fade = 0.5 ** (after_s / HALF_LIFE_S) * (keep if of == site else 1)
            counts[:] = [count * fade for count in counts]
        model.setdefault((site, pool), [0.0, 0.0])[not good] += 1
        see(known, pool, good, not good, site, now_s)
    beliefs_only.undo()
    for (site, pool), (good_seen, bad_seen) in model.items():
        prior = beliefs.STRENGTH * known.share_anywhere(pool, now_s)
        shape = known.shape(site, pool, now_s)
        assert shape[0] - prior == pytest.approx(good_seen, rel=2e-3, abs=1e-9)
        assert shape[1] - beliefs.STRENGTH + prior == pytest.approx(bad_seen, rel=2e-3, abs=1e-9)


@given(OBSERVATIONS)
def test_a_share_stays_between_none_and_all(steps: list[tuple[str, str, bool, float]]) -> None:
    known, now_s = Beliefs(), 0.0
    for site, pool, good, after_s in steps:
        now_s += after_s
        see(known, pool, good, not good, site, now_s)
        assert 0 < share(known, pool, site, now_s) < 1
        assert 0 < known.share_anywhere(pool, now_s) < 1


def test_a_pool_nobody_knows_is_thought_rather_good() -> None:
    assert share(Beliefs(), "home") == pytest.approx(DEFAULT_SHARE)


def test_a_site_not_seen_yet_is_judged_by_what_the_pool_did_elsewhere() -> None:
    known = Beliefs()
    for n in range(20):
        see(known, "good", good=5, site=f"{n}.example")
        see(known, "bad", bad=5, site=f"{n}.example")
    assert share(known, "good", "new.example") > 0.95
    assert share(known, "bad", "new.example") < 0.1
    see(known, "bad", good=8, site="new.example")
    assert share(known, "bad", "new.example") > 0.75, "a few pages of the site itself outweigh all others"


def test_one_big_site_does_not_speak_for_a_hundred_small_ones() -> None:
    known = Beliefs()
    see(known, "home", bad=1000, site="big.example")
    for n in range(100):
        see(known, "home", good=3, site=f"{n}.example")
    assert known.share_anywhere("home", 0.0) > 0.8


def test_half_is_forgotten_in_a_half_life() -> None:
    known = Beliefs()
    see(known, "home", good=20)
    before = known.shape(SHOP, "home", 0.0)[0]
    later_s = HALF_LIFE_S
    after = known.shape(SHOP, "home", later_s)[0]
    assumed = [beliefs.STRENGTH * known.share_anywhere("home", at_s) for at_s in (0.0, later_s)]
    assert after - assumed[1] == pytest.approx((before - assumed[0]) / 2, rel=0.01)


def test_a_row_of_blocks_that_nobody_expected_outweighs_a_thousand_good_pages() -> None:
    known = Beliefs()
    see(known, "home", good=1000)
    see(known, "home", bad=2)
    assert share(known, "home") > 0.6
    see(known, "home", bad=6)
    assert share(known, "home") < 0.5


def test_where_a_third_is_blocked_anyway_three_blocks_in_a_row_are_no_surprise() -> None:
    known = Beliefs()
    for _ in range(60):
        see(known, "home", good=2, bad=1)
    before = sum(known.shape(SHOP, "home", 0.0))
    see(known, "home", bad=3)
    assert sum(known.shape(SHOP, "home", 0.0)) == pytest.approx(before, rel=0.05)


def test_identities_that_tire_together_are_no_change_of_mind() -> None:
    known = Beliefs()
    see(known, "home", good=100)
    for _ in range(8):
        known.blocked(SHOP, "home", BLOCK, 0.0, tired=True)
    assert share(known, "home") > 0.85


def test_a_refused_country_is_held_against_the_country_and_not_against_the_pool() -> None:
    known = Beliefs()
    see(known, "home", good=5)
    before = share(known, "home")
    for _ in range(5):
        known.geo(SHOP, "us", 0.0)
    assert share(known, "home") == pytest.approx(before, rel=0.02)
    assert known.refuses_countries(SHOP)
    assert not known.refuses_countries(OTHER)
    good, bad = known.place_shape(SHOP, "us", 0.0)
    assert good / (good + bad) < 0.2
    known.good(SHOP, "home", "de", PAGE, 0.0)
    good, bad = known.place_shape(SHOP, "de", 0.0)
    assert good / (good + bad) > 0.6


def test_a_pool_that_does_not_answer_is_thought_to_answer_less_and_is_forgiven() -> None:
    known = Beliefs()
    assert known.answers("home", 0.0) == 1.0
    for _ in range(10):
        known.reached("home", 0.0, answered=False)
    assert known.answers("home", 0.0) < 0.5
    assert known.answers("home", 40 * HALF_LIFE_S) == pytest.approx(1.0)


def test_sizes_of_pages_and_blocks_are_learnt_from_the_first() -> None:
    known = Beliefs()
    known.good(SHOP, "home", "", 500_000, 0.0)
    known.blocked(SHOP, "home", 1_000, 0.0)
    assert known.page_bytes(SHOP) == 500_000
    assert known.block_bytes(SHOP, "home") == 1_000
    assert known.page_bytes(OTHER) == beliefs.PAGE_BYTES


def test_sites_are_forgotten_least_recently_used_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beliefs, "SITES_MAX", 3)
    known = Beliefs()
    for site in ("a", "b", "c", "a", "d"):
        see(known, "home", good=1, site=site)
    assert set(known.sites()) == {"c", "a", "d"}


@given(OBSERVATIONS, st.sets(st.integers(0, 59)))
def test_news_given_back_is_neither_lost_nor_doubled(
    steps: list[tuple[str, str, bool, float]], failed_at: set[int]
) -> None:
    """Savings fail after some of the observations; what is taken in the end is all that was seen."""
    known, kept = Beliefs(), list[Row]()
    for n, (site, pool, good, _) in enumerate(steps):
        see(known, pool, good, not good, site)
        if n in failed_at:
            known.give_back(known.take_news())
        elif n % 7 == 0:
            kept += known.take_news()
    kept += known.take_news()
    assert known.take_news() == []
    for site in "ab":
        for pool in "xy":
            seen = [good for of, through, good, _ in steps if (of, through) == (site, pool)]
            rows = [row for row in kept if (row.site, row.name) == (site, pool)]
            assert sum(row.good for row in rows) == pytest.approx(sum(seen))
            assert sum(row.bad for row in rows) == pytest.approx(len(seen) - sum(seen))
            assert all(row.page_bytes == pytest.approx(PAGE) for row in rows if row.good)
            assert all(row.block_bytes == pytest.approx(BLOCK) for row in rows if row.bad)


def test_a_run_begins_with_what_the_last_one_knew() -> None:
    before, after = Beliefs(), Beliefs()
    see(before, "home", good=20)
    see(before, "dc", good=2, bad=18)
    before.geo(SHOP, "us", 0.0)
    before.reached("dc", 0.0, answered=False)
    after.load(before.take_news(), 1e6)
    for pool in ("home", "dc"):
        assert share(after, pool, now_s=1e6) == pytest.approx(share(before, pool), abs=0.1)
    assert after.place_shape(SHOP, "us", 1e6) == pytest.approx(before.place_shape(SHOP, "us", 0.0))
    assert after.answers("dc", 1e6) == pytest.approx(before.answers("dc", 0.0))
    assert after.page_bytes(SHOP) == pytest.approx(PAGE)


def test_what_is_nearly_forgotten_at_a_site_says_nearly_nothing_about_others() -> None:
    known = Beliefs()
    known.load([Row("pool", f"{n}.example", "home", bad=0.001) for n in range(20)], 0.0)
    assert share(known, "home", "new.example") == pytest.approx(DEFAULT_SHARE, abs=0.03)
