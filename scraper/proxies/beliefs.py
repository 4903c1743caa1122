"""RULE. What is believed about each pool at each site: how often it gets the right page, and what that costs in bytes.

Three kinds of evidence: a good page, a block, and none (a 404, a 429, a fault: they change nothing here). Counts are
discounted by every later observation at the same site and by time, and cut short by a row of blocks that they make very
unlikely, so that a site that changes its mind is noticed within some pages. What is not known about a pool at a site is
assumed from what the pool did at other sites. A refusal by country is kept apart: it speaks about the country at every
pool, not about the pool.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

ANYWHERE = ""  # the country of a request that asks for none

MEMORY = 200.0  # observations at a site after which one counts 1/e: a change shows within tens of pages
UNLIKELY = 1e-3  # chance of a row of blocks, if what is believed were true, below which the site has changed its mind
DOUBTED = 2.0  # observations that all of it is worth then: hardly more than an assumption
HALF_LIFE_S = 86_400.0  # a day: a nightly run still knows half of what the last one learnt
DEFAULT_SHARE = (
    0.7  # good pages of a pool nobody has tried: rather good, so that cheap pools are tried at all
)
STRENGTH = 1.0  # observations that an assumption is worth: a site mostly either blocks a pool or does not
PLACE_SHARE = 0.5  # good answers from a country nobody has tried at a site that refuses countries
ANYWHERE_SHARE = 0.25  # the same where no country was asked for, and the exit may be anywhere
REFUSAL = (
    4.0  # observations that one refusal by country is worth: it is a rule of the site, hardly ever chance
)
SITES_MAX = 50_000  # sites remembered at once, least recently used go first: about 1 kB each
PAGE_BYTES = 40_000.0  # of a page, compressed, before any was seen at the site
BLOCK_BYTES = 6_000.0  # of a block page, before any was seen
_BYTES_WEIGHT = 0.05  # of the newest page in the running mean of sizes, once twenty were seen


def place_of(country: str, pool: str) -> str:
    """The name under which refusals by country are kept: the country, or where the exits of ``pool`` happen to be."""
    return country or f"any:{pool}"


@dataclass(slots=True)
class Evidence:
    """Discounted counts; ``tick`` and ``at_s`` say when they were discounted last; ``row``: blocks since a good page."""

    good: float = 0.0
    bad: float = 0.0
    tick: float = 0.0
    at_s: float = 0.0
    row: int = 0


@dataclass(slots=True)
class _Mean:
    value: float
    n: int = 0

    def add(self, value: float) -> None:
        self.n += 1
        self.value += (value - self.value) * max(1 / self.n, _BYTES_WEIGHT)


@dataclass(slots=True)
class _Site:
    tick: float = 0.0  # observations so far
    pools: dict[str, Evidence] = field(default_factory=dict)
    places: dict[str, Evidence] | None = None  # by place, from the first refusal by country on
    page: _Mean = field(default_factory=lambda: _Mean(PAGE_BYTES))
    blocks: dict[str, _Mean] = field(default_factory=dict)  # by pool


@dataclass(slots=True)
class Row:
    """Evidence as it is stored: ``kind`` "pool" (``name`` a pool), "place" (see ``place_of``), or "reach" (site "")."""

    kind: str
    site: str
    name: str
    good: float = 0.0
    bad: float = 0.0
    page_bytes: float = 0.0  # mean of right pages; 0: none seen
    block_bytes: float = 0.0


class Beliefs:
    """All sites and pools of a crawl. ``now_s`` is seconds of one monotonic clock."""

    def __init__(self, memory: float = MEMORY, half_life_s: float = HALF_LIFE_S) -> None:
        self._keep = 1 - 1 / memory
        self._half_life_s = half_life_s
        self._sites: OrderedDict[str, _Site] = OrderedDict()
        self._pools: dict[str, Evidence] = {}  # over all sites, each site's first pages counting most
        self._reach: dict[str, Evidence] = {}  # answers against faults of the pool itself
        self._news: dict[tuple[str, str, str], Row] = {}

    # --- learning -----------------------------------------------------------------------------------------------------

    def good(self, site: str, pool: str, country: str, n_bytes: float, now_s: float) -> None:
        """A right page of ``n_bytes`` at the socket came through ``pool`` from ``country``."""
        state, found = self._observe(site, pool, now_s, good=1)
        found.row = 0
        if n_bytes:
            state.page.add(n_bytes)
        self._note("pool", site, pool, good=1, page_bytes=n_bytes)
        if state.places is not None:
            self._add_place(state, site, place_of(country, pool), now_s, good=1)

    def blocked(self, site: str, pool: str, n_bytes: float, now_s: float, *, tired: bool = False) -> None:
        """The site refused what came through ``pool``. ``tired``: one that it had let in before."""
        state, found = self._observe(site, pool, now_s, bad=1)
        if not tired:  # many that began together tire together: that is no change of mind
            found.row += 1
            self._doubt(found)
        if n_bytes:
            state.blocks.setdefault(pool, _Mean(BLOCK_BYTES)).add(n_bytes)
        self._note("pool", site, pool, bad=1, block_bytes=n_bytes)

    def geo(self, site: str, place: str, now_s: float) -> None:
        """The site refused the country; ``place``: see ``place_of``."""
        state = self._site(site)
        state.tick += 1
        if state.places is None:
            state.places = {}
            for pool, found in state.pools.items():  # what passed before did so from wherever it was
                if reached := self._aged(found, state.tick, now_s).good:
                    self._add_place(state, site, place_of(ANYWHERE, pool), now_s, good=min(reached, REFUSAL))
        self._add_place(state, site, place, now_s, bad=REFUSAL)

    def reached(self, pool: str, now_s: float, *, answered: bool) -> None:
        """Something came back through ``pool``, or the pool itself failed."""
        evidence = self._aged(self._reach.setdefault(pool, Evidence(at_s=now_s)), None, now_s)
        evidence.good = evidence.good * self._keep + answered
        evidence.bad = evidence.bad * self._keep + (not answered)
        self._note("reach", "", pool, good=float(answered), bad=float(not answered))

    # --- asking -------------------------------------------------------------------------------------------------------

    def shape(self, site: str, pool: str, now_s: float) -> tuple[float, float]:
        """The Beta parameters of the share of right pages of ``pool`` at ``site``."""
        share = self.share_anywhere(pool, now_s)
        state = self._sites.get(site)
        found = state.pools.get(pool) if state is not None else None
        if state is None or found is None:
            return STRENGTH * share, STRENGTH * (1 - share)
        self._aged(found, state.tick, now_s)
        return STRENGTH * share + found.good, STRENGTH * (1 - share) + found.bad

    def share_anywhere(self, pool: str, now_s: float) -> float:
        """The mean share of right pages of ``pool`` over all sites, each counting about alike."""
        found = self._pools.get(pool)
        if found is None:
            return DEFAULT_SHARE
        self._aged(found, None, now_s)
        return (STRENGTH * DEFAULT_SHARE + found.good) / (STRENGTH + found.good + found.bad)

    def place_shape(self, site: str, place: str, now_s: float) -> tuple[float, float]:
        """The Beta parameters of the share of answers that do not refuse ``place`` (see ``place_of``) at ``site``."""
        share = PLACE_SHARE if len(place) == 2 else ANYWHERE_SHARE
        state = self._sites.get(site)
        found = state.places.get(place) if state is not None and state.places is not None else None
        if state is None or found is None:
            return 2 * share, 2 * (1 - share)
        self._aged(found, state.tick, now_s)
        return 2 * share + found.good, 2 * (1 - share) + found.bad

    def place_tried(self, site: str, place: str) -> bool:
        """Whether ``site`` was ever asked from ``place`` since it first refused a country."""
        state = self._sites.get(site)
        return state is not None and state.places is not None and place in state.places

    def refuses_countries(self, site: str) -> bool:
        """Whether the site has ever refused a country."""
        state = self._sites.get(site)
        return state is not None and state.places is not None

    def answers(self, pool: str, now_s: float) -> float:
        """The share of requests through ``pool`` that something came back to."""
        found = self._reach.get(pool)
        if found is None:
            return 1.0
        self._aged(found, None, now_s)
        return (9 + found.good) / (9 + found.good + found.bad)

    def page_bytes(self, site: str) -> float:
        """Mean bytes of a right page of the site, handshakes of new identities included."""
        state = self._sites.get(site)
        return PAGE_BYTES if state is None else state.page.value

    def block_bytes(self, site: str, pool: str) -> float:
        """Mean bytes of a block of the site, tunnel and all."""
        state = self._sites.get(site)
        found = state.blocks.get(pool) if state is not None else None
        return BLOCK_BYTES if found is None else found.value

    def sites(self) -> Iterable[str]:
        """Every site that something is known about."""
        return self._sites.keys()

    # --- storing ------------------------------------------------------------------------------------------------------

    def take_news(self) -> list[Row]:
        """What was learnt since the last call, as sums of observations; sizes as means."""
        news = list(self._news.values())
        self._news = {}
        for row in news:
            row.page_bytes = row.page_bytes / row.good if row.good else 0.0
            row.block_bytes = row.block_bytes / row.bad if row.bad else 0.0
        return news

    def give_back(self, news: Iterable[Row]) -> None:
        """News that could not be stored: kept for the next time."""
        for row in news:
            self._note(row.kind, row.site, row.name, row.good, row.bad,
                       row.page_bytes * row.good, row.block_bytes * row.bad)  # fmt: skip

    def load(self, rows: Iterable[Row], now_s: float) -> None:
        """Begin with what earlier runs learnt, already discounted for the time between."""
        for row in rows:
            if row.kind == "reach":
                self._reach[row.name] = Evidence(row.good, row.bad, 0.0, now_s)
                continue
            state = self._site(row.site)
            if row.kind == "place":
                if state.places is None:
                    state.places = {}
                state.places[row.name] = Evidence(row.good, row.bad, state.tick, now_s)
                continue
            state.pools[row.name] = Evidence(row.good, row.bad, state.tick, now_s)
            if row.page_bytes:
                state.page.add(row.page_bytes)
            if row.block_bytes:
                state.blocks.setdefault(row.name, _Mean(BLOCK_BYTES)).add(row.block_bytes)
            total = max(1.0, row.good + row.bad)  # what is nearly forgotten at the site is so everywhere
            self._add_everywhere(row.name, row.good / total, row.bad / total, now_s)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _site(self, name: str) -> _Site:
        state = self._sites.get(name)
        if state is None:
            state = self._sites[name] = _Site()
            if len(self._sites) > SITES_MAX:
                self._sites.popitem(last=False)
        else:
            self._sites.move_to_end(name)
        return state

    def _observe(
        self, site: str, pool: str, now_s: float, good: float = 0.0, bad: float = 0.0
    ) -> tuple[_Site, Evidence]:
        state = self._site(site)
        state.tick += 1
        found = state.pools.get(pool)
        if found is None:
            found = state.pools[pool] = Evidence(tick=state.tick, at_s=now_s)
        self._aged(found, state.tick, now_s)
        weight = 1 / (1 + found.good + found.bad)
        self._add_everywhere(pool, good * weight, bad * weight, now_s)
        found.good += good
        found.bad += bad
        return state, found

    def _doubt(self, found: Evidence) -> None:
        """Cut the evidence short where its last ``row`` blocks do not go with the rest of it."""
        seen = found.good + found.bad
        before = max(0.0, found.bad - found.row) + 1
        if seen > DOUBTED and (before / (before + found.good)) ** found.row < UNLIKELY:
            found.good *= DOUBTED / seen
            found.bad *= DOUBTED / seen

    def _add_everywhere(self, pool: str, good: float, bad: float, now_s: float) -> None:
        everywhere = self._aged(self._pools.setdefault(pool, Evidence(at_s=now_s)), None, now_s)
        everywhere.good += good
        everywhere.bad += bad

    def _add_place(
        self, state: _Site, site: str, place: str, now_s: float, good: float = 0.0, bad: float = 0.0
    ) -> None:
        assert state.places is not None
        found = state.places.setdefault(place, Evidence(tick=state.tick, at_s=now_s))
        self._aged(found, state.tick, now_s)
        found.good += good
        found.bad += bad
        self._note("place", site, place, good, bad)

    def _aged(self, evidence: Evidence, tick: float | None, now_s: float) -> Evidence:
        """Discount ``evidence`` up to now, in place."""
        factor = 1.0
        if tick is not None and tick > evidence.tick:
            factor = self._keep ** (tick - evidence.tick)
            evidence.tick = tick
        if now_s - evidence.at_s > self._half_life_s / 1000:  # less would change nothing that shows
            factor *= 0.5 ** ((now_s - evidence.at_s) / self._half_life_s)
            evidence.at_s = now_s
        if factor != 1.0:
            evidence.good *= factor
            evidence.bad *= factor
        return evidence

    def _note(
        self, kind: str, site: str, name: str, good: float = 0.0, bad: float = 0.0,
        page_bytes: float = 0.0, block_bytes: float = 0.0,
    ) -> None:  # fmt: skip
        row = self._news.get((kind, site, name))
        if row is None:
            row = self._news[kind, site, name] = Row(kind, site, name)
        row.good += good
        row.bad += bad
        row.page_bytes += page_bytes
        row.block_bytes += block_bytes
