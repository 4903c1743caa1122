"""The records that spiders yield. Dataclasses: the order of the fields is the order of the stored columns.

Any other kind of item (dict, attrs, pydantic, scrapy.Item) is stored as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Page:
    """A page of any site. ``url`` was asked for, ``final_url`` answered (after redirects); both canonical.

    ``main_text`` is filled from ``html`` by the batch step of that name, in a worker process.
    """

    url: str
    final_url: str
    status: int
    title: str | None = None
    language: str | None = None  # BCP 47: de, en-US
    published: str | None = None  # ISO 8601, a date or a moment: the first ten characters are the date
    author: str | None = None
    main_text: str | None = None
    links: list[str] = field(default_factory=list)  # outgoing, absolute, each once, at most 5,000
    structured: dict[str, Any] = field(
        default_factory=dict
    )  # json_ld: list, microdata: list, opengraph: dict
    depth: int = 0  # links from a start address
    html: str = ""


@dataclass(slots=True)
class Product:
    """A product page of a shop. ``sku`` is the shop's own number and names the product on its ``site``."""

    url: str
    site: str
    sku: str | None = None
    title: str | None = None
    price: float | None = None  # in currency, e.g. 51.77
    currency: str | None = None  # ISO 4217: GBP
    in_stock: bool | None = None
    rating: float | None = None  # 0 to 5
    brand: str | None = None
    description: str | None = None


@dataclass(slots=True)
class Book:
    """A book of books.toscrape.com."""

    url: str
    upc: str
    title: str
    category: str | None = None
    price: float | None = None
    currency: str | None = None
    available: int = 0  # copies in stock
    rating: int | None = None  # 1 to 5
    description: str | None = None
