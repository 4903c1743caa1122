"""What our way of choosing exits is worth: right records, requests and money, beside a perfect player and beside others.

    python -m benchmarks.policies [--worlds standard,1,2/60] [--seeds 1-3] [--pages 20] [--players perfect,own | --rivals]

Every player crawls the same lab (same world, same seed) in a process of its own, through the same pools, with the same delay
and concurrency. ``2/60`` is world 2 in which half of the sites change their rules after 60 requests each.

The players: ``own``, the crawler as it is; ``perfect``, the same crawler told which pool and country each site needs; and
with --rivals, each in an environment of its own (made in data/bench with uv): stock Scrapy with a random proxy of all pools
or of the residential ones, scrapy-rotating-proxies, Crawlee with its plain and with its tiered proxy configuration.

Requests are those that reached a site: listings, robots.txt and refusals too, so that even without one refusal there are
1.11 for each record of ten listing pages. Money is what the gateways metered. The bound is the bodies of the good pages alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.dataset

from benchmarks.marking import Marks, mark, needs_file
from benchmarks.rivals import environments
from scraper.lab.process import LabProcess, start
from spiders.shop import LAB_SETTINGS

ROOT = Path(__file__).parents[1]
RIGHT, REQUESTS, MONEY = (
    0.995,
    1.25,
    1.15,
)  # the bars: share of records, requests a record, times the perfect player
_LONGEST_S = 600.0  # of one crawl; then it is ended and counted as it is


@dataclass(frozen=True)
class Place:
    """Where a crawl takes place. ``change_after``: requests after which half of the sites change; 0: never."""

    world: str
    seed: int
    pages: int
    change_after: int = 0

    @property
    def name(self) -> str:
        return f"{self.world}/{self.change_after}" if self.change_after else self.world

    @contextmanager
    def lab(self, folder: Path) -> Iterator[LabProcess]:
        """A lab for one crawl, with its files in ``folder``."""
        # Threads: Crawlee keeps a tunnel for each session; how many a customer has bought is not the question here.
        given = {"world": self.world, "change_after": self.change_after, "threads": 2000}
        with start(folder, seed=self.seed, pages=self.pages, **given) as lab:
            yield lab


Player = Callable[[LabProcess, Path, Place], list[str]]  # -> command whose records come to <folder>/out


def own(lab: LabProcess, folder: Path, place: Place) -> list[str]:
    """The crawler as a user starts it."""
    return [*_crawl("shop", lab, folder)]


def perfect(lab: LabProcess, folder: Path, place: Place) -> list[str]:
    """The same crawler, told what it needs to know."""
    needs = folder / "needs.json"
    needs.write_text(json.dumps(needs_file(lab.truth(), place.change_after)))
    return [
        *_crawl("perfect", lab, folder),
        "-a",
        f"needs={needs}",
        "-s",
        "SPIDER_MODULES=benchmarks.perfect",
    ]


def _crawl(spider: str, lab: LabProcess, folder: Path) -> list[str]:
    settings = {
        **LAB_SETTINGS,
        "PROXIES_FILE": lab.info["proxies"],
        "TLS_CA_FILE": lab.info["ca"],
        "DATA_DIR": folder / "data",
        "OUT_DIR": folder / "out",
        "RUN_DIR": folder / "run",
        "BATCH_WORKERS": 1,
    }
    urls = ",".join(site["start_url"] for site in lab.info["sites"].values() if not site["needs_browser"])
    command = [sys.executable, "-m", "scrapy", "crawl", spider, "-a", f"urls={urls}"]
    return command + [part for name, value in settings.items() for part in ("-s", f"{name}={value}")]


PLAYERS: dict[str, Player] = {"perfect": perfect, "own": own, **environments.PLAYERS}


def play(player: str, place: Place, keep: Path | None = None) -> Marks:
    """One crawl, marked. ``keep``: folder for its logs and files, else they are thrown away."""
    with tempfile.TemporaryDirectory(prefix="policies-") as name:
        folder = (
            Path(name) if keep is None else keep / f"{place.name.replace('/', '-')}-{place.seed}-{player}"
        )
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with place.lab(folder / "lab") as lab:
            began = time.monotonic()
            _run(PLAYERS[player](lab, folder, place), folder / "crawl.log")
            seconds = time.monotonic() - began
            if not (served := lab.served()):
                said = (folder / "crawl.log").read_text(encoding="utf-8", errors="replace")[-3000:]
                raise SystemExit(f"{player} asked for nothing in world {place.name}; it said:\n{said}")
            prices = {pool: told["usd_per_gb"] for pool, told in lab.info["pools"].items()}
            return mark(_rows(folder / "out"), lab.truth(), served, prices, place.change_after, seconds)


def _run(command: list[str], log: Path) -> None:
    """Its exit code says nothing here: a crawl that lost pages has an honest non-zero one."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        try:
            process.wait(_LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _rows(out: Path) -> list[dict[str, Any]]:
    """Records of ours (Parquet) or of a rival (JSON lines)."""
    if (lines := out / "rows.jsonl").exists():
        return [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    if not out.exists() or not any(out.glob("*.parquet")):
        return []
    rows: list[dict[str, Any]] = pyarrow.dataset.dataset(str(out)).to_table().to_pylist()
    return rows


# --- the table ----------------------------------------------------------------------------------------------------------

Games = dict[Place, dict[str, Marks]]


def table(games: Games) -> str:
    """One line a player: over all games together, with the worst game beside it."""
    head = f"{'':22} {'right %':>8} {'worst':>6} {'wrong':>6} {'req/rec':>8} {'worst':>6} {'$/1000':>8} {'x perf':>7} {'median':>6} {'worst':>6} {'x bound':>8} {'s':>5}"
    lines = [head]
    for player in dict.fromkeys(name for players in games.values() for name in players):
        played = [(place, players[player]) for place, players in games.items() if player in players]
        lines.append(
            _line(
                player, [marks for _, marks in played], [games[place].get("perfect") for place, _ in played]
            )
        )
    return "\n".join(lines)


def _line(player: str, all_marks: list[Marks], perfect: list[Marks | None]) -> str:
    right, wanted = sum(m.right for m in all_marks), sum(m.wanted for m in all_marks)
    usd, bound = sum(m.usd for m in all_marks), sum(m.bound_usd for m in all_marks)
    against = [
        _per_right(m) / _per_right(p)
        for m, p in zip(all_marks, perfect, strict=True)
        if p and m.right and p.usd
    ]
    median, worst = (f"{of(against):.2f}" if against else "-" for of in (statistics.median, max))
    requests = sum(m.requests for m in all_marks) / max(right, 1)
    return (
        f"{player:22} {100 * right / wanted:8.2f} {100 * min(m.right / m.wanted for m in all_marks):6.1f}"
        f" {sum(m.wrong for m in all_marks):6} {requests:8.3f} {max(m.requests / max(m.right, 1) for m in all_marks):6.2f}"
        f" {1000 * usd / max(right, 1):8.4f} {_times(all_marks, perfect):>7} {median:>6} {worst:>6}"
        f" {usd / bound if bound else 0:8.2f} {statistics.median(m.seconds for m in all_marks):5.0f}"
    )


def _per_right(marks: Marks) -> float:
    return marks.usd / max(marks.right, 1)


def money(all_marks: list[Marks], perfect: list[Marks]) -> float:
    """Money a right record against the perfect player's, over all games together."""
    ours = sum(m.usd for m in all_marks) / max(sum(m.right for m in all_marks), 1)
    theirs = sum(m.usd for m in perfect) / max(sum(m.right for m in perfect), 1)
    return ours / theirs if theirs else float("inf")


def _times(all_marks: list[Marks], perfect: list[Marks | None]) -> str:
    pairs = [(m, p) for m, p in zip(all_marks, perfect, strict=True) if p is not None]
    return f"{money([m for m, _ in pairs], [p for _, p in pairs]):.2f}" if pairs else "-"


def bars(games: Games) -> str:
    """Met or missed, over all games together."""
    ours = [players["own"] for players in games.values() if "own" in players]
    both = [
        (players["own"], players["perfect"])
        for players in games.values()
        if {"own", "perfect"} <= players.keys()
    ]
    if not ours:
        return ""
    right = sum(m.right for m in ours)
    found = [
        ("right records", right / sum(m.wanted for m in ours), ">=", RIGHT),
        ("requests a record", sum(m.requests for m in ours) / right if right else math.inf, "<=", REQUESTS),
    ]
    if both:
        found.append(
            ("times the perfect player", money([o for o, _ in both], [p for _, p in both]), "<=", MONEY)
        )
    return "\n".join(
        f"{'met   ' if (value >= bar if sign == '>=' else value <= bar) else 'MISSED'} {name}: {value:.4f} {sign} {bar}"
        for name, value, sign, bar in found
    )


def by_site(marks: Marks) -> str:
    """Where the requests and the bytes of one crawl went."""
    lines = []
    for host, site in marks.sites.items():
        kb = ", ".join(f"{kind} {size / 1000:.0f}" for kind, size in sorted(site.sizes.items()))
        what = ", ".join(
            f"{name} {count}" for name, count in sorted(site.what.items(), key=lambda item: -item[1])
        )
        lines.append(
            f"    {host:20} {site.right:4}/{site.wanted} +{site.wrong}  {site.requests / max(site.right, 1):5.2f} req/rec"
            f"  needs {site.needs}: {site.about}\n        {what}\n        kB: {kb}"
        )
    return "\n".join(lines)


def unfair(games: Games) -> str:
    """Sites at which even the perfect player misses a bar: what no choice of pools can mend."""
    lines = []
    for place, players in games.items():
        for host, site in players["perfect"].sites.items() if "perfect" in players else ():
            a_record = site.requests / max(site.right, 1)
            if a_record > REQUESTS or site.right < RIGHT * site.wanted:
                short = f"{site.right}/{site.wanted} records, {a_record:.2f} requests a record"
                lines.append(f"  world {place.name}, seed {place.seed}, {host}: {short} ({site.about})")
    return "\n".join(["", "Sites that the perfect player does not pass either:", *lines]) if lines else ""


# --- the command --------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--worlds", default="standard,1,2,3,1/60,3/60", help="world, or world/requests before a change"
    )
    parser.add_argument("--seeds", default="1-3", help="1-3 or 1,5,8")
    parser.add_argument("--pages", type=int, default=10, help="listing pages of each site, ten products each")
    parser.add_argument("--players", default="perfect,own", help=", ".join(PLAYERS))
    parser.add_argument("--rivals", action="store_true", help="all players")
    parser.add_argument(
        "--sites", action="store_true", help="tell for each site where requests and bytes went"
    )
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--keep", type=Path, help="folder for logs and files of every crawl")
    options = parser.parse_args()
    players = list(PLAYERS) if options.rivals else options.players.split(",")
    if unknown := set(players) - PLAYERS.keys():
        parser.error(f"--players {', '.join(sorted(unknown))}: choose from {', '.join(PLAYERS)}")
    games: Games = {}
    for place in places(options.worlds, options.seeds, options.pages):
        games[place] = {}
        for player in players:
            marks = games[place][player] = play(player, place, options.keep)
            print(
                f"world {place.name}, seed {place.seed}: {_line(player, [marks], [games[place].get('perfect')])}",
                flush=True,
            )
            if options.sites:
                print(by_site(marks), flush=True)
    print(f"\n{len(games)} games, {options.pages} pages a site\n{table(games)}")
    still, changing = (
        {p: g for p, g in games.items() if bool(p.change_after) is late} for late in (False, True)
    )
    for label, part in (("rules that stay", still), ("half of the sites change their rules", changing)):
        if part:
            print(f"\n{label}:\n{bars(part)}")
    print(unfair(games))
    if options.json:
        figures = [
            {**asdict(place), "player": name, **asdict(marks)}
            for place, g in games.items()
            for name, marks in g.items()
        ]
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def places(worlds: str, seeds: str, pages: int) -> list[Place]:
    """All games of a command line."""
    low, dash, high = seeds.partition("-")
    numbers = range(int(low), int(high) + 1) if dash else [int(seed) for seed in seeds.split(",")]
    parts = [world.partition("/") for world in worlds.split(",")]
    return [Place(world, seed, pages, int(after or 0)) for world, _, after in parts for seed in numbers]


if __name__ == "__main__":
    main()
