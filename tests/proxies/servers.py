"""Small servers on loopback that count what they see. None closes a connection that its client should have closed, so
that ``open`` is what the client left behind.

``Loop`` runs them in a thread, for crawls in a process of their own; within a test's own event loop ``await start()``.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64decode
from collections import Counter
from collections.abc import Awaitable, Coroutine
from threading import Thread
from typing import Any, ClassVar, Self

HOST = "127.0.0.1"


class Wire:
    """One connection of a client, its bytes counted both ways."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.n_bytes = 0
        self.host = ""  # that it was for, by the first request

    async def read(self, n: int = 65_536) -> bytes:
        data = await self._reader.read(n)
        self.n_bytes += len(data)
        return data

    async def exactly(self, n: int) -> bytes:
        data = await self._reader.readexactly(n)
        self.n_bytes += n
        return data

    async def head(self) -> bytes:
        """Up to the empty line; b'' where the client has left."""
        try:
            data = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""
        self.n_bytes += len(data)
        return data

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        self.n_bytes += len(data)
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


class Server:
    """``wires``: all connections so far; ``open``: those that the client has not closed yet."""

    started: ClassVar[list[Server]] = []  # for whoever stops all

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.wires: list[Wire] = []
        self.open = 0
        self.port = 0
        self._tls = tls
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def by_host(self) -> Counter[str]:
        """Bytes of each host, the way there and refusals included."""
        return sum((Counter({wire.host: wire.n_bytes}) for wire in self.wires), Counter())

    async def start(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, ssl=self._tls, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        self.started.append(self)
        return self

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until_closed(self, left: int = 0, within_s: float = 3.0) -> int:
        """Wait until no more than ``left`` are open; returns how many are."""
        try:
            async with asyncio.timeout(within_s):
                while self.open > left:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            pass
        return self.open

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        wire = Wire(reader, writer)
        self.wires.append(wire)
        self.open += 1
        try:
            await self.talk(wire)
            while await wire.read():
                pass
        except (OSError, EOFError):
            pass
        except asyncio.CancelledError:
            pass  # the server stops
        finally:
            self.open -= 1
            wire.close()
            self._tasks.discard(task)

    async def talk(self, wire: Wire) -> None:
        raise NotImplementedError


class Site(Server):
    """``/bytes/1000`` is a page of 1000 bytes; the other paths are in ``talk``. Keeps connections open."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self.asked: list[str] = []  # the paths
        self.heads: list[str] = []
        self.blocks_robots = False

    async def talk(self, wire: Wire) -> None:
        while head := await wire.head():
            first, _, rest = head.decode("latin-1").partition("\r\n")
            path = first.split()[1]
            self.asked.append(path)
            self.heads.append(head.decode("latin-1"))
            lengths = [
                line.split(":")[1] for line in rest.split("\r\n") if line.lower().startswith("content-length")
            ]
            if lengths:
                await wire.exactly(int(lengths[0]))
            word, _, number = path.partition("?")[0].strip("/").partition("/")
            body = b"<html><body>" + b"word " * ((int(number) if number.isdigit() else 100) // 5)
            match word:
                case "robots.txt" if not self.blocks_robots:
                    await wire.write(answer(b"", "404 Not Found"))
                case "busy-once" if self.asked.count(path) == 1:
                    await wire.write(answer(body, "429 Too Many Requests", "Retry-After: 0\r\n"))
                case "blocked-once" if self.asked.count(path) > 1:
                    await wire.write(answer(body[:1000]))
                case (
                    "blocked" | "blocked-once" | "robots.txt"
                ):  # a vendor's mark in the headers, a large body, slowly
                    number = number or "200000"
                    mark = f"cf-mitigated: challenge\r\nContent-Length: {number}"
                    await wire.write(f"HTTP/1.1 403 Forbidden\r\n{mark}\r\n\r\n".encode())
                    for _ in range(int(number) // 10_000):
                        await wire.write(b"x" * 10_000)
                        await asyncio.sleep(0.002)
                case "cut":
                    await wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegins")
                    return wire.close()
                case "bad-chunk":
                    await wire.write(
                        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n"
                    )
                case "leaves":  # answers, then closes the connection though it was to be kept
                    await wire.write(answer(body))
                    return wire.close()
                case "talks-on":  # sends what nobody asked for
                    await wire.write(answer(body) + answer(b"not yours"))
                case "stalls":
                    await asyncio.sleep(60)
                case _:
                    await wire.write(answer(body))
        return None


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """A whole answer of a site or a gateway."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


class Gateway(Server):
    """An HTTP proxy. ``manner``: how it answers, "well" or one of the wrong ways in ``talk``."""

    def __init__(self, manner: str = "well", tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self.manner = manner
        self.users: list[
            tuple[int, str, str]
        ] = []  # (number of the connection, user, target) of each request

    async def talk(self, wire: Wire) -> None:
        number = len(self.wires)
        if self.manner == "silent":
            return None
        while head := await wire.head():
            lines = head.decode("latin-1").split("\r\n")
            method, target, _ = lines[0].split()
            said = [line.split(" ")[2] for line in lines if line.startswith("Proxy-Authorization: Basic ")]
            user = b64decode(said[0]).decode().partition(":")[0] if said else ""
            self.users.append((number, user, target))
            place = target if method == "CONNECT" else target.removeprefix("http://").partition("/")[0]
            host, _, port = place.partition(":")
            wire.host = host
            match self.manner:
                case "refuses":
                    await wire.write(
                        answer(b"wrong user", "407 Proxy Authentication Required", "X-Why: auth\r\n")
                    )
                case "says it in the body":
                    await wire.write(answer(b"NO_EXIT for this country, sorry" + b"." * 5000, "521 Nope"))
                case "repeats":
                    await wire.write(answer(b"", f"407 no {b64decode(said[0]).decode()} {said[0]}"))
                case "garbage":
                    await wire.write(b"SSH-2.0-OpenSSH_9.6\r\n")
                case "half a head":
                    await wire.write(b"HTTP/1.1 200 Conn")
                case "half a head, and leaves":
                    await wire.write(b"HTTP/1.1 200 Conn")
                    wire.close()
                case "endless head":
                    await wire.write(b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 4000)
                case "leaves":
                    wire.close()
                case "opens, then is silent":
                    await wire.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    return None
                case "opens, then leaves":
                    await wire.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    wire.close()
                case _ if method == "CONNECT":
                    await wire.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    return await tunnel(wire, int(port))
                case _:
                    path = target.removeprefix(f"http://{place}")
                    await forward(wire, int(port), [f"{method} {path} HTTP/1.1", *lines[1:]])
        return None


class Socks(Server):
    """A SOCKS5 proxy that holds to RFC 1928 and 1929. ``reply``: to CONNECT; ``silent_at``: a step it never answers."""

    def __init__(self, user: str = "", password: str = "", reply: int = 0, silent_at: str = "") -> None:
        super().__init__()
        self._login = user, password
        self._reply, self._silent_at = reply, silent_at
        self.names: list[str] = []  # asked for, with their kind

    async def talk(self, wire: Wire) -> None:
        version, n_methods = await wire.exactly(2)
        assert version == 5
        offered = await wire.exactly(n_methods)
        wanted = 2 if self._login[0] else 0
        if self._silent_at == "greeting":
            return None
        await wire.write(bytes((5, wanted if wanted in offered else 0xFF)))
        if wanted not in offered:
            return None
        if wanted:
            assert await wire.exactly(1) == b"\x01"
            said = [(await wire.exactly((await wire.exactly(1))[0])).decode() for _ in range(2)]
            await wire.write(bytes((1, 0 if tuple(said) == self._login else 1)))
            if tuple(said) != self._login:
                return None
        version, command, nought, kind = await wire.exactly(4)
        assert (version, command, nought) == (5, 1, 0)
        n = {1: 4, 4: 16}.get(kind) or (await wire.exactly(1))[0]
        name = await wire.exactly(n)
        port = int.from_bytes(await wire.exactly(2))
        wire.host = name.decode() if kind == 3 else ".".join(map(str, name))
        self.names.append(f"{kind} {wire.host}")
        if self._silent_at == "connect":
            return None
        await wire.write(
            bytes((5, self._reply, 0, 3, 4)) + b"here" + b"\0\0"
        )  # bound to a name, which is rare
        if self._reply:
            return None
        return await tunnel(wire, port)


async def tunnel(wire: Wire, port: int) -> None:
    """Bytes both ways until one side ends."""
    reader, writer = await asyncio.open_connection(HOST, port)

    async def up() -> None:
        while data := await wire.read():
            writer.write(data)
            await writer.drain()

    async def down() -> None:
        while data := await reader.read(65_536):
            await wire.write(data)

    tasks = [asyncio.create_task(up()), asyncio.create_task(down())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
    if tasks[1].done() and not tasks[1].cancelled():
        wire.close()  # the site has left


async def forward(wire: Wire, port: int, lines: list[str]) -> None:
    """One request, its answer up to the length that it tells."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        own = [line for line in lines if not line.startswith("Proxy-")]
        writer.write("\r\n".join(own).encode("latin-1"))
        head = await reader.readuntil(b"\r\n\r\n")
        await wire.write(head)
        left = (
            0
            if lines[0].startswith("HEAD ")
            else int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        )
        while left and (data := await reader.read(min(left, 65_536))):
            await wire.write(data)
            left -= len(data)
    finally:
        writer.close()


class Loop:
    """An event loop in a thread; ``run`` waits for a coroutine there."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def start(self, server: Any) -> Any:
        return self.run(server.start())

    def run(self, coroutine: Coroutine[Any, Any, Any] | Awaitable[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)  # type: ignore[arg-type]  # any awaitable coroutine will do

    def __exit__(self, *_: object) -> None:
        while Server.started:
            self.run(Server.started.pop().stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
