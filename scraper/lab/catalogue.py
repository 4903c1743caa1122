"""What each shop sells: the truth that records are compared with. The same seed gives the same catalogue."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from random import Random
from typing import Any

PER_PAGE = 10

_BRANDS = ("Alder & Finch", "Brøndby", "Castellan", "Dovetail", "Étoile", "Fjordlys", "Grünwald", "Hale & Sons",
           "Ironbark", "Juniper", "Kestrel", "Lowther")  # fmt: skip
_MATERIALS = (
    "oak",
    "linen",
    "brushed steel",
    "stoneware",
    "felt",
    "walnut",
    "cork",
    "enamel",
    "glass",
    "bamboo",
)
_THINGS = ("desk lamp", "tea pot", "wall shelf", "throw blanket", "kitchen scale", "notebook", "water bottle",
           "bread knife", "coat hook", "picture frame", "garden chair", "storage box")  # fmt: skip
_SENTENCES = (
    "This {thing} made of {material} belongs to the autumn range of {brand}.",
    "It measures {a} by {b} centimetres and weighs about {c} grams, packed and ready to use.",
    "The {material} comes from a workshop that has worked for {brand} for {b} years.",
    "Every piece is checked by hand before it leaves the house, so small differences in colour are normal.",
    "Wipe it clean with a damp cloth; do not put it into the dishwasher.",
    "Spare parts for this {thing} stay on sale for at least {b} years.",
    "Customers who wanted something simple told us that they kept this {thing} longer than expected.",
    "Delivered flat in recycled card, with a leaflet that shows how to put it together in {b} minutes.",
)
_CURRENCIES = ("EUR", "USD", "GBP")


@dataclass(frozen=True)
class Product:
    """One product as it really is; ``page`` (from 1) is the one listing page that links it."""

    sku: str
    title: str
    price: Decimal
    currency: str
    description: str
    rating: float
    reviews: int
    in_stock: bool
    brand: str
    page: int

    @property
    def path(self) -> str:
        """Path of its page on its site."""
        return f"/p/{self.sku}"

    def truth(self) -> dict[str, Any]:
        """All fields as JSON holds them; the price is a string of two decimals."""
        return {**asdict(self), "price": str(self.price), "path": self.path}


def catalogue(label: str, seed: int, pages: int) -> list[Product]:
    """The ``pages`` x PER_PAGE products of site ``label``, in the order of its listing."""
    rng = Random(f"{seed}:catalogue:{label}")
    currency = rng.choice(_CURRENCIES)
    count = pages * PER_PAGE
    numbers = rng.sample(range(10_000, 100_000), count)
    return [
        _product(rng, f"{label[:3].upper()}-{number}", number, currency, 1 + index // PER_PAGE)
        for index, number in enumerate(numbers)
    ]


def _product(rng: Random, sku: str, number: int, currency: str, page: int) -> Product:
    brand, material, thing = rng.choice(_BRANDS), rng.choice(_MATERIALS), rng.choice(_THINGS)
    words: dict[str, str | int] = {"brand": brand, "material": material, "thing": thing}
    words |= {"a": rng.randint(8, 90), "b": rng.randint(3, 25), "c": rng.randint(120, 4000)}
    chosen = sorted(rng.sample(range(len(_SENTENCES)), rng.randint(2, 5)))
    return Product(
        sku=sku,
        title=f"{brand} {material.title()} {thing.title()} {number % 1000}",
        price=Decimal(rng.randint(299, 249_999)).scaleb(-2),
        currency=currency,
        description=" ".join(_SENTENCES[index].format(**words) for index in chosen),
        rating=rng.randint(20, 50) / 10,
        reviews=rng.randint(1, 900),
        in_stock=rng.random() < 0.8,
        brand=brand,
        page=page,
    )
