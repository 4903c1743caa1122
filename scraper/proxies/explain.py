"""RULE. What is estimated for each pool at a site, and why the next request would go where it goes.

It asks the same chooser as a crawl, ``DRAWS`` times, and puts what it sees into plain rows and one sentence.
"""

from __future__ import annotations

import difflib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scraper.proxies.beliefs import ANYWHERE, DEFAULT_SHARE, STRENGTH, Beliefs, place_of
from scraper.proxies.choice import Chooser, Terms
from scraper.proxies.pools import Pool

DRAWS = 1000  # a share of them is right to 3 points
INTERVAL = (0.05, 0.95)  # of the estimated share: nine in ten
NEAREST = 5  # known sites that are named for an unknown one
_NOW_S = 0.0  # what was loaded is already discounted up to now


@dataclass(frozen=True, slots=True)
class Row:
    """One pool at the site. ``right`` and ``blocks`` are discounted counts; shares from 0 to 1."""

    pool: str
    usd_per_gb: float
    right: float
    blocks: float
    share: float  # of right pages, estimated, where no country is refused
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
    """A place at a site that refuses countries. ``passes``: estimated share of pages that are not refused there.

    ``country`` with ``pool`` '': the same for every pool. ``country`` '': wherever the exits of ``pool`` happen to be.
    """

    country: str
    pool: str
    passes: float
    chosen: float


@dataclass(frozen=True, slots=True)
class Answer:
    """``rows``: the most chosen first. ``places``: only where the site has refused a country. ``nearest``: known sites.

    ``notes``: what to know before the rows are read.
    """

    site: str
    known: bool
    strategy: str
    rows: tuple[Row, ...]
    places: tuple[Place, ...]
    nearest: tuple[str, ...]
    notes: tuple[str, ...]
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
    refuses = beliefs.refuses_countries(site)
    passes = {country: _passes(site, country, beliefs) for country in terms.countries} if refuses else {}
    anywhere = {
        pool.name: _passes(site, place_of(ANYWHERE, pool.name), beliefs) if refuses else 1.0 for pool in pools
    }
    rows = [
        _row(
            site,
            pool,
            beliefs,
            chooser,
            chance,
            {ANYWHERE: anywhere[pool.name], **passes},
            by_pool[pool.name] / DRAWS,
            seen_s_ago.get(pool.name),
        )
        for pool in pools
    ]
    rows.sort(key=lambda row: (row.on_request, -row.chosen, row.usd_per_right_page))
    places = _places(pools, passes, anywhere, Counter((arm.country, arm.pool.name) for arm in arms))
    return Answer(
        site=site,
        known=known,
        strategy=terms.strategy,
        rows=tuple(rows),
        places=tuple(places) if refuses else (),
        nearest=() if known else nearest(site, beliefs),
        notes=tuple(_notes(pools, terms, refuses)),
        why=_why(rows, terms, known),
    )


def nearest(site: str, beliefs: Beliefs) -> tuple[str, ...]:
    """The known sites whose names are most like ``site``; where none is, the first by name."""
    names = sorted(beliefs.sites())
    return tuple(difflib.get_close_matches(site, names, NEAREST, cutoff=0.5) or names[:NEAREST])


def _passes(site: str, place: str, beliefs: Beliefs) -> float:
    good, bad = beliefs.place_shape(site, place, _NOW_S)
    return good / (good + bad)


def _places(
    pools: Sequence[Pool],
    passes: Mapping[str, float],
    anywhere: Mapping[str, float],
    drawn: Mapping[tuple[str, str], int],
) -> Iterator[Place]:
    """Every country that is allowed; then each pool that has none of them, or goes without one all the same."""
    for country, share in passes.items():
        yield Place(country, "", share, sum(n for (code, _), n in drawn.items() if code == country) / DRAWS)
    for pool in pools:
        n = drawn.get((ANYWHERE, pool.name), 0)
        if n or not passes.keys() & set(pool.countries):
            yield Place(ANYWHERE, pool.name, anywhere[pool.name], n / DRAWS)


def _notes(pools: Sequence[Pool], terms: Terms, refuses: bool) -> Iterator[str]:
    if refuses and not terms.countries:
        yield (
            "The site refuses countries. The spider's proxy_countries are not known here: add --country us,de."
        )
    if missing := [code for code in terms.countries if not any(code in pool.countries for pool in pools)]:
        yield f"no pool can be asked for {', '.join(missing)}: add it to `countries` of a pool"


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
    passed = f"{first.share:.0%} of its pages are estimated to be right"
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
