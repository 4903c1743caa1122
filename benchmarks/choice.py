"""What choosing a pool and learning from its page costs, and what is kept for each site.

    python -m benchmarks.choice [--sites 10000] [--steps 20000] [--bar-us 150]

A step is one page: Chooser.arm, and Beliefs.good or blocked and Chooser.report with what the page turned out to be. Every
site is known before the clock starts: each pool was seen there. "usual": the prices differ, so that most pools cost more even
if every page of theirs were right, and are not looked at. "alike": all prices are equal, and every pool is. "countries": the
same, at sites that refuse some countries, of which the spider allows three, so that a pool counts as four arms. Each step is
at another site, as the cache likes least. Times are of this thread's own work; the first row is always the same work, and
its 99 % tells what others on the machine add. GC is off meanwhile, as it would walk the benchmark's own lists. Ends with 1
where the 99 % of any row of up to 32 arms is above the bar.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import time
import tracemalloc

from scraper.proxies.beliefs import Beliefs, place_of
from scraper.proxies.choice import Chooser, Terms
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.pools import Pool

POOLS = (4, 8, 32)
ARMS = 32  # up to which the bar holds
CASES = ("usual", "alike", "countries")
COUNTRIES = ("us", "de", "fr")
PAGE, BLOCK = 40_000, 6_000
STEP_S = 0.005  # of the crawl's clock between two pages: 200 a second


def pools(n: int, case: str) -> list[Pool]:
    """Cheapest first: from 0.05 USD a GB on, each 0.3 dearer; or all at 3 USD."""
    gate = (Endpoint("http", "g.example", 1),)
    prices = [0.05 + 0.3 * i if case == "usual" else 3.0 for i in range(n)]
    return [Pool(f"pool{i}", "gateway", usd, COUNTRIES, gate) for i, usd in enumerate(prices)]


def known(sites: list[str], able: list[Pool], case: str, chance: random.Random) -> Beliefs:
    """Beliefs in which every pool was seen at every site, good at most of them."""
    beliefs = Beliefs()
    for site in sites:
        for pool in able:
            if chance.random() < 0.8:
                beliefs.good(site, pool.name, "", PAGE, 0.0)
            else:
                beliefs.blocked(site, pool.name, BLOCK, 0.0)
        if case == "countries":
            beliefs.geo(site, place_of("us", able[0].name), 0.0)
    beliefs.take_news()
    return beliefs


def row(n_pools: int, case: str, n_sites: int, steps: int) -> float:
    """Print median, 99 % and worst of a step; returns the 99 % in microseconds."""
    chance, able = random.Random(1), pools(n_pools, case)
    sites = [f"site{n}.example" for n in range(n_sites)]
    beliefs = known(sites, able, case, chance)
    chooser = Chooser(beliefs, Terms(countries=COUNTRIES), random.Random(2))
    in_flight = {(site, able[n % n_pools].name): 1 for n, site in enumerate(sites)}
    figures, clock = [], time.thread_time
    gc.collect()
    gc.disable()
    for n in range(steps):
        site, good, now_s = sites[n * 7919 % n_sites], chance.random() < 0.9, n * STEP_S
        began_s = clock()
        arm = chooser.arm(site, able, now_s, in_flight=in_flight)
        assert arm is not None
        if good:
            beliefs.good(site, arm.pool.name, arm.country, PAGE, now_s)
        else:
            beliefs.blocked(site, arm.pool.name, BLOCK, now_s)
        chooser.report(site, arm.pool, good=good)
        figures.append(1e6 * (clock() - began_s))
    gc.enable()
    return told(n_pools, case, figures)


def told(n_pools: int, case: str, figures: list[float]) -> float:
    """Print a row; returns the 99 %, or 0 for more arms than the bar is for."""
    figures.sort()
    p99 = figures[len(figures) * 99 // 100]
    arms = n_pools * (len(COUNTRIES) + 1 if case == "countries" else 1)
    median = statistics.median(figures)
    print(f"{n_pools:>5} {case:10} {arms:>4} {median:>8.1f} {p99:>8.1f} {figures[-1]:>9.0f}", flush=True)
    return p99 if arms <= ARMS else 0.0


def always_the_same(steps: int) -> None:
    """Print what a fixed piece of work of about the size of a step takes."""
    figures, clock = [], time.thread_time
    for _ in range(steps):
        began_s = clock()
        sum(range(5_000))
        figures.append(1e6 * (clock() - began_s))
    told(0, "same work", figures)


def memory(n_pools: int, n_sites: int) -> None:
    """Print the bytes that a site costs of which all pools are known, news not yet saved apart."""
    able, sites = pools(n_pools, "alike"), [f"site{n}.example" for n in range(n_sites)]
    tracemalloc.start()
    beliefs = known(sites, able, "alike", random.Random(1))
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0] / n_sites
    for site in sites:
        for pool in able:
            beliefs.good(site, pool.name, "", PAGE, 0.0)
    news = tracemalloc.get_traced_memory()[0] / n_sites - kept
    tracemalloc.stop()
    print(f"{n_pools:>5} {kept:>12,.0f} {news:>12,.0f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sites", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=20_000, help="pages of each row")
    parser.add_argument("--bar-us", type=float, default=150.0, help="what the 99 %% of up to 32 arms may be")
    options = parser.parse_args()
    print(
        f"choose + report at {options.sites:,} sites, us\npools case       arms   median     99 %     worst"
    )
    always_the_same(options.steps)
    slowest = max(row(n_pools, case, options.sites, options.steps) for n_pools in POOLS for case in CASES)
    print(f"\nmemory, bytes a site\npools         kept    news more   ({min(options.sites, 2_000):,} sites)")
    for n_pools in POOLS:
        memory(n_pools, min(options.sites, 2_000))
    print(f"\nslowest 99 % of up to {ARMS} arms: {slowest:.0f} us; bar {options.bar_us:.0f} us")
    return int(slowest > options.bar_us)


if __name__ == "__main__":
    sys.exit(main())
