"""Which exit a connection that reaches a site belongs to, even where the system lends only 127.0.0.1."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scraper.lab.exits import Exit, direct_exit
from scraper.lab.wire import Connection, reset

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_LAST_WORDS = 0.2  # seconds that an exit which died still has to bring its last answer home


def lends_addresses() -> bool:
    """Whether this system lets a socket be bound to any address of 127/8 (Linux does, macOS does not)."""
    with socket.socket() as sock:
        try:
            sock.bind(("127.20.0.1", 0))
        except OSError:
            return False
    return True


class Registry:
    """From (address, port) of a connection to its exit. ``lends``: give each exit its own source address."""

    def __init__(self, lends: bool) -> None:
        self.lends = lends
        self.direct = direct_exit()
        self._by_address: dict[str, Exit] = {}
        self._by_port: dict[tuple[str, int], Exit] = {}
        self._clients: dict[Exit, set[Connection]] = defaultdict(set)

    def find(self, peer: tuple[str, int]) -> Exit:
        """The exit at the other end of a connection; ``direct`` when no proxy of the lab opened it."""
        return self._by_address.get(peer[0]) or self._by_port.get(peer) or self.direct

    def spend(self, exit_: Exit) -> None:
        """Count one request served through ``exit_``; if that was its last, cut what goes through it."""
        exit_.served += 1
        if not exit_.alive:
            for client in self._clients.pop(exit_, set()):
                asyncio.get_running_loop().call_later(_LAST_WORDS, client.close, True)

    @asynccontextmanager
    async def connect(self, exit_: Exit, port: int, client: Connection) -> AsyncIterator[Streams]:
        """A connection to the lab's own ``port`` from ``exit_`` for ``client``, closed at the end. Raises OSError."""
        source = (exit_.address, 0) if self.lends else None
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=source)
        name = writer.get_extra_info("sockname")[:2]
        if self.lends:
            self._by_address[exit_.address] = exit_
        else:
            self._by_port[name] = exit_
        self._clients[exit_].add(client)
        try:
            yield reader, writer
        except BaseException:
            reset(writer.transport)
            raise
        finally:
            self._clients[exit_].discard(client)
            writer.close()
            if not self.lends:  # the site may still have to read what came last
                asyncio.get_running_loop().call_later(_LAST_WORDS, self._by_port.pop, name, None)
