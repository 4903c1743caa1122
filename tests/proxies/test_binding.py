"""Sites that bind a visitor to the exit that entered are recognised, others are not accused."""

from __future__ import annotations

from scraper.proxies.binding import SUSPICIONS, USELESS, Binding
from scraper.verdicts import BLOCKED, GOOD, Verdict

GOOD_PAGE, BLOCK = Verdict(GOOD, "good"), Verdict(BLOCKED, "status_403", kind="denied")


def entered() -> Binding:
    rules = Binding()
    rules.is_suspicion("shop.example", "home", "home-1", GOOD_PAGE, linked=False)
    return rules


def test_new_identities_refused_at_linked_pages_mean_a_bound_site() -> None:
    rules = entered()
    for n in range(SUSPICIONS):
        assert rules.is_suspicion("shop.example", "home", f"home-{n + 2}", BLOCK, linked=True)
    assert rules.needs_entry("shop.example", "home", "home-9")
    assert not rules.needs_entry("shop.example", "home", "home-1")
    assert not rules.needs_entry("other.example", "home", "home-9")
    assert not rules.is_suspicion("shop.example", "home", "home-9", BLOCK, linked=True), (
        "then a block is a block"
    )


def test_entering_by_the_door_is_given_up_where_it_does_not_help() -> None:
    rules = entered()
    for n in range(SUSPICIONS):
        rules.is_suspicion("shop.example", "home", f"home-{n + 2}", BLOCK, linked=True)
    for n in range(USELESS):
        assert rules.needs_entry("shop.example", "home", f"home-{n + 10}")
        rules.is_suspicion("shop.example", "home", f"home-{n + 10}", GOOD_PAGE, linked=False)  # the door
        assert not rules.is_suspicion("shop.example", "home", f"home-{n + 10}", BLOCK, linked=True)
    assert not rules.needs_entry("shop.example", "home", "home-99")
    assert not rules.is_suspicion("shop.example", "home", "home-99", BLOCK, linked=True), "never again"


def test_a_new_identity_that_gets_in_by_a_link_clears_the_site() -> None:
    rules = entered()
    for n in range(SUSPICIONS - 1):
        rules.is_suspicion("shop.example", "home", f"home-{n + 2}", BLOCK, linked=True)
    rules.is_suspicion("shop.example", "home", "home-7", GOOD_PAGE, linked=True)
    rules.is_suspicion("shop.example", "home", "home-8", BLOCK, linked=True)
    assert not rules.needs_entry("shop.example", "home", "home-5")


def test_a_block_at_the_front_door_or_where_nobody_ever_got_in_is_no_suspicion() -> None:
    assert not Binding().is_suspicion("shop.example", "home", "home-2", BLOCK, linked=True)
    assert not entered().is_suspicion("shop.example", "home", "home-2", BLOCK, linked=False)
    assert not entered().is_suspicion("shop.example", "home", "home-1", BLOCK, linked=True), (
        "it had got in: it was found out"
    )
    assert not entered().is_suspicion("shop.example", "dc", "dc-1", BLOCK, linked=True), (
        "nobody of its own pool ever got in"
    )
    geo = Verdict(BLOCKED, "geo_wall", kind="geo")
    assert not entered().is_suspicion("shop.example", "home", "home-2", geo, linked=True)


def test_where_a_pool_never_got_in_the_door_is_tried_and_blocks_count_all_the_same() -> None:
    rules = entered()
    for n in range(SUSPICIONS):
        assert not rules.needs_entry("shop.example", "dc", "dc-9")
        assert not rules.is_suspicion("shop.example", "dc", f"dc-{n}", BLOCK, linked=True)
    assert rules.needs_entry("shop.example", "dc", "dc-9")
    assert not rules.needs_entry("shop.example", "home", "home-9"), "the other pool is welcome"
