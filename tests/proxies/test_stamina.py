"""How many pages an identity may ask for: a site's own limit is found, kept below, and found again when it is lifted."""

from __future__ import annotations

import random

import pytest

from scraper.proxies.stamina import LEAST, REST_MAX_S, REST_S, Stamina

MOST = 100


def serve(stamina: Stamina, limit: int) -> int:
    """One identity's life at a site that lets each do ``limit`` requests; how many it did, the refused one included."""
    uses = 0
    while uses < stamina.pages("a", "p"):
        uses += 1
        if uses > limit:
            stamina.refused("a", "p", uses)
            return uses
        stamina.served("a", "p", uses)
    stamina.finished("a", "p", uses)
    return uses


def test_an_identity_goes_on_as_long_as_the_setting_says_where_nobody_tires() -> None:
    stamina = Stamina(MOST)
    for _ in range(3):
        assert serve(stamina, limit=10**9) == MOST
    assert stamina.rest_s("a", "p") == 0.0


@pytest.mark.parametrize("limit", [5, 12, 30])
def test_a_limit_of_the_site_is_met_once_in_a_while_only(limit: int) -> None:
    stamina = Stamina(MOST)
    lives = [serve(stamina, limit) for _ in range(200)]
    refused = sum(uses > limit for uses in lives)
    assert refused / sum(lives) < 0.08, "at most one request of a dozen finds the limit out"
    assert sum(lives) / len(lives) > 0.6 * limit, "and most of the limit is used"


def test_a_limit_that_was_lifted_is_found_out() -> None:
    stamina = Stamina(MOST)
    for _ in range(5):
        serve(stamina, limit=10)
    for _ in range(250):
        serve(stamina, limit=10**9)
    assert stamina.pages("a", "p") == MOST


def test_a_limit_that_came_later_is_found_out() -> None:
    stamina = Stamina(MOST)
    serve(stamina, limit=10**9)
    lives = [serve(stamina, limit=10) for _ in range(20)]
    assert lives.count(11) <= 12
    assert stamina.pages("a", "p") <= 10


def test_an_identity_refused_at_once_was_never_welcome_and_sets_no_limit() -> None:
    stamina = Stamina(MOST)
    assert not stamina.refused("a", "p", LEAST)
    assert stamina.pages("a", "p") == MOST


def test_limits_are_kept_apart_by_site_and_pool() -> None:
    stamina = Stamina(MOST)
    assert stamina.refused("a", "p", 21)
    assert stamina.pages("a", "p") == 15
    assert stamina.pages("b", "p") == stamina.pages("a", "q") == MOST


def test_a_refusal_by_chance_long_before_what_others_did_is_no_limit() -> None:
    stamina = Stamina(MOST)
    serve(stamina, limit=10**9)
    assert not stamina.refused("a", "p", 6)
    assert stamina.pages("a", "p") == MOST


def test_a_site_that_refuses_one_in_a_hundred_by_chance_does_not_send_the_list_to_rest() -> None:
    chance, stamina, rests_s = random.Random(1), Stamina(MOST), []
    for _ in range(300):
        serve(stamina, limit=int(chance.expovariate(0.01)))
        rests_s.append(stamina.rest_s("a", "p"))
    assert sum(rests_s) / len(rests_s) < 3 * REST_S


def test_a_proxy_that_is_refused_early_after_its_rest_rests_longer_and_never_for_ever() -> None:
    stamina = Stamina(MOST)
    stamina.refused("a", "p", 41)
    assert stamina.rest_s("a", "p") == REST_S
    stamina.refused("a", "p", 21)
    assert stamina.rest_s("a", "p") == 2 * REST_S
    patient = Stamina(most=10**6)
    for halvings in range(15):
        patient.refused("a", "p", 10**6 >> halvings)
    assert patient.rest_s("a", "p") == REST_MAX_S
    for _ in range(20):
        patient.finished("a", "p", patient.pages("a", "p"))
    assert patient.rest_s("a", "p") < REST_MAX_S / 2
