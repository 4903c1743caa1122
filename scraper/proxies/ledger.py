"""RULE. Money: bytes times the pool's price, by site, pool and country, useful or wasted; and what the budgets say."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scraper.proxies.pools import Pool

BYTES_PER_GB = 1e9  # providers bill decimal gigabytes unless they say GiB
SITES_MAX = 1_000  # with lines of their own; what further sites cost is added up as OTHER
OTHER = "other"

FRUGAL = "frugal"  # the soft limit is passed: cost is all that counts
SITE_SPENT = "site_budget"  # nothing more for this site
RUN_SPENT = "budget"  # nothing more at all


@dataclass(frozen=True, slots=True)
class Budget:
    """USD and decimal gigabytes for the run and for each site, 0: no limit; ``soft``: the share from which on a site is
    asked through whatever costs least."""

    usd: float = 0.0
    gb: float = 0.0
    site_usd: float = 0.0
    site_gb: float = 0.0
    soft: float = 0.8


@dataclass(slots=True)
class Line:
    """What went through one pool from one country for one site."""

    bytes: int = 0
    wasted_bytes: int = 0
    usd: float = 0.0
    usd_wasted: float = 0.0


def cost_usd(pool: Pool, n_bytes: float) -> float:
    """Price of ``n_bytes`` (both directions, as counted at the socket) through ``pool``."""
    return n_bytes / BYTES_PER_GB * pool.usd_per_gb


class Ledger:
    """The books of a run. ``take`` gives what changed since the last time as stats keys and what to add to each."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.total = Line()
        self._sites: dict[str, Line] = {}
        self._news: dict[tuple[str, str, str], Line] = {}
        self._limited = any((budget.usd, budget.gb, budget.site_usd, budget.site_gb))

    def spent(self, site: str, pool: Pool, country: str, n_bytes: int) -> None:
        """``n_bytes`` went over the wire."""
        usd = n_bytes / BYTES_PER_GB * pool.usd_per_gb
        total, of_site = self.total, self._of_site(site)
        line = self._line(site, pool.name, country)
        line.bytes += n_bytes
        line.usd += usd
        total.bytes += n_bytes
        total.usd += usd
        of_site.bytes += n_bytes
        of_site.usd += usd

    def wasted(self, site: str, pool: Pool, country: str, n_bytes: int) -> None:
        """Of what was spent, ``n_bytes`` brought nothing."""
        line = self._line(site, pool.name, country)
        line.wasted_bytes += n_bytes
        line.usd_wasted += cost_usd(pool, n_bytes)

    def standing(self, site: str) -> str:
        """What the budgets say about a further request to ``site``: RUN_SPENT, SITE_SPENT, FRUGAL or ''."""
        if not self._limited:
            return ""
        budget, of_site = self.budget, self._of_site(site)
        of_run = max(_share(self.total.usd, budget.usd), _share(self.total.bytes, budget.gb * BYTES_PER_GB))
        site_share = max(
            _share(of_site.usd, budget.site_usd), _share(of_site.bytes, budget.site_gb * BYTES_PER_GB)
        )
        if of_run >= 1:
            return RUN_SPENT
        if site_share >= 1:
            return SITE_SPENT
        return FRUGAL if max(of_run, site_share) >= budget.soft else ""

    def said(self, site: str) -> str:
        """What is spent of the budget that is spent most, in words."""
        budget, of_site = self.budget, self._of_site(site)
        limits = (
            ("PROXY_BUDGET_USD", "", self.total.usd, budget.usd),
            ("PROXY_BUDGET_GB", "", self.total.bytes / BYTES_PER_GB, budget.gb),
            ("PROXY_SITE_BUDGET_USD", f" for {site}", of_site.usd, budget.site_usd),
            ("PROXY_SITE_BUDGET_GB", f" for {site}", of_site.bytes / BYTES_PER_GB, budget.site_gb),
        )
        name, whose, spent, limit = max(limits, key=lambda each: _share(each[2], each[3]))
        unit = "GB" if name.endswith("GB") else "USD"
        return f"{_number(spent)} of {_number(limit)} {unit} ({name}) are spent{whose}"

    def take(self) -> dict[str, float]:
        """Stats keys and what to add to each since the last call."""
        found: dict[str, float] = {}

        def add(key: str, value: float) -> None:
            if value:
                found[key] = found.get(key, 0) + value

        for (site, pool, country), line in self._news.items():
            place = f"{pool}/{country}"
            add("proxies/bytes", line.bytes)
            add(f"proxies/bytes/{pool}", line.bytes)
            add(f"proxies/countries/bytes/{place}", line.bytes)
            add(f"sites/{site}/bytes", line.bytes)
            add("proxies/usd", line.usd)
            add(f"proxies/usd/{pool}", line.usd)
            add(f"proxies/countries/usd/{place}", line.usd)
            add(f"sites/{site}/usd", line.usd)
            add("proxies/bytes_wasted", line.wasted_bytes)
            add("proxies/usd_wasted", line.usd_wasted)
            add(f"proxies/usd_wasted/{pool}", line.usd_wasted)
            add(f"sites/{site}/usd_wasted", line.usd_wasted)
        self._news = {}
        return found

    def _line(self, site: str, pool: str, country: str) -> Line:
        known = site if site in self._sites or len(self._sites) < SITES_MAX else OTHER
        key = (known, pool, country or "any")
        line = self._news.get(key)
        if line is None:
            line = self._news[key] = Line()
        return line

    def _of_site(self, site: str) -> Line:
        found = self._sites.get(site)
        if found is None:
            if len(self._sites) >= SITES_MAX and not (self.budget.site_usd or self.budget.site_gb):
                site = OTHER
            found = self._sites.setdefault(site, Line())
        return found


def _share(spent: float, limit: float) -> float:
    return spent / limit if limit else 0.0


def _number(value: float) -> str:
    """Three digits that count, without an exponent."""
    return f"{value:,.2f}" if value >= 1 else f"{value:.{max(2, 2 - math.floor(math.log10(value or 1)))}f}"
