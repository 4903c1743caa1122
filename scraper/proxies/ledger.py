"""RULE. Money: bytes of a pool times its price, per pool and site, with what was wasted."""

from __future__ import annotations

from scraper.proxies.pools import Pool

BYTES_PER_GB = 1e9  # providers bill decimal gigabytes unless they say GiB


def cost_usd(pool: Pool, n_bytes: int) -> float:
    """Price of ``n_bytes`` (both directions, as counted at the socket) through ``pool``."""
    return n_bytes / BYTES_PER_GB * pool.usd_per_gb


def entries(pool: Pool, site: str, n_bytes: int) -> dict[str, float]:
    """Stats keys and what to add to each for ``n_bytes`` that went through ``pool`` for ``site``."""
    usd = cost_usd(pool, n_bytes)
    return {
        "proxies/bytes": n_bytes,
        f"proxies/bytes/{pool.name}": n_bytes,
        f"sites/{site}/bytes": n_bytes,
        "proxies/usd": usd,
        f"proxies/usd/{pool.name}": usd,
        f"sites/{site}/usd": usd,
    }
