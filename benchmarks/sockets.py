"""Sockets and memory of our handler where tunnels fail and sessions change: 10,000 refused CONNECTs, 2,000 fresh sessions,
and a proxy that never answers.

    python -m benchmarks.sockets [--share 1.0]

The bar: at the end no socket is open above 2 x the concurrency (16), and memory is as at the first quarter. See benchmarks/handlers.py
for how it is measured.
"""

from __future__ import annotations

import argparse

from benchmarks.handlers import AT_ONCE, measure

CASES = (("refuses", 10_000), ("well", 2_000), ("silent", 320))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the requests of each case, for a quick look"
    )
    options = parser.parse_args()
    print("| the proxy | requests | connections | errors | sockets left | peak | RSS MB at each quarter |")
    print("|---|---|---|---|---|---|---|")
    for manner, n_requests in CASES:
        n = max(AT_ONCE, int(n_requests * options.share))
        run = measure("ours", n=n, fresh=True, manner=manner)
        rss = ", ".join(f"{mb:.0f}" for mb in run["rss_mb"])
        errors = ", ".join(f"{count} {word}" for word, count in run["errors"].items()) or "none"
        print(
            f"| {manner} | {n} | {run['connections']} | {errors} | {run['left']} | {run['peak']} | {rss} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
