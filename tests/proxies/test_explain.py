"""Why a site is asked through which pool: the rows say what is believed, the sentence what it comes to."""

from __future__ import annotations

import random
import re

from scraper.proxies.beliefs import Beliefs, place_of
from scraper.proxies.choice import Terms
from scraper.proxies.explain import Answer, Row, explain
from scraper.proxies.pools import Pool

SITE = "shop.example"
CHEAP, DEAR = Pool("cheap", "list", 0.5), Pool("dear", "gateway", 4.0, ("us", "de"))
KEPT = Pool("kept", "list", 1.0, on_request=True)


def beliefs_with(**seen: tuple[int, int]) -> Beliefs:
    """Right pages and blocks of each pool at SITE, mixed evenly."""
    found = Beliefs()
    for pool, (right, blocks) in seen.items():
        for n in range(right + blocks):
            if (n + 1) * blocks // (right + blocks) > n * blocks // (right + blocks):
                found.blocked(SITE, pool, 3_000, 0.0)
            else:
                found.good(SITE, pool, "", 20_000, 0.0)
    return found


def asked(beliefs: Beliefs, site: str = SITE, terms: Terms | None = None) -> tuple[Answer, dict[str, Row]]:
    answer = explain(site, [CHEAP, KEPT, DEAR], beliefs, terms or Terms(), random.Random(1), {"cheap": 7.0})
    return answer, {row.pool: row for row in answer.rows}


def test_rows_hold_what_was_seen_believed_and_what_a_right_page_costs() -> None:
    answer, rows = asked(beliefs_with(cheap=(10, 10), dear=(20, 0)))
    assert answer.known
    assert 8 < rows["cheap"].right < 11
    assert 8 < rows["cheap"].blocks < 11
    assert 0.25 < rows["cheap"].low < rows["cheap"].share < rows["cheap"].high < 0.75
    assert rows["dear"].low > 0.85
    assert (rows["cheap"].seen_s_ago, rows["dear"].seen_s_ago) == (7.0, None)
    page_usd = 20_000 / 1e9 * 4.0
    assert page_usd < rows["dear"].usd_per_right_page < 1.1 * page_usd


def test_a_dear_pool_is_chosen_where_the_cheap_one_is_below_the_floor_and_the_sentence_says_so() -> None:
    answer, rows = asked(beliefs_with(cheap=(6, 14), dear=(30, 0)))
    assert rows["dear"].chosen > 0.95
    assert answer.rows[0].pool == "dear"
    assert "PROXY_MIN_SUCCESS = 0.7" in answer.why
    assert answer.why.startswith("dear is taken for")


def test_the_cheap_pool_is_chosen_where_it_passes_and_the_sentence_says_how_much_dearer_the_next_is() -> None:
    answer, rows = asked(beliefs_with(cheap=(30, 0), dear=(30, 0)))
    assert rows["cheap"].chosen == 1.0
    assert re.search(r" [78]\.\d times as much through dear", answer.why)


def test_a_pool_on_request_is_never_drawn_and_stands_last() -> None:
    answer, rows = asked(beliefs_with(cheap=(5, 0)))
    assert (rows["kept"].chosen, answer.rows[-1].pool) == (0.0, "kept")


def test_of_an_unknown_site_it_says_what_is_assumed_and_which_sites_are_near() -> None:
    answer, rows = asked(beliefs_with(cheap=(30, 0)), "shops.example")
    assert not answer.known
    assert answer.nearest == (SITE,)
    assert "nothing is known" in answer.why
    assert rows["dear"].share == 0.7
    assert rows["cheap"].share > 0.7, "what it did elsewhere counts"


def test_where_a_site_refuses_countries_each_has_its_share_and_the_pool_the_one_it_is_asked_for() -> None:
    beliefs = beliefs_with(cheap=(3, 0), dear=(3, 0))
    for _ in range(8):
        beliefs.geo(SITE, place_of("", "cheap"), 0.0)
        beliefs.geo(SITE, "us", 0.0)
        beliefs.good(SITE, "dear", "de", 20_000, 0.0)
    answer, rows = asked(beliefs, terms=Terms(countries=("us", "de")))
    passes = {place.country or place.pool: place.passes for place in answer.places}
    assert passes["us"] < 0.2 < 0.8 < passes["de"]
    assert passes["cheap"] < 0.2, "what was refused is wherever its exits are"
    assert passes["kept"] == 0.25, "and nothing is known of those of another pool"
    assert "dear" not in passes, "it is asked for a country"
    assert rows["cheap"].passes == passes["cheap"]
    assert answer.notes == ()
    assert (rows["dear"].country, rows["cheap"].country) == ("de", "")
    assert rows["dear"].chosen > 0.9
    assert "exits in de" in answer.why


def test_without_the_countries_of_the_spider_or_with_one_that_no_pool_has_it_says_so_first() -> None:
    beliefs = beliefs_with(cheap=(3, 0), dear=(3, 0))
    assert asked(beliefs)[0].notes == ()
    beliefs.geo(SITE, place_of("", "cheap"), 0.0)
    answer, _ = asked(beliefs)
    assert answer.notes == (
        "The site refuses countries. The spider's proxy_countries are not known here: add --country us,de.",
    )
    assert [place.pool for place in answer.places] == ["cheap", "kept", "dear"]
    answer, _ = asked(beliefs, terms=Terms(countries=("de", "jp")))
    assert answer.notes == ("no pool can be asked for jp: add it to `countries` of a pool",)
