"""RULE. What is believed about each pool at a site, and why the next request would go where it goes.

It asks the same chooser as a crawl, ``DRAWS`` times, and puts what it sees into plain rows and one sentence.
"""

from __future__ import annotations

import difflib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scraper.proxies.beliefs import ANYWHERE, DEFAULT_SHARE, STRENGTH, Beliefs
from scraper.proxies.choice import Chooser, Terms
from scraper.proxies.pools import Pool

DRAWS = 1000  # a share of them is right to 3 points
INTERVAL = (0.05, 0.95)  # of the believed share: nine in ten
NEAREST = 5  # known sites that are named for an unknown one
_NOW_S = 0.0  # what was loaded is already discounted up to now


@dataclass(frozen=True, slots=True)
class Row:
    """One pool at the site. ``right`` and ``blocks`` are discounted counts; shares from 0 to 1."""

    pool: str
    usd_per_gb: float
    right: float
    blocks: float
    share: float  # of right pages, believed, where no country is refused
    low: float
    high: float
    country: str  # the one it would be asked for, where the site refuses some; '': any
    passes: float  # share of pages that are not refused for that country
    answers: float  # of requests through the pool that anything came back to
    usd_per_right_page: float  # expected, blocks and refusals by country included
    chosen: float  # of the draws
    seen_s_ago: float | None  # None: never at this site
    on_request: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A country ('' for any) at a site that refuses some: the share of pages that are not refused for it, believed."""

    country: str
    passes: float
    chosen: float


@dataclass(frozen=True, slots=True)
class Answer:
    """``rows``: the most chosen first. ``places``: only where the site has refused a country. ``nearest``: known sites."""

    site: str
    known: bool
    strategy: str
    rows: tuple[Row, ...]
    places: tuple[Place, ...]
    nearest: tuple[str, ...]
    why: str


def explain(
    site: str,
    pools: Sequence[Pool],
    beliefs: Beliefs,
    terms: Terms,
    chance: random.Random,
    seen_s_ago: Mapping[str, float],
) -> Answer:
    """Return what a request to ``site`` that asks for nothing in particular meets now. ``pools``: cheapest first."""
    known = site in set(beliefs.sites())
    chooser = Chooser(beliefs, terms, chance)
    able = [pool for pool in pools if not pool.on_request]
    arms = [arm for _ in range(DRAWS if able else 0) if (arm := chooser.arm(site, able, _NOW_S)) is not None]
    by_pool = Counter(arm.pool.name for arm in arms)
    by_place = Counter(arm.country for arm in arms)
    passes = {ANYWHERE: 1.0}
    if beliefs.refuses_countries(site):
        for country in (ANYWHERE, *terms.countries):
            good, bad = beliefs.place_shape(site, country, _NOW_S)
            passes[country] = good / (good + bad)
    rows = [
        _row(
            site,
            pool,
            beliefs,
            chooser,
            chance,
            passes,
            by_pool[pool.name] / DRAWS,
            seen_s_ago.get(pool.name),
        )
        for pool in pools
    ]
    rows.sort(key=lambda row: (row.on_request, -row.chosen, row.usd_per_right_page))
    places = [Place(country, share, by_place[country] / DRAWS) for country, share in passes.items()]
    return Answer(
        site=site,
        known=known,
        strategy=terms.strategy,
        rows=tuple(rows),
        places=tuple(places) if beliefs.refuses_countries(site) else (),
        nearest=() if known else nearest(site, beliefs),
        why=_why(rows, terms, known),
    )


def nearest(site: str, beliefs: Beliefs) -> tuple[str, ...]:
    """The known sites whose names are most like ``site``; where none is, the first by name."""
    names = sorted(beliefs.sites())
    return tuple(difflib.get_close_matches(site, names, NEAREST, cutoff=0.5) or names[:NEAREST])


def _row(
    site: str,
    pool: Pool,
    beliefs: Beliefs,
    chooser: Chooser,
    chance: random.Random,
    passes: Mapping[str, float],
    chosen: float,
    seen_s_ago: float | None,
) -> Row:
    best, country = max((share, code) for code, share in passes.items() if not code or code in pool.countries)
    good, bad = beliefs.shape(site, pool.name, _NOW_S)
    share = good / (good + bad)
    assumed = STRENGTH * beliefs.share_anywhere(pool.name, _NOW_S)
    drawn = sorted(chance.betavariate(good, bad) for _ in range(DRAWS))
    return Row(
        pool=pool.name,
        usd_per_gb=pool.usd_per_gb,
        right=max(0.0, good - assumed),
        blocks=max(0.0, bad - (STRENGTH - assumed)),
        share=share,
        low=drawn[int(INTERVAL[0] * DRAWS)],
        high=drawn[int(INTERVAL[1] * DRAWS)],
        country=country,
        passes=best,
        answers=beliefs.answers(pool.name, _NOW_S),
        usd_per_right_page=chooser.cost_usd(site, pool, share * best, _NOW_S),
        chosen=chosen,
        seen_s_ago=seen_s_ago,
        on_request=pool.on_request,
    )


def _why(rows: Sequence[Row], terms: Terms, known: bool) -> str:
    """One sentence on the first row."""
    first, *others = rows
    others = [row for row in others if not row.on_request]
    if not first.chosen:
        return "No pool is used unless a request asks for it by name (on_request)."
    begin = f"{first.pool} is taken for {first.chosen:.0%} of the requests"
    if terms.strategy != "thompson":
        return f"{begin}: PROXY_STRATEGY = {terms.strategy} chooses by its own rule, not by cost."
    if not others:
        return f"{begin}: there is no other pool."
    second = min(others, key=lambda row: row.usd_per_right_page)
    passed = f"{first.share:.0%} of its pages are believed to be right"
    if first.country:
        passed += f" if exits in {first.country} are asked for, since the site refuses countries"
    if not known:
        passed = f"nothing is known about the site, so what pools did elsewhere is assumed ({DEFAULT_SHARE:.0%} for a new one)"
    if second.usd_per_right_page < first.usd_per_right_page:
        if second.share * second.passes < terms.min_success <= first.share * first.passes:
            return (
                f"{begin}: {passed}; {second.pool} would cost less, but only {second.share * second.passes:.0%} pass there, and below "
                f"PROXY_MIN_SUCCESS = {terms.min_success:g} a pool is not asked while another is above it."
            )
        return f"{begin}: {passed}; {second.pool} may cost less, and is tried now and then to find out."
    times = second.usd_per_right_page / max(first.usd_per_right_page, 1e-12)
    return f"{begin}: {passed}, and a right page costs {times:.1f} times as much through {second.pool}, the next."
