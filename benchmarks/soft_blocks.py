"""What finding soft blocks costs, and whom it suspects: content contracts, and what is learnt without one.

    python -m benchmarks.soft_blocks [FOLDER ...]

Prints the CPU of a contract on a page of 100 KB beside the parsing of that page, which the callback shares. For each FOLDER,
which is taken for one honest site whose files are its pages, or, where it holds a manifest.tsv (as of benchmarks/bans.py), for
as many sites as the ordinary and hard pages in it have hosts: CPU a page of learning from it, and every suspicion.
"""

from __future__ import annotations

import argparse
import csv
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from parsel import Selector

from scraper.bans.contracts import judge, parse
from scraper.bans.kinds import Kinds

MOST = 3_000  # pages of a folder, drawn by chance
CARD = '<div class="card"><a href="/p/{0}">Lamp {0}</a><p class="price">{0}.90 EUR</p><p>Oak, {0} centimetres.</p></div>\n'
PAGE = f"<html><head><title>Lamps</title></head><body>{''.join(CARD.format(n) for n in range(900))}<h1>Lamps</h1></body></html>"


def contract() -> None:
    """Microseconds of parsing a page, of parsing it and asking the contract, and of a selector of the callback."""
    body = PAGE.encode()
    asked = parse("bench", {"parse": {"css": ["h1", ".price"], "min_bytes": 500}}, lambda _: True).of(
        "parse", "", 200
    )

    def parsing() -> Selector:
        found = Selector(text=PAGE)
        found.root  # noqa: B018  # parsed when asked for
        return found

    selector = parsing()
    alone = _us(lambda: parsing())
    print(f"page of {len(body) / 1000:.0f} kB: parsing {alone:.0f} us")
    for name, work in (
        (
            "contract of two CSS selectors, on the parsed page",
            lambda: judge(asked, body, PAGE, lambda: selector),
        ),
        (
            "for comparison: response.css('.price::text').getall()",
            lambda: selector.css(".price::text").getall(),
        ),
    ):
        cost = _us(work)
        print(f"  {name}: {cost:.0f} us, {cost / alone:.2f} of parsing")


def _us(work: Callable[[], object], runs: int = 50) -> float:
    times = []
    for _ in range(runs):
        began = time.thread_time()
        work()
        times.append(1e6 * (time.thread_time() - began))
    return statistics.median(times)


def _sites(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """(site, address, body) of each page."""
    manifest = folder / "manifest.tsv"
    if manifest.exists():
        with manifest.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                path = folder / row["file"]
                if row["label"] in ("ordinary", "hard") and path.exists():
                    url = row["url"] or f"http://{row['source'].replace('/', '.')}.example/{row['id']}"
                    yield urlsplit(url).hostname or row["id"], url, path.read_bytes()
        return
    files = sorted(path for path in folder.rglob("*.html") if path.is_file())
    for path in random.Random(1).sample(files, min(MOST, len(files))):
        yield folder.name, f"http://x/{path.relative_to(folder)}", path.read_bytes()


def suspicions(folder: Path) -> None:
    """Learn from every page of the folder."""
    pages = list(_sites(folder))
    kinds, began = Kinds(), time.thread_time()
    for site, url, body in pages:
        kinds.add(site, "parse", url, body)
    spent = time.thread_time() - began
    found = kinds.suspicions()
    size = sum(len(body) for _, _, body in pages) / max(1, len(pages)) / 1000
    print(
        f"{folder}: {len(pages)} pages of {len({site for site, _, _ in pages})} sites, {size:.0f} kB each, "
        f"{1e6 * spent / max(1, len(pages)):.0f} us a page, {len(found)} suspicions"
    )
    for one in found:
        print(f"  {one.word}: {one.said}: {one.examples[0]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="of saved pages")
    contract()
    for folder in parser.parse_args().folders:
        suspicions(folder)


if __name__ == "__main__":
    main()
