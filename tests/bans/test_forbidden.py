"""Pages refused to everybody cost two tries each once a site is known for them, and only then."""

from __future__ import annotations

from scraper.bans.forbidden import FEW, SITES_MAX, TRIES, Forbidden

SHOP = "shop.example"


def known(refused: int, opened: int = 0) -> Forbidden:
    rules = Forbidden()
    for _ in range(refused):
        rules.refused(SHOP)
    for _ in range(opened):
        rules.opened(SHOP)
    return rules


def test_some_pages_refused_to_everybody_shorten_the_next_ones_of_that_site_only() -> None:
    assert known(FEW - 1).tries(SHOP, 6) == 6
    assert known(FEW).tries(SHOP, 6) == TRIES
    assert known(FEW).tries("other.example", 6) == 6
    assert known(FEW).tries(SHOP, 1) == 1


def test_where_other_exits_get_such_pages_all_tries_are_made() -> None:
    assert known(FEW, opened=1).tries(SHOP, 6) == 6
    assert known(40, opened=1).tries(SHOP, 6) == TRIES
    assert known(40, opened=3).tries(SHOP, 6) == 6


def test_what_is_remembered_is_bounded() -> None:
    rules = known(FEW)
    for number in range(SITES_MAX):
        rules.refused(f"{number}.example")
    assert rules.tries(SHOP, 6) == 6
