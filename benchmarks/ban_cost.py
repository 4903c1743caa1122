"""What judging an answer costs: headers, and the body of a 100 KB page; beside it, what parsing that page costs.

    python -m benchmarks.ban_cost [--folder FOLDER] [--runs 2000]

The bars: headers at most 20 us, a 100 KB page at most 0.3 ms, medians. Pages are made up here (an article, a shop's
listing, a page full of scripts); with --folder, saved ones of 80 to 120 kB are taken as well.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from parsel import Selector
from scrapy.http import Headers

from scraper.bans import rules, signature_file
from scraper.bans.answers import Answer
from scraper.bans.middleware import by_name

PAGE_BYTES = 100_000
WORDS = [
    "price",
    "captcha",
    "robot",
    "human",
    "location",
    "access",
    "cookie",
    "table",
    "shoe",
    "red",
    "blue",
    "security",
    "check",
    "request",
    "page",
    "1015",
]
HEADERS = Headers({
    "Content-Type": "text/html; charset=utf-8", "Content-Length": "100000", "Server": "cloudflare", "CF-RAY": "8a0b1c2d3e4f-FRA",
    "Date": "Tue, 24 Nov 2026 12:00:00 GMT", "Cache-Control": "no-cache", "Vary": "Accept-Encoding", "X-Cache": "Miss from cloudfront",
    "Set-Cookie": ["__cf_bm=abc; path=/; HttpOnly", "session=1; Secure", "datadome=xyz; Max-Age=31536000"], "Alt-Svc": 'h3=":443"',
    "Strict-Transport-Security": "max-age=31536000", "X-Frame-Options": "SAMEORIGIN", "X-DataDome": "protected", "ETag": '"1"',
    "Content-Security-Policy": "default-src 'self' https://geo.captcha-delivery.com", "Referrer-Policy": "same-origin", "Age": "0",
})  # fmt: skip


def made_up() -> Iterator[tuple[str, bytes]]:
    """Names and pages of PAGE_BYTES: words that signatures know stand in all of them, as in life."""
    chance = random.Random(1)

    def words(n: int) -> str:
        return " ".join(chance.choices(WORDS, k=n))

    article = "".join(f"<p>{words(60)}</p>" for _ in range(300))
    listing = "".join(
        f'<li class="item"><a href="/p/{n}">{words(4)}</a><b>{n} EUR</b></li>' for n in range(1500)
    )
    script = "".join(
        f'<script>var a{n} = {{location: "{words(20)}"}}; document.cookie</script>' for n in range(600)
    )
    quotes = f"<p>Your request was blocked, {words(10)}, access denied</p>{article}"
    for name, body in (
        ("article", article), ("listing", f"<ul>{listing}</ul>"), ("scripts", script), ("article about walls", quotes),
    ):  # fmt: skip
        page = f"<!doctype html><html><head><title>{words(3)}</title></head><body>{body}"
        yield name, page.encode()[: PAGE_BYTES - 14] + b"</body></html>"


def saved(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.glob("ordinary/*.html")):
        body = path.read_bytes()
        if 80_000 <= len(body) <= 120_000:
            yield "saved", body


def seconds(what: Callable[[], object], runs: int) -> list[float]:
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        what()
        found.append(time.perf_counter() - began)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="of saved pages, as for benchmarks.bans")
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    table, now, url = signature_file.load(), datetime.now(UTC), "https://shop.example/p/1"

    def headers() -> None:
        assert rules.judge_headers(Answer(url, 200, by_name(HEADERS)), table, now) is None

    costs = [1e6 * cost for cost in seconds(headers, options.runs * 5)]
    named = statistics.median(1e6 * cost for cost in seconds(lambda: by_name(HEADERS), options.runs * 5))
    print(
        f"headers ({len(HEADERS)}): {statistics.median(costs):.1f} us median, {statistics.quantiles(costs, n=100)[98]:.1f} us p99; "
        f"{named:.1f} us of it turns Scrapy's headers into plain ones"
    )
    given = by_name(HEADERS)
    pages: dict[str, list[bytes]] = {}
    for name, body in (*made_up(), *(saved(options.folder) if options.folder else ())):
        pages.setdefault(name, []).append(body)
    print("\n| 100 KB page | pages | ms median | ms p99 | of parsing it |")
    print("|---|---|---|---|---|")
    for name, bodies in pages.items():
        runs = max(3, options.runs // (5 * len(bodies)))
        judged, parsed = [], []
        for body in bodies:

            def judge(body: bytes = body) -> None:
                assert rules.judge_body(Answer(url, 200, given, body), table, now).rule == "good"

            judged += seconds(judge, runs)
            parsed += seconds(lambda body=body: Selector(body=body).root, max(3, runs // 10))
        middle = statistics.median(judged)
        print(
            f"| {name} | {len(bodies)} | {1000 * middle:.3f} | {1000 * statistics.quantiles(judged, n=100)[98]:.3f} "
            f"| {middle / statistics.median(parsed):.1%} |"
        )


if __name__ == "__main__":
    main()
