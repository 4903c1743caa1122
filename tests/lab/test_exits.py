"""Which exit a gateway gives to whom."""

from __future__ import annotations

import pytest

from scraper.lab.credentials import BadUsername, Wish, basic, parse
from scraper.lab.exits import COUNTRIES, Exit, ExitChooser, NoExit, SessionLost, mobile, residential


def chooser(exits: list[Exit] | None = None, idle: float = 60) -> ExitChooser:
    return ExitChooser(residential(20, 3.0).make(1) if exits is None else exits, "1:test", idle)


def an_exit(name: str = "x", **fate: int) -> Exit:
    return Exit(name, "127.20.0.1", "residential", "us", 0.5, **fate)


def test_exits_are_the_same_for_the_same_seed() -> None:
    """Address, country, quality and fate."""
    first, second, other = (list(map(vars, residential(50, 3.0).make(seed))) for seed in (3, 3, 4))
    assert first == second != other


def test_some_residential_exits_die_or_change_and_mobile_ones_are_the_best() -> None:
    """The pools differ in what they are worth."""
    homes, phones = residential(64, 3.0).make(1), mobile(64, 8.0).make(1)
    assert 10 < sum(exit_.lives is not None for exit_ in homes) < 50
    assert 10 < sum(exit_.stays is not None for exit_ in homes) < 50
    assert not any(exit_.lives for exit_ in phones)
    assert min(exit_.quality for exit_ in phones) >= 0.8
    assert 0.15 < sum(not exit_.trusted() for exit_ in homes) / len(homes) < 0.35
    addresses = {exit_.address for exit_ in homes + phones}
    assert len(addresses) == len(homes) + len(phones)


def test_a_session_keeps_its_exit_until_its_time_is_over() -> None:
    """Minutes count from the first use."""
    gateway = chooser()
    first = gateway.sticky("a", "de", 1, 0.0)
    assert first.country == "de"
    assert gateway.sticky("a", "de", 1, 59.0) is first
    later = {gateway.sticky("a", "de", 1, 60.0 * n + 60) for n in range(10)}
    assert len(later) > 1


def test_a_session_that_was_idle_too_long_moves_on() -> None:
    """As providers do after a minute or so."""
    gateway = chooser(idle=10)
    seen = {gateway.sticky("a", "de", 90, now) for now in (0.0, 9.0, 18.0)}
    assert len(seen) == 1
    assert len({gateway.sticky("a", "de", 90, 100.0 * n) for n in range(1, 10)}) > 1


def test_which_exit_a_session_gets_depends_on_its_name_and_not_on_the_order() -> None:
    """Two runs with the same session names meet the same exits."""
    names = [f"s{n}" for n in range(20)]
    one, two = chooser(), chooser()
    forwards = {name: one.sticky(name, "", 10, 0.0).name for name in names}
    backwards = {name: two.sticky(name, "", 10, 0.0).name for name in reversed(names)}
    assert forwards == backwards
    assert len(set(forwards.values())) > 10


def test_another_country_under_the_same_name_is_another_session() -> None:
    """The whole parameter set is the key."""
    gateway = chooser()
    assert {gateway.sticky("a", country, 10, 0.0).country for country in COUNTRIES} == set(COUNTRIES)


def test_the_session_of_an_exit_that_died_is_lost_once_and_then_gets_another() -> None:
    """The client hears of it; with the same name it starts anew."""
    mortal, other = an_exit("mortal", lives=2), an_exit("other")
    gateway = chooser([mortal])
    assert gateway.sticky("a", "us", 10, 0.0) is mortal
    gateway = chooser([mortal, other])
    name = next(name for name in "abcdefgh" if gateway.sticky(name, "us", 10, 0.0) is mortal)
    mortal.served = 2
    with pytest.raises(SessionLost):
        gateway.sticky(name, "us", 10, 1.0)
    assert gateway.sticky(name, "us", 10, 2.0) is other


def test_the_session_of_an_exit_that_changes_moves_silently() -> None:
    """Soft stickiness: no error tells the client."""
    restless = an_exit("restless", stays=3)
    gateway = chooser([restless])
    gateway.sticky("a", "us", 10, 0.0)
    restless.served = 3
    gateway._by_country["us"] = [an_exit("other")]
    assert gateway.sticky("a", "us", 10, 1.0).name == "other"


def test_no_exit_is_left_where_all_are_dead_or_none_ever_was() -> None:
    """With and without a session."""
    gateway = chooser([an_exit(lives=0)])
    for call in (
        lambda: gateway.fresh("us"),
        lambda: gateway.sticky("a", "de", 1, 0.0),
        lambda: gateway.fresh(""),
    ):
        with pytest.raises(NoExit):
            call()


@pytest.mark.parametrize(
    ("username", "wish"),
    [
        ("customer-lab", Wish()),
        ("customer-lab-country-de", Wish("de")),
        ("customer-lab-session-a_1", Wish("", "a_1")),
        ("customer-lab-country-us-session-B2-sesstime-90", Wish("us", "B2", 90)),
        ("customer-lab-sesstime-1-session-x-country-gb", Wish("gb", "x", 1)),
    ],
)
def test_usernames_say_country_session_and_time(username: str, wish: Wish) -> None:
    """In any order."""
    assert parse(username) == wish


@pytest.mark.parametrize(
    ("username", "status"),
    [
        ("customer-other", 407),
        ("", 407),
        ("customer-lab-contry-de", 407),
        ("customer-lab-country-xx", 400),
        ("customer-lab-country-", 400),
        ("customer-lab-country-DE", 400),
        ("customer-lab-session-", 407),
        ("customer-lab-session-a-b", 407),
        ("customer-lab-session-" + "a" * 33, 407),
        ("customer-lab-session-a-session-b", 407),
        ("customer-lab-sesstime-0", 407),
        ("customer-lab-sesstime-91", 407),
        ("customer-lab-sesstime-10m", 407),
    ],
)
def test_wrong_usernames_are_refused(username: str, status: int) -> None:
    """Nothing is ignored silently."""
    with pytest.raises(BadUsername) as refused:
        parse(username)
    assert refused.value.status == status


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!", "Bearer YTpi", "Basic YWI=", "Basic é"])
def test_what_is_no_basic_header_is_no_pair(header: str) -> None:
    """Broken base64, another scheme, no colon."""
    assert basic(header) is None


def test_a_password_may_hold_a_colon() -> None:
    """The first one ends the user."""
    assert basic("basic YTpiOmM=") == ("a", "b:c")


def test_sessions_that_ended_are_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in use are kept."""
    monkeypatch.setattr("scraper.lab.exits._MOST_SESSIONS", 10)
    gateway = chooser(idle=60)
    for n in range(100):
        kept = gateway.sticky("kept", "de", 90, float(n * 10))
        gateway.sticky(f"s{n}", "", 90, float(n * 10))
    assert len(gateway._sessions) <= 10
    assert gateway.sticky("kept", "de", 90, 1000.0) is kept
