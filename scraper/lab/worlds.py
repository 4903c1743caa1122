"""Which sites, rules, prices and pools a lab has: the standard world, or one drawn from a number.

A drawn world has 8 to 12 sites whose names tell nothing. Each has a second set of rules; half of the sites can change to it
in the middle of a run. The number decides the rules, prices and pools; the seed decides catalogues, exits and faults, as
in the standard world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from scraper.lab import defences, exits, vendors, walls
from scraper.lab.exits import COUNTRIES, PoolSpec
from scraper.lab.options import STANDARD, WALLS, LabOptions
from scraper.lab.shops import Shop

_FEWEST, _MOST = 8, 12  # sites
_PAGES = (vendors.akamai_denied, vendors.cloudflare_banned, vendors.datadome_captcha, vendors.imperva_captcha,
          vendors.amazon_robot_check)  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """How a site behaves: its class, that in words, and the options that are its own."""

    shop: type[Shop]
    about: str
    own: Mapping[str, Any] = field(default_factory=dict)

    def open(self, label: str, options: LabOptions) -> Shop:
        """The site ``label`` under these rules."""
        return self.shop(label, replace(options, **self.own))


@dataclass(frozen=True)
class SiteSpec:
    """A site: its label, the scheme of its start address, its rules.

    ``later``: rules that it can change to; ``restless``: one of the half that does so in the middle of a run.
    """

    label: str
    scheme: str
    rules: Rules
    later: Rules | None = None
    restless: bool = False
    needs_browser: bool = False


@dataclass(frozen=True)
class World:
    """``options``: those that were given, with the sizes of pools that the world has."""

    options: LabOptions
    sites: tuple[SiteSpec, ...]
    pools: tuple[PoolSpec, ...]


def world(options: LabOptions) -> World:
    """The world that the options name."""
    if options.world == WALLS:
        return _walls(options)
    return _standard(options) if options.world == STANDARD else _drawn(options)


def _standard(options: LabOptions) -> World:
    def site(label: str, scheme: str, shop: type[Shop], about: str, needs_browser: bool = False) -> SiteSpec:
        return SiteSpec(label, scheme, Rules(shop, about), needs_browser=needs_browser)

    sites = (
        site("open", "http", defences.OpenShop, "no defence; gzip, br, zstd and identity take turns"),
        site(
            "quota",
            "http",
            defences.QuotaShop,
            "bans an exit for a while after too many requests in a window",
        ),
        site("slow", "https", defences.SlowShop, "429 with Retry-After for an exit that asks too fast"),
        site(
            "captcha",
            "https",
            defences.CaptchaShop,
            "captcha with status 200 for direct and datacentre exits",
        ),
        site("geo", "https", defences.GeoShop, "serves one country only"),
        site(
            "sticky",
            "https",
            defences.StickyShop,
            "products want the cookie of a listing, from the same exit",
        ),
        site(
            "poison", "http", defences.PoisonShop, "products without a price for exits that it does not trust"
        ),
        site("redirect", "http", defences.RedirectShop, "sends exits that it does not trust to /blocked"),
        site("flaky", "http", defences.FlakyShop, "resets, stalls, and cuts bodies short"),
        site("js", "http", defences.ScriptShop, "listings are filled in by a script", needs_browser=True),
    )
    return World(options, sites, _market(options))


def _market(options: LabOptions) -> tuple[PoolSpec, ...]:
    """In the order of prices in the market of 2026."""
    return (
        exits.datacentre(options.datacentre_exits, 0.6),
        exits.residential(options.residential_exits, 3.0),
        exits.mobile(options.mobile_exits, 8.0),
    )


def _walls(options: LabOptions) -> World:
    """A site for each form of refusal, over http and https in turns, and one that is hostile in all of them."""
    about = "refuses servers: {}".format
    sites = [
        SiteSpec(label, ("http", "https")[place % 2], Rules(walls.FormShop, about(label)))
        for place, label in enumerate(walls.FORMS)
        if label != walls.LARGE
    ]
    large = {"block_kb": 500.0}
    sites += [
        SiteSpec(f"{walls.LARGE}-{scheme}", scheme, Rules(walls.FormShop, about("large pages"), large))
        for scheme in ("http", "https")
    ]
    sites.append(SiteSpec("hostile", "http", Rules(walls.HostileShop, "refuses everybody, in every way")))
    return World(options, tuple(sites), _market(options))


def _drawn(options: LabOptions) -> World:
    rng = Random(f"world:{options.world}")
    number = int(options.world)
    home = rng.choice(COUNTRIES)  # where the servers of the datacentre list stand
    pools = [exits.datacentre(rng.randint(4, 40), round(rng.uniform(0.0, 1.0), 2), (home,))]
    price = round(rng.uniform(0.8, 8.0), 2)
    pools.append(exits.residential(rng.randint(60, 300), price, worst=round(rng.uniform(0.0, 0.3), 2)))
    if number % 3 == 2:  # a second provider of homes: cheaper, and known to sites as worse
        cheap = round(price * rng.uniform(0.4, 0.7), 2)
        worse = exits.residential(
            rng.randint(60, 300),
            cheap,
            name="residential2",
            block=100,
            dying=0.18,
            best=rng.uniform(0.6, 0.9),
        )
        pools.append(worse)
    pools.append(exits.mobile(rng.randint(12, 40), round(rng.uniform(3.0, 12.0), 2)))
    heavy = number % 2 == 1  # pages of real size
    count = rng.randint(_FEWEST, _MOST)
    restless = set(rng.sample(range(count), count // 2))
    sites = []
    for place in range(count):
        rules = _draw_rules(rng, heavy)
        later = _draw_rules(rng, heavy)
        while later.about == rules.about:
            later = _draw_rules(rng, heavy)
        later = replace(later, own={**later.own, "page_kb": rules.own["page_kb"]})
        scheme = rng.choice(("http", "https"))
        sites.append(SiteSpec(f"shop{place + 1}", scheme, rules, later, place in restless))
    sizes: dict[str, Any] = {f"{pool.kind}_exits": pool.exits for pool in pools if pool.name == pool.kind}
    return World(replace(options, **sizes), tuple(sites), tuple(pools))


def _draw_rules(rng: Random, heavy: bool) -> Rules:
    """Up to three defences over each other, each with its own thresholds."""
    shops: list[type[Shop]] = []  # the outermost first
    about: list[str] = []
    own: dict[str, Any] = {
        "page_kb": round(rng.uniform(20, 110) if heavy else rng.uniform(0, 12), 1),
        "block_kb": round(rng.uniform(2, 12), 1),
    }
    access = rng.choices(("all", "no servers", "phones", "trust"), (4, 3, 1, 3))[0]
    state = rng.choices(("", "flaky", "sticky"), (6, 1, 2))[0]
    pace = rng.choices(("", "quota", "slow"), (5, 2, 1))[0]
    if access == "phones" or (state and access != "all"):
        pace = ""  # a few phones cannot live with a quota; and three defences are enough
    if state == "flaky":
        shops.append(defences.FlakyShop)
        own["fault_share"] = round(rng.uniform(0.03, 0.15), 2)
        about.append(f"{own['fault_share']:.0%} faults")
    elif state == "sticky":
        shops.append(defences.StickyShop)
        about.append("products want the cookie of a listing, from the same exit")
    if pace == "quota":
        shops.append(defences.QuotaShop)
        own |= {"ban_requests": rng.randint(10, 30), "ban_window": round(rng.uniform(5, 20), 1)}
        own["ban_seconds"] = round(rng.uniform(10, 40), 1)
        about.append(f"bans an exit after {own['ban_requests']} requests in {own['ban_window']} s")
    elif pace == "slow":
        shops.append(defences.SlowShop)
        own |= {"rate": round(rng.uniform(2, 6), 1), "burst": rng.randint(4, 12)}
        about.append(f"429 above {own['rate']} requests a second")
    if rng.random() < 0.25:
        shops.append(defences.GeoShop)
        own["geo_country"] = rng.choice(COUNTRIES)
        about.append(f"serves {own['geo_country']} only")
    shops += _draw_access(rng, access, own, about)
    bases = tuple(shops) or (defences.OpenShop,)
    return Rules(type("DrawnShop", bases, {}), "; ".join(about) or "no defence", own)


def _draw_access(rng: Random, access: str, own: dict[str, Any], about: list[str]) -> list[type[Shop]]:
    """Which kinds of exits get in at all."""
    if access in ("no servers", "phones"):
        refused = ("direct", "datacentre", "residential")[: 3 if access == "phones" else 2]
        page = rng.choice(_PAGES)
        about.append(f"refuses {', '.join(refused)}")
        return [
            type("DrawnRefusal", (defences.RefusingShop,), {"refused": refused, "page": staticmethod(page)})
        ]
    if access == "trust":
        own["trust"] = round(rng.uniform(0.1, 0.4), 2)
        own["poison_share"] = rng.choice((1.0, 0.5))
        shop = rng.choice((defences.PoisonShop, defences.RedirectShop, defences.WallShop))
        about.append(f"{shop.__name__.removesuffix('Shop').lower()} below quality {own['trust']}")
        return [shop]
    return []
