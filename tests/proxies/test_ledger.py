"""Money: the books balance in any order, and the budgets say stop in time."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.proxies import ledger
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.ledger import FRUGAL, RUN_SPENT, SITE_SPENT, Budget, Ledger
from scraper.proxies.pools import Pool

POOLS = {
    name: Pool(name, "gateway", usd, (), (Endpoint("http", "g.example", 1),))
    for name, usd in (("free", 0.0), ("dc", 0.6), ("home", 4.0))
}
GB = 10**9
BOOKINGS = st.lists(
    st.tuples(
        st.sampled_from(["spent", "wasted", "take"]),
        st.sampled_from(["a", "b", "c", "d", "e"]),
        st.sampled_from(sorted(POOLS)),
        st.sampled_from(["", "de"]),
        st.integers(0, 10**7),
    ),
    max_size=60,
)


@given(BOOKINGS)
def test_the_books_balance_in_any_order(bookings: list[tuple[str, str, str, str, int]]) -> None:
    monkey = pytest.MonkeyPatch()
    monkey.setattr(ledger, "SITES_MAX", 3)
    books, stats, usd = Ledger(Budget()), Counter[str](), 0.0
    for what, site, name, country, n_bytes in [*bookings, ("take", "", "dc", "", 0)]:
        if what == "take":
            stats.update(books.take())
        else:
            getattr(books, what)(site, POOLS[name], country, n_bytes)
            usd += n_bytes / GB * POOLS[name].usd_per_gb * (what == "spent")
    monkey.undo()
    assert books.take() == {}, "nothing is told twice"
    assert stats["proxies/bytes"] == books.total.bytes
    assert stats["proxies/usd"] == pytest.approx(books.total.usd) == pytest.approx(usd)
    for part in ("bytes", "usd", "usd_wasted"):
        whole = stats[f"proxies/{part}"]
        pools = [value for key, value in stats.items() if key.startswith(f"proxies/{part}/")]
        sites = [
            value for key, value in stats.items() if key.startswith("sites/") and key.endswith(f"/{part}")
        ]
        assert sum(pools) == pytest.approx(whole)
        assert sum(sites) == pytest.approx(whole)
    by_country = sum(value for key, value in stats.items() if key.startswith("proxies/countries/bytes/"))
    assert by_country == stats["proxies/bytes"]
    wasted = [n_bytes for what, *_, n_bytes in bookings if what == "wasted"]
    assert stats["proxies/bytes_wasted"] == sum(wasted)


def test_a_gigabyte_costs_its_price() -> None:
    books = Ledger(Budget())
    books.spent("a", POOLS["home"], "de", GB)
    assert books.take()["proxies/countries/usd/home/de"] == pytest.approx(4.0)


def test_more_sites_than_have_lines_of_their_own_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "SITES_MAX", 2)
    books = Ledger(Budget(usd=1.0))
    for site in "abcd":
        books.spent(site, POOLS["dc"], "", 10)
        books.standing(site)
    sites = {
        key: value
        for key, value in books.take().items()
        if key.startswith("sites/") and key.endswith("/bytes")
    }
    assert sites == {"sites/a/bytes": 10, "sites/b/bytes": 10, "sites/other/bytes": 20}


@pytest.mark.parametrize(
    ("budget", "n_bytes", "said"),
    [
        (Budget(), 100 * GB, ""),
        (Budget(usd=4.0), int(0.79 * GB), ""),
        (Budget(usd=4.0), int(0.81 * GB), FRUGAL),
        (Budget(usd=4.0), GB, RUN_SPENT),
        (Budget(gb=2.0), 2 * GB, RUN_SPENT),
        (Budget(gb=2.0, soft=0.5), GB, FRUGAL),
        (Budget(site_usd=2.0), int(0.5 * GB), SITE_SPENT),
        (Budget(site_gb=1.0), GB, SITE_SPENT),
        (Budget(site_gb=1.0), int(0.9 * GB), FRUGAL),
        (Budget(usd=4.0, site_usd=4.0), GB, RUN_SPENT),
    ],
)
def test_a_budget_is_frugal_first_and_then_spent(budget: Budget, n_bytes: int, said: str) -> None:
    books = Ledger(budget)
    books.spent("a", POOLS["home"], "", n_bytes)
    assert books.standing("a") == said
    assert said not in (RUN_SPENT, SITE_SPENT) or f"{budget.usd or budget.site_usd:g}" in books.said("a")


def test_a_site_that_spent_its_budget_leaves_the_others_theirs() -> None:
    books = Ledger(Budget(site_usd=2.0))
    books.spent("a", POOLS["home"], "", GB)
    assert (books.standing("a"), books.standing("b")) == (SITE_SPENT, "")


def test_bytes_of_a_free_pool_count_against_gigabytes_and_not_against_money() -> None:
    for budget, said in ((Budget(usd=1.0), ""), (Budget(gb=1.0), RUN_SPENT)):
        books = Ledger(budget)
        books.spent("a", POOLS["free"], "", GB)
        assert books.standing("a") == said
