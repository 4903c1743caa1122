"""A site where nothing passes is left alone, longer each time, then given up; whoever passes opens it again."""

from __future__ import annotations

import pytest

from scraper.bans.pauses import GO, LOOK_S, NEVER, PROBE, PROBE_S, WAIT, Limits, Pause, Pauses, Turn, times_s
from scraper.errors import ConfigError

SITE = "shop.example"
LIMITS = Limits(after=2, pauses_s=(60.0, 300.0))


def paused(limits: Limits = LIMITS) -> Pauses:
    """One whose site let pages pass, and was paused at 0 s."""
    pauses = Pauses(limits)
    pauses.passed(SITE)
    assert pauses.lost(SITE, 0.0) is None
    assert pauses.lost(SITE, 0.0) == Pause(1, 2, 60.0)
    return pauses


def test_a_page_that_passes_between_two_losses_begins_the_count_anew() -> None:
    pauses = Pauses(LIMITS)
    for _ in range(5):
        assert pauses.lost(SITE, 0.0) is None
        assert not pauses.passed(SITE), "there was no pause to end"
    assert pauses.ask(SITE, 0.0) == Turn(GO)


def test_a_refusal_without_a_mark_counts_a_third() -> None:
    pauses = Pauses(LIMITS)
    found = [pauses.lost(SITE, 0.0, proven=False) for _ in range(6)]
    assert found[:5] == [None] * 5
    assert found[5] is not None


def test_after_the_pause_one_page_goes_alone() -> None:
    pauses = paused()
    assert pauses.ask(SITE, 59.0) == Turn(WAIT, 1.0)
    assert pauses.ask(SITE, 60.0) == Turn(PROBE)
    assert pauses.ask(SITE, 60.0) == Turn(WAIT, LOOK_S), "another page waits"
    assert pauses.ask(SITE, 61.0, is_probe=True) == Turn(PROBE), "the same page, tried again"
    assert pauses.passed(SITE)
    assert pauses.ask(SITE, 62.0) == Turn(GO)


def test_probes_in_vain_lengthen_the_pause_and_then_end_the_site() -> None:
    pauses = paused()
    assert pauses.ask(SITE, 60.0).what == PROBE
    assert pauses.lost(SITE, 70.0, is_probe=True) == Pause(2, 2, 300.0)
    assert pauses.ask(SITE, 369.0).what == WAIT
    assert pauses.ask(SITE, 370.0).what == PROBE
    assert pauses.lost(SITE, 380.0, is_probe=True) == Pause(2, 2, given_up=True)
    assert pauses.ask(SITE, 9e9).what == NEVER


def test_pages_that_were_under_way_as_the_pause_began_do_not_lengthen_it() -> None:
    pauses = paused()
    assert [pauses.lost(SITE, at_s) for at_s in (1.0, 2.0, 61.0)] == [None] * 3
    assert pauses.ask(SITE, 61.0).what == PROBE


def test_a_probe_that_says_nothing_or_vanishes_makes_room_for_another() -> None:
    pauses = paused()
    assert pauses.ask(SITE, 60.0).what == PROBE
    pauses.probe_ended(SITE)  # a timeout: no word of the site
    assert pauses.ask(SITE, 61.0).what == PROBE
    assert pauses.ask(SITE, 61.0 + PROBE_S).what == PROBE


def test_a_site_that_never_let_anybody_in_has_one_pause() -> None:
    pauses = Pauses(LIMITS)
    pauses.lost(SITE, 0.0)
    assert pauses.lost(SITE, 0.0) == Pause(1, 1, 60.0)
    assert pauses.ask(SITE, 60.0).what == PROBE
    assert pauses.lost(SITE, 61.0, is_probe=True) == Pause(1, 1, given_up=True)


def test_without_pauses_a_site_is_given_up_at_once_and_no_other_with_it() -> None:
    pauses = Pauses(Limits(after=1, pauses_s=()))
    assert pauses.lost(SITE, 0.0) == Pause(0, 0, given_up=True)
    assert pauses.ask(SITE, 0.0).what == NEVER
    assert pauses.ask("other.example", 0.0).what == GO


@pytest.mark.parametrize("wrong", [["60", "soon"], [60, 0], ["-1"], ["inf"], ["nan"], [None]])
def test_a_pause_that_is_no_time_stops_the_start(wrong: list[object]) -> None:
    with pytest.raises(ConfigError, match="BAN_SITE_PAUSES_S"):
        times_s(wrong)
    assert times_s(["60", 300]) == (60.0, 300.0)
    assert times_s([]) == ()
