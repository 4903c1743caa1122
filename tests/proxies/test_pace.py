"""How fast a site is asked: slower when it complains, slowly back, and never faster than politeness."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scraper.proxies.pace import LEAST_SHARE, LIMITED, TIMED_OUT, TIRED, WELCOME, Pace

SIGNS = st.sampled_from([LIMITED, TIRED, TIMED_OUT, WELCOME])


@given(
    st.lists(st.tuples(SIGNS, st.floats(0, 20)), max_size=60),
    st.sampled_from([0.0, 0.5, 2.0, 60.0]),
    st.sampled_from([5.0, 30.0]),
)
def test_a_site_is_never_asked_faster_than_politeness_nor_left_for_longer_than_the_setting(
    steps: list[tuple[str, float]], polite_s: float, most_s: float
) -> None:
    pace, now_s, told_s = Pace(polite_s, most_s), 0.0, 0.0
    for sign, after_s in steps:
        now_s += after_s
        said = pace.hear("a", sign, now_s)
        told_s = told_s if said is None else said
        for delay_s in (told_s, pace.delay_s("a")):
            assert delay_s == 0.0 or polite_s <= delay_s <= max(polite_s, most_s)


@given(st.lists(st.tuples(SIGNS, st.floats(0, 20)), max_size=60))
def test_what_was_told_last_is_within_a_tenth_of_what_holds(steps: list[tuple[str, float]]) -> None:
    pace, now_s, told_s = Pace(1.0, 1e9), 0.0, 0.0
    for sign, after_s in steps:
        now_s += after_s
        said = pace.hear("a", sign, now_s)
        told_s = told_s if said is None else said
        holds_s = pace.delay_s("a")
        assert abs((told_s or 1.0) - (holds_s or 1.0)) <= 0.1 * (told_s or 1.0)


def test_a_429_slows_the_site_and_only_that_site() -> None:
    pace = Pace(1.0, 30.0)
    assert pace.hear("a", LIMITED, 0.0) == 1.25
    assert pace.delay_s("b") == 0.0
    assert pace.hear("b", WELCOME, 0.0) is None


def test_one_timeout_or_tired_identity_is_nothing_and_three_in_a_row_halve_the_rate() -> None:
    pace = Pace(1.0, 30.0)
    assert [pace.hear("a", sign, 10.0 * n) for n, sign in enumerate((TIRED, TIMED_OUT, TIRED))] == [
        None,
        None,
        2.0,
    ]


def test_few_timeouts_among_many_right_pages_slow_nothing() -> None:
    pace = Pace(1.0, 30.0)
    for n in range(400):
        assert pace.hear("a", TIMED_OUT if n % 20 == 0 else WELCOME, float(n)) is None


def test_many_429s_at_once_speak_about_one_rate() -> None:
    pace = Pace(1.0, 30.0)
    told = [pace.hear("a", LIMITED, 0.01 * n) for n in range(16)]
    assert told == [1.25] + [None] * 15


def test_a_site_is_never_left_for_dead() -> None:
    pace = Pace(1.0, 1e9)
    for n in range(100):
        pace.hear("a", LIMITED, 10.0 * n)
    assert pace.delay_s("a") == 1.0 / LEAST_SHARE


def test_a_welcome_brings_the_rate_back_to_politeness_within_minutes_and_then_it_is_forgotten() -> None:
    pace = Pace(1.0, 30.0)
    for n in range(3):
        pace.hear("a", TIRED, 10.0 * n)
    told = [delay_s for n in range(400) if (delay_s := pace.hear("a", WELCOME, 30.0 + n)) is not None]
    assert told == [*sorted(told[:-1], reverse=True), 0.0]
    assert pace.delay_s("a") == 0.0
    assert not pace._sites


def test_the_rate_settles_near_what_the_site_allows() -> None:
    """A site that answers 429 to whoever asks more than once in 4 s."""
    pace, now_s, last_s, gaps = Pace(1.0, 30.0), 0.0, -10.0, []
    for n in range(600):
        now_s += max(1.0, pace.delay_s("a"))
        sign = LIMITED if now_s - last_s < 4.0 else WELCOME
        if n >= 300:
            gaps.append(now_s - last_s)
        last_s = now_s
        pace.hear("a", sign, now_s)
    assert 0.8 * 4.0 <= sum(gaps) / len(gaps) <= 1.25 * 4.0
