"""books.toscrape.com, the field's public sandbox: 1,000 books in 50 categories, on listings of 20."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from scrapy import Request

from scraper.arguments import arg
from scraper.errors import ArgumentError
from scraper.extract.values import price
from scraper.items import Book
from scraper.spider import GoodPage, Spider

RATINGS = {"One": 1, "Two": 2, "Three": 3, "Four": 4, "Five": 5}


class BooksSpider(Spider):
    name = "books"
    good_page: ClassVar[dict[str, GoodPage]] = {
        "parse_home": {"css": [".side_categories a"]},
        "parse_listing": {"css": ["article.product_pod h3 a"]},
        "parse_book": {"css": [".product_main h1", ".product_main .price_color", "table tr"]},
    }

    @dataclass(frozen=True)
    class Args(Spider.Args):
        url: str = arg(
            "https://books.toscrape.com/", "address of the shop, or of a copy of it", group="start"
        )
        category: str = arg("", "only this category, as the shop's menu names it (Travel)")
        max_pages: int = arg(0, "listing pages to read at most; 0: no limit", at_least=0)

    args: Args
    _listings = 0

    async def start(self) -> AsyncIterator[Any]:
        for url in self.start_pages:
            yield Request(url, self.parse_home if self.args.category else self.parse_listing)

    def parse_home(self, response: Any) -> Iterator[Request]:
        """Find the category's first listing in the menu."""
        menu = {
            " ".join(link.css("::text").getall()).strip(): link for link in response.css(".side_categories a")
        }
        wanted = self.args.category.strip().lower()
        links = [link for name, link in menu.items() if name.lower() == wanted]
        if not links:
            raise ArgumentError("category", self.args.category, f"the shop has {', '.join(menu)}")
        yield response.follow(links[0], self.parse_listing)

    def parse_listing(self, response: Any) -> Iterator[Request]:
        self._listings += 1
        yield from response.follow_all(css="article.product_pod h3 a", callback=self.parse_book)
        if not self.args.max_pages or self._listings < self.args.max_pages:
            yield from response.follow_all(css="li.next a", callback=self.parse_listing)

    def parse_book(self, response: Any) -> Iterator[Book]:
        facts = {row.css("th::text").get(): row.css("td::text").get("") for row in response.css("table tr")}
        amount, currency = price(response.css(".product_main .price_color::text").get())
        stars = response.css(".product_main .star-rating::attr(class)").get("").split()
        yield Book(
            url=response.url,
            upc=facts["UPC"],
            title=response.css(".product_main h1::text").get("").strip(),
            category=response.css("ul.breadcrumb li:nth-child(3) a::text").get(),
            price=amount,
            currency=currency,
            available=_copies(facts.get("Availability", "")),
            rating=next((RATINGS[star] for star in stars if star in RATINGS), None),
            description=response.css("#product_description + p::text").get(),
        )


def _copies(availability: str) -> int:
    """Return 22 for ``In stock (22 available)``, 0 for ``Out of stock``."""
    return int("".join(filter(str.isdigit, availability)) or 0)
