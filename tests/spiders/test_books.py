"""`books` on pages with the structure of books.toscrape.com."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1] / "pages" / "books"


def test_reads_every_book_of_every_listing(crawl, files) -> None:
    """Listings are followed to the end, and each book's page gives all its facts."""
    with files(ROOT) as web:
        done = crawl("spiders.books", url=web.url)
    books = {book["upc"]: book for book in done.items}
    assert len(done.items) == len(books) == 3
    assert books["cc0000000000003c"] == {
        "url": f"{web.url}catalogue/harbours_3/index.html",
        "upc": "cc0000000000003c",
        "title": "Harbours: An Atlas",
        "category": "Travel",
        "price": 49.43,
        "currency": "GBP",
        "available": 1,
        "rating": 5,
        "description": "Every harbour, drawn – with tea ☕.",
    }
    sold_out = books["bb0000000000002b"]
    assert (sold_out["price"], sold_out["available"], sold_out["description"]) == (1051.77, 0, None)


def test_reads_one_category(crawl, files) -> None:
    """``category`` takes the name of the menu in any case."""
    with files(ROOT) as web:
        done = crawl("spiders.books", url=web.url, category="travel")
    assert {book["category"] for book in done.items} == {"Travel"}
    assert len(done.items) == 2


def test_names_the_categories_when_there_is_no_such(crawl, files) -> None:
    """A category that the shop lacks is an error that lists those it has."""
    with files(ROOT) as web:
        done = crawl("spiders.books", url=web.url, category="Trvel")
    assert done.items == []
    assert "category = 'Trvel': the shop has Books, Travel, Poetry" in done.log


def test_reads_as_many_listings_as_asked(crawl, files) -> None:
    """``max_pages=1`` reads the books of the first listing only."""
    with files(ROOT) as web:
        done = crawl("spiders.books", url=web.url, max_pages="1")
    assert len(done.items) == 2
