"""A whole lab in this event loop: ``async with Lab(folder, options) as lab``."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from scraper.lab import folder as files
from scraper.lab.certificates import server_context
from scraper.lab.credentials import CUSTOMER
from scraper.lab.exits import ExitChooser
from scraper.lab.gateways import Pool, Proxy
from scraper.lab.options import LabError, LabOptions
from scraper.lab.registry import Registry, lends_addresses
from scraper.lab.sites import ECHO_HOST, Sites
from scraper.lab.truth import Control
from scraper.lab.worlds import world

LOOPBACK = "127.0.0.1"


class Lab:
    """Sites, pools and control port. ``info`` is what lab.json holds, known after the start.

    Raises LabError at the start when a port is taken or the folder cannot be written.
    """

    def __init__(self, folder: Path, options: LabOptions | None = None, *, lends: bool | None = None) -> None:
        self.folder, self.world = folder, world(options or LabOptions())
        self.options = self.world.options
        self.info: dict[str, Any] = {}
        started = time.monotonic()
        self._registry = Registry(lends_addresses() if lends is None else lends)

        def clock() -> float:
            return time.monotonic() - started

        self._sites = Sites(self.world, self._registry.find, self._registry.spend, clock)
        self._passwords = {spec.name: secrets.token_urlsafe(12) for spec in self.world.pools}
        self._exits = {spec.name: spec.make(self.options.seed) for spec in self.world.pools}
        self._pools = {
            spec.name: Pool(
                spec.name,
                spec.usd_per_gb,
                self._passwords[spec.name],
                self.options.threads,
                self._registry,
                self._is_ours,
                clock,
            )
            for spec in self.world.pools
        }
        self._proxies = {spec.name: self._listeners(spec.name, spec.gateway) for spec in self.world.pools}
        exits = [(spec, self._exits[spec.name]) for spec in self.world.pools]
        self.control = Control(self._sites, exits, self._pools, self._proxies)
        self._runners: list[web.ServerRunner] = []
        self._ports: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop listening and end every connection."""
        tasks = [task for pool in self._pools.values() for task in pool.tasks]
        for proxies in self._proxies.values():
            for proxy in proxies:
                proxy.close()
        for pool in self._pools.values():
            pool.cut()
        await asyncio.gather(*tasks, return_exceptions=True)
        for runner in self._runners:
            await runner.cleanup()

    def _is_ours(self, host: str, port: int) -> bool:
        return (host in self._sites.shops or host == ECHO_HOST) and port in (
            self._ports["http"],
            self._ports["https"],
        )

    def _listeners(self, name: str, gateway: bool) -> list[Proxy]:
        pool, exits = self._pools[name], self._exits[name]
        if not gateway:
            return [Proxy(pool, exit_=exit_) for exit_ in exits]
        chooser = ExitChooser(exits, f"{self.options.seed}:{name}", self.options.idle_seconds)
        return [Proxy(pool, chooser=chooser)]

    async def _start(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            context = server_context([*self._sites.shops, ECHO_HOST], self.folder / files.CA_FILE)
        except OSError as error:
            raise LabError(
                f"--dir {self.folder}: {error.strerror or error}; choose a folder that can be written"
            ) from None
        options = self.options
        self._ports["http"] = await self._site("http_port", self._sites.handle)
        self._ports["https"] = await self._site("https_port", self._sites.handle, context)
        self._ports["control"] = await self._site("control_port", self.control.handle)
        for spec in self.world.pools:
            for place, proxy in enumerate(self._proxies[spec.name]):
                own = self._registry.lends and not spec.gateway
                host = self._exits[spec.name][place].address if own else LOOPBACK
                await self._open(proxy, host, f"{spec.name}_port", place if options.datacentre_port else 0)
        self._sites.locate(self._ports)
        self._write_files()

    async def _site(self, option: str, handler: Any, context: ssl.SSLContext | None = None) -> int:
        server = web.Server(handler, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        self._runners.append(runner)
        await runner.setup()
        port = getattr(self.options, option)
        try:
            await web.TCPSite(runner, LOOPBACK, port, ssl_context=context, backlog=512).start()
        except OSError as error:
            raise _taken(option, port, error) from None
        return int(runner.addresses[0][1])

    async def _open(self, proxy: Proxy, host: str, option: str, step: int) -> None:
        # a second provider has no option of its own
        port = getattr(self.options, option, 0) + step
        try:
            await proxy.open(host, port)
        except OSError as error:
            raise _taken(option, port, error) from None

    def _write_files(self) -> None:
        gateways = {
            spec.name: f"http://{LOOPBACK}:{self._proxies[spec.name][0].port}"
            for spec in self.world.pools
            if spec.gateway
        }
        prices = {spec.name: spec.usd_per_gb for spec in self.world.pools}
        listed = [(proxy.host, proxy.port) for proxy in self._proxies["datacentre"]]
        files.write_credentials(self.folder, self._passwords, listed)
        files.write_proxies(self.folder, gateways, prices)
        self.info = self._make_info(gateways, prices)
        files.write_info(self.folder, self.info)

    def _make_info(self, gateways: dict[str, str], prices: dict[str, float]) -> dict[str, Any]:
        folder = self.folder.resolve()
        control = f"http://{LOOPBACK}:{self._ports['control']}"
        pools: dict[str, dict[str, Any]] = {
            "datacentre": {"kind": "list", "file": str(folder / files.LIST_FILE)},
        }
        for name, gateway in gateways.items():
            password = str(folder / f"{name}.password")
            pools[name] = {
                "kind": "gateway",
                "gateway": gateway,
                "username": CUSTOMER,
                "password_file": password,
            }
        for name, pool in pools.items():
            pool["usd_per_gb"] = prices[name]
        return {
            "dir": str(folder),
            "seed": self.options.seed,
            "world": self.options.world,
            "pages": self.options.pages,
            "lends_addresses": self._registry.lends,
            "sites": {
                spec.label: {
                    "host": host,
                    "start_url": f"{self._sites.shops[host].origin}/",
                    "about": spec.rules.about,
                    "needs_browser": spec.needs_browser,
                }
                for host, spec in self._sites.specs.items()
            },
            "ports": {
                **self._ports,
                **{name: self._proxies[name][0].port for name in gateways},
                "datacentre": [proxy.port for proxy in self._proxies["datacentre"]],
            },
            "pools": pools,
            "check_url": f"http://{ECHO_HOST}:{self._ports['http']}/ip",
            "truth_url": f"{control}/truth",
            "served_url": f"{control}/served",
            "control_url": f"{control}/control",
            "ca": str(folder / files.CA_FILE),
            "proxies": str(folder / files.PROXIES_FILE),
        }


def _taken(option: str, port: int, error: OSError) -> LabError:
    name = "--" + option.replace("_", "-")
    return LabError(f"{name} {port}: {error.strerror or error}; choose another port, or 0 for any free one")
