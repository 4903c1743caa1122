"""Proxies: datacentre list and residential and mobile gateways, with CONNECT and absolute-form, metered at the socket."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from scraper.lab.credentials import CUSTOMER, BadUsername, Wish, basic, parse
from scraper.lab.exits import Exit, ExitChooser, NoExit, SessionLost
from scraper.lab.registry import Registry
from scraper.lab.wire import Connection, Head, Headers, Meter, listen, read_head, reset

_IDLE_SECONDS = 60.0  # a client connection without a request is closed after so long
_CHUNK = 65_536  # bytes read at once
_HOP_BY_HOP = ("connection", "proxy-connection", "proxy-authorization", "keep-alive")


class Refused(Exception):
    """The proxy itself says no: status, a code for programs, a text for people."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(status, code, text)
        self.status, self.code, self.text = status, code, text


class Pool:
    """What the listeners of one pool share: its meter, its credentials, its switch, how much it carries at once."""

    def __init__(
        self,
        name: str,
        usd_per_gb: float,
        password: str,
        threads: int,
        registry: Registry,
        targets: Callable[[str, int], bool],
        clock: Callable[[], float],
    ) -> None:
        self.name, self.password, self.threads = name, password, threads
        self.meter = Meter(usd_per_gb)
        self.registry, self.allowed, self.clock = registry, targets, clock
        self.dead = False
        self.busy = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """End every connection of the pool."""
        for task in self.tasks:
            task.cancel()


class Proxy:
    """One listener. ``exit_``: the fixed exit of a list proxy; ``chooser``: the exits of a gateway."""

    def __init__(self, pool: Pool, *, exit_: Exit | None = None, chooser: ExitChooser | None = None) -> None:
        self.pool, self._exit, self._chooser = pool, exit_, chooser
        self.host, self.port = "127.0.0.1", 0
        self._server: asyncio.Server | None = None

    @property
    def fixed(self) -> bool:
        """Whether it is a proxy of a list, with one exit of its own."""
        return self._exit is not None

    @property
    def closed(self) -> bool:
        """Whether it does not listen."""
        return self._server is None

    async def open(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one and keeps it for the next time. Raises OSError when it is taken."""
        self._server = await listen(host, port, self.pool.meter, self._serve)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    def close(self) -> None:
        """Stop listening; Pool.cut ends the connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, client: Connection) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.pool.tasks.add(task)
        try:
            await self._requests(client)
        except (OSError, ValueError, EOFError):
            client.close(hard=True)
        except asyncio.CancelledError:
            client.close(hard=True)  # the pool was cut; nobody waits for this task
        finally:
            self.pool.tasks.discard(task)
            client.reader.on_end = None
            client.close()

    async def _requests(self, client: Connection) -> None:
        """One request after the other, until either side has enough."""
        held: dict[str, Exit] = {}  # exits of this connection for requests without a session, by country
        while True:
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    head = await read_head(client.reader)
            except TimeoutError:
                return
            if head is None:
                return
            self.pool.meter.requests += 1
            try:
                host, port, path = self._target(head)
                exit_ = self._choose(head, held)
                if self.pool.busy >= self.pool.threads:
                    raise Refused(429, "too_many_threads", f"More than {self.pool.threads} at once")
            except Refused as refused:
                self._refuse(client, head, refused)
                if head.first[0] != "CONNECT":
                    return
                continue  # as many gateways do: the client must close what it does not want to use again
            self.pool.busy += 1
            try:
                if head.first[0] == "CONNECT":
                    await self._tunnel(client, exit_, port)
                    return
                if not await self._forward(client, exit_, head, host, port, path):
                    return
            finally:
                self.pool.busy -= 1

    def _refuse(self, client: Connection, head: Head, refused: Refused) -> None:
        """The proxy's own error: reason phrase, headers and body all say why."""
        body = f"{refused.code}: {refused.text}\n".encode()
        headers: Headers = [
            ("X-Error-Code", refused.code),
            ("X-Error-Description", refused.text),
            ("Content-Type", "text/plain"),
            ("Content-Length", str(len(body))),
        ]
        if refused.status == 407:
            headers.append(("Proxy-Authenticate", 'Basic realm="lab"'))
        if head.first[0] != "CONNECT":
            headers.append(("Connection", "close"))
        reason = HTTPStatus(refused.status).phrase if refused.status == 407 else refused.text
        client.write(Head(("HTTP/1.1", str(refused.status), reason), headers).encode() + body)

    def _target(self, head: Head) -> tuple[str, int, str]:
        """Host, port and path asked for. Only the lab's own sites may be reached."""
        method, target, _ = head.first
        try:
            if method == "CONNECT":
                parts, path = urlsplit(f"//{target}"), ""
                port = parts.port or 443
            else:
                parts = urlsplit(target)
                if parts.scheme != "http":
                    raise ValueError(target)
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                port = parts.port or 80
        except ValueError as error:
            raise Refused(400, "bad_request", "CONNECT host:port or an http:// address wanted") from error
        if not self.pool.allowed((parts.hostname or "").lower(), port):
            raise Refused(403, "target_not_allowed", "This proxy reaches only the sites of its lab")
        return parts.hostname or "", port, path

    def _choose(self, head: Head, held: dict[str, Exit]) -> Exit:
        """Check the credentials, and find the exit that they ask for."""
        pair = basic(head.get("proxy-authorization"))
        if pair is None:
            raise Refused(407, "auth_required", "User and password wanted")
        user, password = pair
        if not hmac.compare_digest(password.encode(), self.pool.password.encode()):
            raise Refused(407, "auth_failed", "Wrong user or password")
        if self._chooser is None:
            if user != CUSTOMER:
                raise Refused(407, "auth_failed", "Wrong user or password")
            assert self._exit is not None
            return self._exit
        try:
            wish = parse(user)
        except BadUsername as bad:
            raise Refused(bad.status, bad.code, bad.text) from bad
        if self.pool.dead:
            raise Refused(502, "pool_down", "No peers available")
        try:
            return self._exit_for(self._chooser, wish, held)
        except SessionLost as lost:
            raise Refused(502, "session_lost", "Session failed, start a new one") from lost
        except NoExit as none:
            raise Refused(503, "no_exit", "No exit for this targeting") from none

    def _exit_for(self, chooser: ExitChooser, wish: Wish, held: dict[str, Exit]) -> Exit:
        if wish.session:
            return chooser.sticky(wish.session, wish.country, wish.minutes, self.pool.clock())
        exit_ = held.get(wish.country)
        if exit_ is None or not exit_.alive:
            exit_ = held[wish.country] = chooser.fresh(wish.country)
        return exit_

    async def _tunnel(self, client: Connection, exit_: Exit, port: int) -> None:
        """CONNECT: bytes both ways until one side ends; a reset goes through as a reset."""
        async with self.pool.registry.connect(exit_, port, client) as (reader, writer):
            client.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            up = asyncio.create_task(_pump(client.reader, writer.write, writer))
            down = asyncio.create_task(_pump(reader, client.write, client.writer))
            try:
                done, _ = await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            except ConnectionError:
                client.close(hard=True)
                reset(writer.transport)
            finally:
                for task in (up, down):
                    task.cancel()
                await asyncio.gather(up, down, return_exceptions=True)

    async def _forward(
        self, client: Connection, exit_: Exit, head: Head, host: str, port: int, path: str
    ) -> bool:
        """Absolute-form: one request through a connection of its own. True when the client may ask again."""
        length = head.get("content-length") or "0"
        if head.get("transfer-encoding") or not length.isdigit():
            self._refuse(client, head, Refused(411, "length_required", "Content-Length wanted"))
            return False
        method, _, version = head.first
        origin = Head((method, path, "HTTP/1.1"), head.headers)
        added: Headers = [("Host", f"{host}:{port}"), ("Connection", "close")]
        async with self.pool.registry.connect(exit_, port, client) as (reader, writer):
            client.reader.on_end = lambda: reset(writer.transport)  # a client that gives up ends the request
            writer.write(origin.encode(drop=(*_HOP_BY_HOP, "host"), add=added))
            if left := int(length):
                writer.write(await client.reader.readexactly(left))
            answer = await read_head(reader)
            if answer is None:
                client.close(hard=True)
                return False
            asked = (head.get("proxy-connection") or head.get("connection")).lower()
            keep = version == "HTTP/1.1" and asked != "close"
            framed = _Framing(method, answer)
            keep = keep and framed.known
            client.write(
                answer.encode(drop=_HOP_BY_HOP, add=[("Connection", "keep-alive" if keep else "close")])
            )
            while data := await reader.read(_CHUNK):
                framed.feed(data)
                client.write(data)
                await client.writer.drain()
            return keep and framed.whole


async def _pump(
    reader: asyncio.StreamReader, write: Callable[[bytes], None], writer: asyncio.StreamWriter
) -> None:
    while data := await reader.read(_CHUNK):
        write(data)
        await writer.drain()


class _Framing:
    """Whether the body of an answer came whole, so that the connection may be used again."""

    def __init__(self, method: str, answer: Head) -> None:
        status, length = answer.first[1], answer.get("content-length")
        empty = method == "HEAD" or status in ("204", "304")
        self._chunked = not empty and answer.get("transfer-encoding").lower() == "chunked"
        self._left: int | None = 0 if empty else int(length) if length.isdigit() else None
        self._tail = b"\r\n"
        self.known = self._chunked or self._left is not None

    def feed(self, data: bytes) -> None:
        if self._chunked:
            self._tail = (self._tail + data)[-7:]
        elif self._left is not None:
            self._left -= len(data)

    @property
    def whole(self) -> bool:
        return self._tail.endswith(b"\r\n0\r\n\r\n") if self._chunked else self._left == 0
