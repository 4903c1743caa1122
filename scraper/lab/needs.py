"""What a player who knows a site would use there: the cheapest pool that gets every page. A rule file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from scraper.lab.catalogue import PER_PAGE
from scraper.lab.exits import Exit, PoolSpec
from scraper.lab.shops import Shop

_ENOUGH = (
    0.5  # share of a pool's exits that the site must serve: where most are refused, it is the wrong pool
)
_SLACK = 1.2  # more requests than pages, by which a quota must not be passed


@dataclass(frozen=True)
class Needs:
    """``country`` "": any; ``entry``: a product page wants that the same exit saw a listing."""

    pool: str
    country: str
    entry: bool

    def told(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def needs(shop: Shop, pools: Iterable[tuple[PoolSpec, list[Exit]]]) -> Needs | None:
    """The cheapest way to all pages of ``shop``; None where no pool has one.

    A pool whose exits would all be banned before the last page counts only where every pool is like that: then
    the one that lasts longest.
    """
    wanted = shop.options.pages * (PER_PAGE + 1) * _SLACK
    short: tuple[float, Needs] | None = None
    for spec, exits in sorted(pools, key=lambda pool: pool[0].usd_per_gb):
        for country, chosen in _ways(spec, exits):
            served = sum(shop.serves(exit_) for exit_ in chosen)
            if not served or served < _ENOUGH * len(chosen):
                continue
            found = Needs(spec.name, country, shop.entry)
            if served * shop.quota >= wanted:
                return found
            if short is None or served * shop.quota > short[0]:
                short = (served * shop.quota, found)
    return short[1] if short else None


def _ways(spec: PoolSpec, exits: list[Exit]) -> Iterator[tuple[str, list[Exit]]]:
    """The exits that come without asking, then those of each country that can be asked for."""
    yield "", exits
    if spec.gateway:
        for country in spec.countries:
            yield country, [exit_ for exit_ in exits if exit_.country == country]
