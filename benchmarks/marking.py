"""What a crawl of a lab was worth: its records against the truth, its requests, its money."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

FIELDS = ("title", "price", "currency", "in_stock", "rating", "brand", "description")
GOOD = frozenset({"listing", "product"})  # what the sites' record calls the pages that people come for
GB = 1e9


@dataclass
class Site:
    """One site's part. ``what``: requests by the site's word for them; ``sizes``: bytes of bodies, "<pool> good" or "other"."""

    needs: str
    about: str
    wanted: int = 0
    right: int = 0
    wrong: int = 0
    requests: int = 0
    what: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass
class Marks:
    """One crawl. ``usd``: by the gateways' own meters; ``bound_usd``: the bodies of the good pages alone, each once, at the
    price of the cheapest pool that gets every page of its site."""

    wanted: int
    right: int
    wrong: int
    requests: int
    usd: float
    bound_usd: float
    seconds: float
    sites: dict[str, Site]
    pool_usd: dict[str, float]


def mark(
    rows: Iterable[Mapping[str, Any]],
    truth: Mapping[str, Any],
    served: list[dict[str, Any]],
    prices: Mapping[str, float],
    change_after: int,
    seconds: float,
) -> Marks:
    """Compare ``rows`` (site, sku, FIELDS) with what the lab says. A record stored twice counts as wrong the second time."""
    sites = {
        host: Site(_way(told), told["about"], len(told["products"]))
        for host, told in truth["sites"].items()
        if not told["needs_browser"]
    }
    seen: set[tuple[str, str]] = set()
    for row in rows:
        host, sku = str(row["site"]), str(row["sku"])
        site = sites[host]
        product = truth["sites"][host]["products"].get(sku)
        if (
            (host, sku) not in seen
            and product is not None
            and all(_same(row[name], product[name]) for name in FIELDS)
        ):
            site.right += 1
        else:
            site.wrong += 1
        seen.add((host, sku))
    bound_usd = 0.0
    paid: set[tuple[str, str]] = set()
    nth: defaultdict[str, int] = defaultdict(int)
    for line in served:
        host = line["site"]
        site, good = sites[host], line["what"] in GOOD
        if good and (host, line["path"]) not in paid:
            paid.add((host, line["path"]))
            bound_usd += (
                line["size"] * prices[_needed(truth["sites"][host], nth[host], change_after)["pool"]] / GB
            )
        nth[host] += 1
        site.requests += 1
        site.what[line["what"]] = site.what.get(line["what"], 0) + 1
        kind = f"{line['pool']} {'good' if good else 'other'}"
        site.sizes[kind] = site.sizes.get(kind, 0) + line["size"]
    pool_usd = {name: books["usd"] for name, books in truth["pools"].items()}
    return Marks(
        wanted=sum(site.wanted for site in sites.values()),
        right=sum(site.right for site in sites.values()),
        wrong=sum(site.wrong for site in sites.values()),
        requests=len(served),
        usd=sum(pool_usd.values()),
        bound_usd=bound_usd,
        seconds=seconds,
        sites=sites,
        pool_usd=pool_usd,
    )


def needs_file(truth: Mapping[str, Any], change_after: int) -> dict[str, Any]:
    """What the perfect player is told, by host."""
    return {
        host: {
            **told["needs"],
            "later": told["needs_later"] if change_after and told.get("restless") else None,
            "after": change_after,
        }
        for host, told in truth["sites"].items()
        if not told["needs_browser"]
    }


def _needed(told: Mapping[str, Any], nth: int, change_after: int) -> Mapping[str, Any]:
    changed = change_after and told.get("restless") and nth >= change_after
    needed: Mapping[str, Any] = told["needs_later"] if changed else told["needs"]
    return needed


def _way(told: Mapping[str, Any]) -> str:
    needed = told["needs"]
    return "-".join(filter(None, (needed["pool"], needed["country"], "entry" if needed["entry"] else "")))


def _same(got: Any, true: Any) -> bool:
    """The truth has prices as text, so that they are exact."""
    if isinstance(true, bool) or not isinstance(got, (int, float)):
        return bool(got == true)
    try:
        return math.isclose(got, float(true), abs_tol=1e-9)
    except ValueError:
        return False
