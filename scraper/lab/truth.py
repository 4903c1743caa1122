"""The control port: what really happened (GET /truth, GET /served), and switches for tests (POST /control)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from aiohttp import web

from scraper.lab.exits import Exit, PoolSpec
from scraper.lab.gateways import Pool, Proxy
from scraper.lab.needs import needs
from scraper.lab.shops import Shop
from scraper.lab.sites import Served, Sites


class Control:
    """Answers on the control port. ``exits`` and ``proxies`` are those of each pool."""

    def __init__(
        self,
        sites: Sites,
        exits: list[tuple[PoolSpec, list[Exit]]],
        pools: dict[str, Pool],
        proxies: dict[str, list[Proxy]],
    ) -> None:
        self._sites, self._exits, self._pools, self._proxies = sites, exits, pools, proxies
        self._needs = {host: self._needed(shop) for host, shop in sites.shops.items()}
        self._needs_later = {host: self._needed(shop) for host, shop in sites.later.items()}

    def _needed(self, shop: Shop) -> dict[str, Any] | None:
        found = needs(shop, self._exits)
        return found.told() if found else None

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
                host: {
                    "start_url": f"{shop.origin}/",
                    "kind": self._sites.specs[host].label,
                    "about": self._sites.specs[host].rules.about,
                    "needs_browser": self._sites.specs[host].needs_browser,
                    "needs": self._needs[host],
                    **self._later(host),
                    "products": {product.sku: product.truth() for product in shop.products},
                }
                for host, shop in self._sites.shops.items()
            },
            "pools": {name: _books(pool) for name, pool in self._pools.items()},
            "served": {host: dict(count) for host, count in counts.items()},
        }

    def _later(self, host: str) -> dict[str, Any]:
        """What a site that has second rules tells of them."""
        spec = self._sites.specs[host]
        if spec.later is None:
            return {}
        return {
            "about_later": spec.later.about,
            "needs_later": self._needs_later[host],
            "restless": spec.restless,
            "changed": host in self._sites.changed,
        }

    async def _control(self, request: web.BaseRequest) -> web.Response:
        try:
            order = json.loads(await request.text())
            kill, revive, change = (list(order.get(name, [])) for name in ("kill", "revive", "change"))
        except (ValueError, AttributeError, TypeError):
            wanted = '{"kill": [pool, ...], "revive": [pool, ...], "change": ["half", "all" or label, ...]}'
            return _json({"error": f"wanted: {wanted}"}, 400)
        unknown = [name for name in kill + revive if name not in self._pools]
        if unknown:
            return _json({"error": f"no such pool: {unknown}; there are {sorted(self._pools)}"}, 400)
        try:
            hosts = self._to_change(change)
        except KeyError as error:
            known = [spec.label for spec in self._sites.specs.values() if spec.later]
            return _json({"error": f"no second rules for {error}; there are some for {known}"}, 400)
        for host in hosts:
            self._sites.change(host)
        for name in kill:
            self._kill(name)
        for name in revive:
            await self._revive(name)
        dead = sorted(name for name, pool in self._pools.items() if pool.dead)
        told = {"changed": sorted(self._sites.changed)} if self._sites.later else {}
        return _json({"dead": dead, **told})

    def _to_change(self, named: list[str]) -> set[str]:
        """The hosts of sites named by label, "half" (the restless ones) or "all". Raises KeyError."""
        specs = {host: spec for host, spec in self._sites.specs.items() if spec.later}
        by_name = {spec.label: {host} for host, spec in specs.items()}
        if specs:
            by_name["half"] = {host for host, spec in specs.items() if spec.restless}
            by_name["all"] = set(specs)
        return {host for name in named for host in by_name[name]}

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
