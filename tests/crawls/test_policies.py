"""The bench of policies in its short form: one drawn world, three listing pages a site."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.marking import mark
from benchmarks.policies import Place, money, play, table

# The bars of benchmarks/policies.py, looser where so few pages make it a matter of luck: what is paid to learn a site
# is the same for 30 pages as for 300, and one dead exit more is 3 % of a site's requests.
RIGHT, REQUESTS, MONEY = 0.995, 1.45, 1.6


@pytest.mark.timeout(240)
def test_a_world_that_the_policy_never_saw_is_won_at_about_the_price_of_one_who_knows_it() -> None:
    place = Place(
        world="3",
        seed=1,
        pages=3,
    )
    games = {place: {player: play(player, place) for player in ("perfect", "own")}}
    own, perfect = games[place]["own"], games[place]["perfect"]
    assert perfect.right == perfect.wanted, "what even the perfect player loses says nothing about a policy"
    assert own.wrong == 0, table(games)
    assert own.right >= RIGHT * own.wanted, table(games)
    assert own.requests <= REQUESTS * own.right, table(games)
    assert money([own], [perfect]) <= MONEY, table(games)
    assert own.usd >= perfect.bound_usd > 0, "nobody is cheaper than the pages themselves"


def product(**other: Any) -> dict[str, Any]:
    """A product as the truth has it."""
    told = {
        "title": "Oak Lamp",
        "price": "12.50",
        "currency": "EUR",
        "in_stock": True,
        "rating": 4.5,
        "brand": "Alder",
    }
    return {**told, "description": "Lit.", **other}


def test_only_the_whole_truth_once_is_a_right_record() -> None:
    truth = {
        "sites": {
            "a.localhost": {
                "needs_browser": False,
                "about": "",
                "needs": {"pool": "home", "country": "", "entry": False},
                "products": {name: product() for name in ("one", "two", "three", "four")},
            }
        },
        "pools": {"home": {"usd": 0.5}},
    }
    rows = [
        {"site": "a.localhost", "sku": "one", **product(price=12.5)},
        {"site": "a.localhost", "sku": "one", **product(price=12.5)},  # twice
        {"site": "a.localhost", "sku": "two", **product(price=None)},  # poisoned
        {"site": "a.localhost", "sku": "three", **product(price=12.5, in_stock=False)},
        {"site": "a.localhost", "sku": "none", **product(price=12.5)},  # not on sale there
    ]
    line = {"site": "a.localhost", "path": "/p/one", "what": "product", "pool": "home", "size": 1000}
    served = [line, line, {**line, "path": "/p/two", "what": "poison"}]
    marks = mark(rows, truth, served, {"home": 4.0}, change_after=0, seconds=1.0)
    assert (marks.wanted, marks.right, marks.wrong, marks.requests, marks.usd) == (4, 1, 4, 3, 0.5)
    assert marks.bound_usd == pytest.approx(1000 * 4.0 / 1e9), "a page that was got twice is needed once"
