"""The control port: what really happened (GET /truth, GET /served), and switches for tests (POST /control)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from aiohttp import web

from scraper.lab.gateways import Pool, Proxy
from scraper.lab.sites import SITES, Served, Sites


class Control:
    """Answers on the control port. ``proxies`` are the listeners of each pool."""

    def __init__(self, sites: Sites, pools: dict[str, Pool], proxies: dict[str, list[Proxy]]) -> None:
        self._sites, self._pools, self._proxies = sites, pools, proxies

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Route one request; errors are JSON too: {"error": text}."""
        match request.method, request.path:
            case "GET", "/truth":
                return _json(self.truth())
            case "GET", "/served":
                return _json([asdict(line) for line in self.served()])
            case "POST", "/control":
                return await self._control(request)
        return _json({"error": "GET /truth, GET /served or POST /control"}, 404)

    def served(self) -> list[Served]:
        """Every request that reached a site, in order."""
        return self._sites.served

    def truth(self) -> dict[str, Any]:
        """Catalogues, books of the pools, counts of what was served; see the keys below."""
        counts: dict[str, Counter[str]] = {host: Counter() for host in self._sites.shops}
        for line in self._sites.served:
            counts[line.site][line.what] += 1
        return {
            "sites": {
                shop.host: {
                    "start_url": f"{shop.origin}/",
                    "kind": spec.label,
                    "about": spec.about,
                    "needs_browser": spec.needs_browser,
                    "products": {product.sku: product.truth() for product in shop.products},
                }
                for spec, shop in zip(SITES, self._sites.shops.values(), strict=True)
            },
            "pools": {name: _books(pool) for name, pool in self._pools.items()},
            "served": {host: dict(count) for host, count in counts.items()},
        }

    async def _control(self, request: web.BaseRequest) -> web.Response:
        try:
            order = json.loads(await request.text())
            kill, revive = list(order.get("kill", [])), list(order.get("revive", []))
        except (ValueError, AttributeError, TypeError):
            return _json({"error": 'wanted: {"kill": [pool, ...], "revive": [pool, ...]}'}, 400)
        unknown = [name for name in kill + revive if name not in self._pools]
        if unknown:
            return _json({"error": f"no such pool: {unknown}; there are {sorted(self._pools)}"}, 400)
        for name in kill:
            self._kill(name)
        for name in revive:
            await self._revive(name)
        return _json({"dead": sorted(name for name, pool in self._pools.items() if pool.dead)})

    def _kill(self, name: str) -> None:
        """List proxies stop listening, gateways answer 502; what runs through the pool is cut."""
        pool = self._pools[name]
        pool.dead = True
        for proxy in self._proxies[name]:
            if proxy.fixed:
                proxy.close()
        pool.cut()

    async def _revive(self, name: str) -> None:
        self._pools[name].dead = False
        for proxy in self._proxies[name]:
            if proxy.closed:
                await proxy.open(proxy.host, proxy.port)


def _books(pool: Pool) -> dict[str, float]:
    meter = pool.meter
    return {
        "bytes_up": meter.up,
        "bytes_down": meter.down,
        "bytes": meter.up + meter.down,
        "usd": meter.usd,
        "connections": meter.connections,
        "requests": meter.requests,
    }


def _json(data: Any, status: int = 200) -> web.Response:
    return web.json_response(data, status=status)
