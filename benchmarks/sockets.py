"""Sockets and memory of our handler where tunnels fail and sessions change: 10,000 refused CONNECTs, 2,000 fresh sessions,
and a proxy that never answers.

    python -m benchmarks.sockets [--share 1.0]

The bar: at the end no socket is open above 2 x the concurrency (16), and memory is as at the first quarter. See benchmarks/handlers.py
for how it is measured.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.handlers import AT_ONCE, measure

#: Manner of the proxy, requests, and the one error each of them has to end with ("": none).
CASES = (("refuses", 10_000, "GatewayError"), ("well", 2_000, ""), ("silent", 320, "DownloadTimeoutError"))


def case(manner: str, n: int, error: str) -> dict[str, Any]:
    """One run; ends the program where requests ended otherwise than they have to: then nothing was measured."""
    run = measure("ours", n=n, fresh=True, manner=manner)
    expected = {error: n} if error else {}
    if run["errors"] != expected or run["connections"] < n:
        raise SystemExit(
            f"{manner}: expected {expected or 'no errors'} over {n} connections, "
            f"got {run['errors']} over {run['connections']}"
        )
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the requests of each case, for a quick look"
    )
    options = parser.parse_args()
    print("| the proxy | requests | connections | errors | sockets left | peak | RSS MB at each quarter |")
    print("|---|---|---|---|---|---|---|")
    for manner, n_requests, error in CASES:
        n = max(AT_ONCE, int(n_requests * options.share))
        run = case(manner, n, error)
        rss = ", ".join(f"{mb:.0f}" for mb in run["rss_mb"])
        print(
            f"| {manner} | {n} | {run['connections']} | {error or 'none'} | {run['left']} | {run['peak']} | {rss} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
