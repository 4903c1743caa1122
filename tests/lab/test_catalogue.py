"""Catalogues: the truth that records are compared with."""

from __future__ import annotations

from collections import Counter

from scraper.lab.catalogue import PER_PAGE, catalogue


def test_same_seed_gives_same_catalogue_and_another_seed_another() -> None:
    """A run can be repeated."""
    assert catalogue("open", 7, 3) == catalogue("open", 7, 3)
    assert catalogue("open", 7, 3) != catalogue("open", 8, 3)
    assert catalogue("open", 7, 3) != catalogue("geo", 7, 3)


def test_every_page_links_ten_products_and_no_sku_comes_twice() -> None:
    """A record can be found again by its sku."""
    products = catalogue("open", 1, 30)
    assert Counter(product.page for product in products) == dict.fromkeys(range(1, 31), PER_PAGE)
    assert len({product.sku for product in products}) == 300


def test_prices_have_two_decimals_and_descriptions_some_sentences() -> None:
    """Processing steps have something to work on."""
    for product in catalogue("open", 1, 30):
        assert -product.price.as_tuple().exponent == 2
        assert 2 <= product.description.count(".") <= 5
        assert "{" not in product.description
