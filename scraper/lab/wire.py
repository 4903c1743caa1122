"""Sockets: a connection that counts every byte, HTTP heads, and a reset that the other side sees as one."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_HEAD_LIMIT = 65_536  # bytes of a request or response head
_TCP_INFO, _SENT = (
    11,
    struct.Struct("=200xQQ"),
)  # linux/tcp.h: tcpi_bytes_sent and tcpi_bytes_retrans, since 4.19
_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # on, for 0 seconds: closing sends RST

Headers = list[tuple[str, str]]


@dataclass
class Meter:
    """What one pool carried between its clients and itself, TLS and CONNECT included."""

    usd_per_gb: float
    up: int = 0
    down: int = 0
    connections: int = 0
    requests: int = 0

    @property
    def usd(self) -> float:
        """Price of the bytes of both ways; 1 GB = 1e9 bytes."""
        return (self.up + self.down) * self.usd_per_gb / 1e9


class MeteredReader(asyncio.StreamReader):
    """Counts what arrives, read or not; calls ``on_end`` when the client is gone, even while nobody reads."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(limit=_HEAD_LIMIT, loop=asyncio.get_running_loop())
        self._meter = meter
        self.on_end: Callable[[], None] | None = None
        self.on_reset: Callable[[], None] | None = None

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # what asyncio really gives
        self._meter.up += len(data)
        super().feed_data(data)

    def feed_eof(self) -> None:
        super().feed_eof()
        if self.on_end is not None:
            self.on_end()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        if self.on_reset is not None:
            self.on_reset()
        if self.on_end is not None:
            self.on_end()


class Connection:
    """A client's connection to a proxy; what it sends and gets is counted at the socket."""

    def __init__(self, reader: MeteredReader, writer: asyncio.StreamWriter, meter: Meter) -> None:
        self.reader, self.writer, self._meter = reader, writer, meter
        self._written = 0
        reader.on_reset = self._take_back

    def write(self, data: bytes) -> None:
        """Send, and count as sent. Raises ConnectionResetError when the client is gone."""
        if self.writer.transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._meter.down += len(data)
        self._written += len(data)
        self.writer.write(data)

    def close(self, hard: bool = False) -> None:
        """Close after what is buffered was sent; ``hard``: reset, and take back the count of what was not sent."""
        if not hard:
            self.writer.close()
            return
        if not self.writer.transport.is_closing():
            self._take_back()
        reset(self.writer.transport)

    def _take_back(self) -> None:
        """What was written and never reached the client is not counted: a reset drops it, here and in the kernel."""
        unsent = self.writer.transport.get_write_buffer_size()
        sock = self.writer.get_extra_info("socket")
        if sys.platform == "linux" and sock is not None and sock.fileno() >= 0:
            sent, again = _SENT.unpack(sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _SENT.size))
            unsent = max(0, self._written - (sent - again))
        self._meter.down -= unsent
        self._written -= unsent


Serve = Callable[[Connection], Awaitable[None]]


async def listen(host: str, port: int, meter: Meter, serve: Serve) -> asyncio.Server:
    """Accept metered connections; ``serve`` runs as a task for each. Raises OSError when the port is taken."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        meter.connections += 1
        assert isinstance(reader, MeteredReader)
        await serve(Connection(reader, writer, meter))

    def protocol() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(MeteredReader(meter), connected)

    return await asyncio.get_running_loop().create_server(protocol, host, port, backlog=512)


def reset(transport: asyncio.WriteTransport) -> None:
    """Close at once with RST instead of FIN, whatever is still buffered."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    transport.abort()


@dataclass(frozen=True)
class Head:
    """First line (three words) and headers of a message."""

    first: tuple[str, str, str]
    headers: Headers

    def get(self, name: str) -> str:
        """Value of the first header ``name`` (lower case), or ""."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    def encode(self, drop: tuple[str, ...] = (), add: Headers | None = None) -> bytes:
        """As bytes, without the headers named in ``drop`` (lower case), with those of ``add``."""
        kept = [(name, value) for name, value in self.headers if name.lower() not in drop] + (add or [])
        lines = [" ".join(self.first), *(f"{name}: {value}" for name, value in kept)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """The next head, or None at the end of the stream. Raises ValueError for what is no HTTP."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise ValueError("head too long") from error
    first, *lines = raw[:-4].decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2:
        raise ValueError("no first line")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("header without a colon")
        headers.append((name.strip(), value.strip()))
    return Head((words[0], words[1], words[2] if len(words) == 3 else ""), headers)
