"""I/O. Names to addresses: looked up at most twice a minute, once for all who ask at the same time."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import OrderedDict
from ipaddress import ip_address
from typing import Any

from scraper.errors import TargetRefused
from scraper.proxies.addresses import is_private_address

TTL_S = 30.0  # a gateway that moves is followed within this; a lookup for each connection would cost a thread each
MOST = 1000  # names remembered, the longest known is forgotten first

type_of_address = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]  # as of getaddrinfo


class Resolver:
    """The system's resolver behind a short memory; ``*.localhost`` is this machine (RFC 6761)."""

    def __init__(self, ttl_s: float = TTL_S) -> None:
        self._ttl_s = ttl_s
        self._known: OrderedDict[str, tuple[float, list[tuple[int, str]]]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[list[tuple[int, str]]]] = {}

    async def resolve(self, host: str, port: int, *, allow_private: bool) -> list[type_of_address]:
        """The addresses as getaddrinfo gives them. Raises socket.gaierror, and TargetRefused where an address is private and may not be."""
        found = await self._addresses(host)
        if not allow_private and any(is_private_address(address) for _, address in found):
            raise TargetRefused(host, f"it resolves to the private address {found[0][1]}")
        return [
            (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", _place(family, address, port))
            for family, address in found
        ]

    def forget(self, host: str) -> None:
        """Nobody answers there: the next one looks the name up again."""
        self._known.pop(host, None)

    async def _addresses(self, host: str) -> list[tuple[int, str]]:
        until_s, found = self._known.get(host, (0.0, []))
        if until_s > time.monotonic():
            return found
        task = self._asked.get(host)
        if task is None:
            task = self._asked[host] = asyncio.get_running_loop().create_task(self._look_up(host))
            task.add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )  # somebody has to hear it
        return await asyncio.shield(task)  # whoever gives up does not take the answer from the others

    async def _look_up(self, host: str) -> list[tuple[int, str]]:
        try:
            found = await _ask(host)
            self._known.pop(host, None)
            self._known[host] = time.monotonic() + self._ttl_s, found
            if len(self._known) > MOST:
                self._known.popitem(last=False)
            return found
        finally:
            del self._asked[host]


async def _ask(host: str) -> list[tuple[int, str]]:
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return [(socket.AF_INET, "127.0.0.1")]
    try:
        address = ip_address(host)
        return [(socket.AF_INET if address.version == 4 else socket.AF_INET6, str(address))]
    except ValueError:
        pass
    try:
        answers = await look_up(host, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "not a name") from None
    return [(family, str(place[0])) for family, *_, place in answers]


async def look_up(host: str, **hints: int) -> list[tuple[Any, ...]]:
    """Ask the system, in a thread of the event loop."""
    return list(await asyncio.get_running_loop().getaddrinfo(host, None, **hints))


def _place(family: int, address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    return (address, port) if family == socket.AF_INET else (address, port, 0, 0)
