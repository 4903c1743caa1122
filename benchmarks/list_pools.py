"""List pools of up to 1,000,000 proxies: building, memory, and what choosing one and reporting on it costs.

    python -m benchmarks.list_pools [--sizes 1000 1000000] [--steps 20000] [--rival]

Prints two tables. "choose + report": Rota.take, the Endpoint made, and a cool-down reported, of one proxy; the clock
goes on so that as many cool-downs end as begin and the share that rests stays as it is. At 0 % all is well, and nothing is
to be reported. At one site the cool-downs are that site's; of 1,000 sites every second report is of the site and the others
rest everywhere. GC is off while steps are timed, as it would walk the benchmark's own lists. ``--rival`` adds
scrapy-rotating-proxies (get_random, get_proxy, the gauges that its middleware sets at every response, and mark_dead, or
mark_good where nothing rests; reanimate, which it runs every 5 s, apart), with

    uv run --no-project --with scrapy-rotating-proxies==0.6.2 python -m benchmarks.list_pools --rival
"""

from __future__ import annotations

import argparse
import gc
import itertools
import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scraper.proxies.endpoints import EndpointList
from scraper.proxies.rota import ORDERS, Rota

SHARES = (0.0, 0.5, 0.99)
REST_S = (
    60.0  # every cool-down lasts; at 50 % of 1,000 proxies that are 8 choices a second, of 1,000,000 8,333
)


def lines(size: int) -> Iterator[str]:
    """Lines of 60 to 70 characters; every proxy has a user and a password of its own."""
    for n in range(size):
        yield f"http://customer{n:07d}:example{n:07d}@10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}:8080"


def resident() -> int:
    """Bytes of this process that are in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def timed(step: Callable[[int], object], steps: int, budget_s: float = 20.0) -> str:
    """Median, 99 % and worst of ``steps`` calls, or as many as the budget allows, in microseconds."""
    figures, clock = [], time.perf_counter
    until_s = clock() + budget_s
    gc.collect()
    gc.disable()
    for n in range(steps):
        began_s = clock()
        step(n)
        ended_s = clock()
        figures.append(1e6 * (ended_s - began_s))
        if ended_s > until_s and len(figures) >= 5:
            break
    gc.enable()
    figures.sort()
    return f"{statistics.median(figures):>11,.2f} {figures[len(figures) * 99 // 100]:>11,.2f} {figures[-1]:>11,.0f}"


def filled(size: int, share: float, order: str, n_sites: int) -> tuple[Rota, Callable[[], float]]:
    """A rota of which ``share`` rests, ends spread evenly, and the clock's next moment."""
    rota, resting = Rota(size, random.Random(1), order), int(size * share)
    step_s = REST_S / max(resting, 1)
    for n, index in enumerate(random.Random(2).sample(range(size), resting)):
        if n_sites == 1:
            rota.cool("site0", index, (n + 1) * step_s)
        else:
            rota.cool_everywhere(index, (n + 1) * step_s)
    return rota, map(step_s.__mul__, itertools.count()).__next__


def choose_and_report(
    endpoints: EndpointList, share: float, order: str, n_sites: int
) -> Callable[[int], object]:
    rota, tick = filled(len(endpoints), share, order, n_sites)
    sites = [f"site{n}" for n in range(n_sites)]

    def step(n: int) -> None:
        site, now_s = sites[n % n_sites], tick()
        index = rota.take(site, now_s)
        if index is None:
            index = rota.soonest(site)
        endpoints[index]
        if not share:
            return
        if n_sites == 1 or n % 2:
            rota.cool(site, index, now_s + REST_S)
        else:
            rota.cool_everywhere(index, now_s + REST_S)

    return step


def memory(size: int, share: float) -> None:
    """Print seconds to build and bytes for each proxy of a list and its rota; in a process of its own."""
    before = resident()
    began_s = time.perf_counter()
    endpoints = EndpointList.parse(lines(size), "list")
    build_s = time.perf_counter() - began_s
    rota, _ = filled(size, share, "least_used", 1)
    gc.collect()
    rss = (resident() - before) / size
    del endpoints, rota
    tracemalloc.start()
    kept = EndpointList.parse(lines(size), "list"), filled(size, share, "least_used", 1)
    traced = tracemalloc.get_traced_memory()[0] / size
    tracemalloc.stop()
    assert len(kept[0]) == size
    print(f"{size:>9,} {share:>6.0%} {build_s:>9.3f} {traced:>12.0f} {rss:>12.0f}", flush=True)


def rival(size: int, share: float, steps: int) -> None:
    from rotating_proxies.expire import Proxies

    proxies = Proxies(list(lines(size)))
    known = list(proxies.proxies)
    resting = deque(known[index] for index in random.Random(2).sample(range(size), int(size * share)))
    for proxy in resting:
        proxies.mark_dead(proxy)
    stats: dict[str, Any] = {}

    def step(n: int) -> None:
        chosen = proxies.get_proxy(proxies.get_random())
        stats["unchecked"] = len(proxies.unchecked) - len(proxies.reanimated)
        stats["reanimated"] = len(proxies.reanimated)
        stats["mean_backoff"] = proxies.mean_backoff_time
        if not resting:
            proxies.mark_good(chosen)
            return
        proxies.mark_dead(chosen)
        resting.append(chosen)
        proxies.dead.remove(resting[0])  # so that the share stays; in life reanimate does it, on a scan
        proxies.unchecked.add(resting.popleft())

    name = f"{size:>9,} {share:>6.0%} {1:>6} "
    print(f"{name}{'rotating-proxies':16}{timed(step, steps, 10)}", flush=True)
    print(f"{name}{'  its reanimate':16}{timed(lambda n: proxies.reanimate(), 5)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--steps", type=int, default=20_000, help="choices of each row")
    parser.add_argument("--rival", action="store_true", help="also time scrapy-rotating-proxies")
    parser.add_argument("--memory", type=float, help="only the memory of one size, with this share at rest")
    options = parser.parse_args()
    if options.memory is not None:
        memory(options.sizes[0], options.memory)
        return
    print("     size   rest   build s bytes traced    bytes RSS   (list and rota; each proxy)", flush=True)
    for size, share in itertools.product(options.sizes, SHARES):
        command = [
            sys.executable,
            "-m",
            "benchmarks.list_pools",
            "--sizes",
            str(size),
            "--memory",
            str(share),
        ]
        subprocess.run(command, check=True)
    print(
        "\nchoose + report, us\n     size   rest  sites order                median         99 %       worst"
    )
    for size in options.sizes:
        endpoints = EndpointList.parse(lines(size), "list")
        for share, n_sites, order in itertools.product(SHARES, (1, 1000), ORDERS):
            cost = timed(choose_and_report(endpoints, share, order, n_sites), options.steps)
            print(f"{size:>9,} {share:>6.0%} {n_sites:>6,} {order:16}{cost}", flush=True)
        if options.rival:
            for share in SHARES:
                rival(size, share, min(options.steps, 2_000))


if __name__ == "__main__":
    main()
