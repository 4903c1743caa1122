"""I/O. The idle connections of all identities: never shared between two, bounded in number and time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

from scraper.proxies.dial import Connection

Place = tuple[
    str, str, int
]  # scheme, host and port of the target, or of the proxy where it is asked for pages


class Lines:
    """``most``: idle connections over all identities, the longest idle is closed first; ``keep_s``: how long one may
    be idle. Every operation takes the same time, however many identities there are."""

    def __init__(self, most: int, keep_s: float) -> None:
        self._most, self._keep_s = most, keep_s
        self._idle: OrderedDict[Connection, tuple[str, Place, float]] = OrderedDict()  # longest idle first
        self._of: dict[str, dict[Place, list[Connection]]] = {}  # identity id ->
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Identities that may come back."""
        return len(self._of)

    @property
    def n_idle(self) -> int:
        """Connections that nobody uses now."""
        return len(self._idle)

    def take(self, identity_id: str, place: Place) -> Connection | None:
        """An idle connection of this identity to this place, the last used first. From now on it is known here."""
        known = self._of.setdefault(identity_id, {})
        while waiting := known.get(place):
            connection = waiting[-1]
            self._forget(connection)
            if connection.is_connected() and not connection.should_close:
                return connection
            connection.abort()
        return None

    def give(self, identity_id: str, place: Place, connection: Connection) -> None:
        """Keep a connection whose answer was read whole; close it where its identity is gone or it cannot go on."""
        if identity_id not in self._of or connection.should_close or not connection.is_connected():
            connection.abort()
            return
        self._of[identity_id].setdefault(place, []).append(connection)
        self._idle[connection] = identity_id, place, time.monotonic()
        connection.on_lost = self._forget
        if len(self._idle) > self._most:
            self._close(next(iter(self._idle)))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._keep_s, self._sweep)

    def close_identity(self, identity_id: str) -> None:
        """Close its idle connections; those in use follow when they are given back."""
        for waiting in self._of.pop(identity_id, {}).values():
            for connection in waiting:
                del self._idle[connection]
                connection.on_lost = None
                connection.abort()

    def close(self) -> None:
        """Close all."""
        for identity_id in list(self._of):
            self.close_identity(identity_id)
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        self._timer, now_s = None, time.monotonic()
        while self._idle:
            connection, (_, _, since_s) = next(iter(self._idle.items()))
            if since_s + self._keep_s > now_s:
                self._timer = asyncio.get_running_loop().call_later(
                    since_s + self._keep_s - now_s, self._sweep
                )
                return
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        self._forget(connection)
        connection.abort()

    def _forget(self, connection: Connection) -> None:
        identity_id, place, _ = self._idle.pop(connection)
        connection.on_lost = None
        places = self._of[identity_id]
        places[place].remove(connection)
        if not places[place]:
            del places[place]
