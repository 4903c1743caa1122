"""I/O. Connections: a metered socket, the way through the proxy (CONNECT, SOCKS5), TLS. Whatever fails is closed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

import aiohappyeyeballs
from aiohttp import ClientPayloadError
from aiohttp.client_proto import ResponseHandler

from scraper.proxies import heads, socks
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.gateway import TRANSIENT
from scraper.proxies.resolver import Resolver, type_of_address
from scraper.proxies.sockets import PLATFORM_SOCKET, MeteredSocket, Report

UNREACHABLE = "unreachable"  # nobody takes a connection there
NEXT_ADDRESS_S = 0.25  # before the next address of a name is tried beside the first (RFC 8305)
REFUSAL_BYTES = 512  # of a refused CONNECT's body that are read: some gateways put their reason there
REFUSAL_WAIT_S = 0.25  # for that body


class ProxyRefused(Exception):
    """The proxy answered CONNECT with something else than 2xx. ``body``: its beginning; may repeat the credentials."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str], body: str) -> None:
        super().__init__(status)  # the texts are not ours: they go to the classifier, not into logs
        self.status, self.reason, self.headers, self.body = status, reason, headers, body


class ProxyFailed(Exception):
    """The proxy cannot be reached or does not do what it should. ``kind``: a class of scraper.proxies.gateway."""

    def __init__(self, why: str, kind: str) -> None:
        super().__init__(why, kind)
        self.why, self.kind = why, kind


class CannotConnect(Exception):
    """The target itself, asked from our own address, takes no connection."""


class TunnelBroke(Exception):
    """It ended before TLS with the target was set up."""


@dataclass(frozen=True, slots=True)
class Route:
    """One way to one place. ``tls``: to the target, None for http; ``proxy_tls``: to an https proxy; ``proxy_headers``:
    what only the proxy is to get, as heads.request_head takes them."""

    endpoint: Endpoint | None
    host: str
    port: int
    tls: ssl.SSLContext | None
    proxy_tls: ssl.SSLContext
    proxy_authorization: bytes
    proxy_headers: tuple[tuple[bytes, list[bytes]], ...]
    allow_private: bool


class Connection(ResponseHandler):
    """aiohttp's protocol, which parses answers, on a socket of ours."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: MeteredSocket) -> None:
        super().__init__(loop)
        self.sock = sock
        self.on_lost: Callable[[Connection], None] | None = None
        self.peer: IPv4Address | IPv6Address | None = None
        self.certificate: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        place = transport.get_extra_info("peername")
        self.peer = ip_address(place[0]) if place else None
        tls = transport.get_extra_info("ssl_object")
        self.certificate = tls.getpeercert(binary_form=True) if tls is not None else None

    def connection_lost(self, exc: BaseException | None) -> None:
        self.sock.account()  # while the socket can still be asked: uvloop closes it before it tells
        if exc is not None and self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(
                ClientPayloadError(str(exc))
            )  # else a body without a length passes as whole
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost(self)

    def abort(self) -> None:
        """Close at once: no TLS goodbye, which costs bytes and waits for a peer that may be gone."""
        self.sock.account()
        super().abort()


async def open_connection(route: Route, resolver: Resolver, timeout_s: float, on_bytes: Report) -> Connection:
    """Raises ProxyRefused, ProxyFailed, CannotConnect, TunnelBroke, socket.gaierror, ssl.SSLError, TargetRefused,
    and TimeoutError where the way through the proxy, or TLS, takes longer than ``timeout_s`` in all."""
    sock: MeteredSocket | None = None
    try:
        async with asyncio.timeout(timeout_s):
            sock = await _connect(route, resolver, on_bytes)
            try:
                return await _through(sock, route)
            except BaseException:
                sock.close()
                raise
    except TimeoutError:
        if sock is not None:
            raise
        why = f"takes no connection within {timeout_s:g} s"
        if route.endpoint is None:
            resolver.forget(route.host)
            raise CannotConnect(why) from None
        resolver.forget(route.endpoint.host)
        raise ProxyFailed(why, UNREACHABLE) from None


async def _connect(route: Route, resolver: Resolver, on_bytes: Report) -> MeteredSocket:
    proxy = route.endpoint
    host, port = (route.host, route.port) if proxy is None else (proxy.host, proxy.port)
    # Through a proxy the name that is resolved here is the proxy's, which may well be of our own network.
    try:
        addresses = await resolver.resolve(host, port, allow_private=route.allow_private or proxy is not None)
    except OSError as error:
        if proxy is None:
            raise
        raise ProxyFailed(f"has a name that is not found: {_why(error)}", UNREACHABLE) from None

    def new_socket(address: type_of_address) -> MeteredSocket:
        sock = PLATFORM_SOCKET(*address[:3])
        sock.on_bytes = on_bytes
        return sock

    try:
        return await aiohappyeyeballs.start_connection(  # type: ignore[return-value]  # what new_socket makes
            addresses, happy_eyeballs_delay=NEXT_ADDRESS_S, socket_factory=new_socket
        )
    except (OSError, RuntimeError) as error:  # RuntimeError: uvloop's, for some of them
        if isinstance(error, TimeoutError):
            raise
        resolver.forget(host)
        if proxy is None:
            raise CannotConnect(_why(error)) from None
        raise ProxyFailed(f"does not answer: {_why(error)}", UNREACHABLE) from None


async def _through(sock: MeteredSocket, route: Route) -> Connection:
    loop, proxy = asyncio.get_running_loop(), route.endpoint
    if proxy is None:
        return await _talk_to_target(sock, route)
    if proxy.scheme == "https":
        return await _through_tls(sock, proxy, route)
    if proxy.scheme == "http" and route.tls is None:
        return await _talk(sock, None, "")  # the proxy is asked for the page itself

    async def send(data: bytes) -> None:
        await loop.sock_sendall(sock, data)

    async def receive(n_bytes: int) -> bytes:
        return await loop.sock_recv(sock, n_bytes)

    try:
        if proxy.scheme == "http":
            await _ask_for_tunnel(route, send, receive)
        else:
            await _speak_socks(proxy, route, send, receive)
    except OSError as error:
        raise ProxyFailed(f"broke off: {_why(error)}", TRANSIENT) from None
    return await _talk_to_target(sock, route)


async def _through_tls(sock: MeteredSocket, proxy: Endpoint, route: Route) -> Connection:
    """TLS to the proxy, and for an https page TLS again inside of it."""
    loop = asyncio.get_running_loop()
    try:
        if route.tls is None:
            return await _talk(sock, route.proxy_tls, proxy.host)
        reader = asyncio.StreamReader()
        outer, _ = await loop.create_connection(
            lambda: asyncio.StreamReaderProtocol(reader),
            sock=sock,
            ssl=route.proxy_tls,
            server_hostname=proxy.host,
        )
    except OSError as error:
        why = getattr(error, "verify_message", "") or _why(error)
        raise ProxyFailed(f"sets up no TLS that we trust: {why}", UNREACHABLE) from None
    try:

        async def send(data: bytes) -> None:
            outer.write(data)

        try:
            await _ask_for_tunnel(route, send, reader.read)
        except OSError as error:
            raise ProxyFailed(f"broke off: {_why(error)}", TRANSIENT) from None
        connection = Connection(loop, sock)
        try:
            inner = await loop.start_tls(outer, connection, route.tls, server_hostname=route.host)
        except OSError as error:
            raise _of_tunnel(error) from None
        if inner is None:
            raise TunnelBroke("it was closed")
        connection.connection_made(inner)
        return connection
    except BaseException:
        outer.abort()
        raise


async def _talk(sock: MeteredSocket, tls: ssl.SSLContext | None, host: str) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: Connection(loop, sock), sock=sock, ssl=tls, server_hostname=host if tls is not None else None
    )
    return connection


async def _talk_to_target(sock: MeteredSocket, route: Route) -> Connection:
    try:
        return await _talk(sock, route.tls, route.host)
    except OSError as error:
        raise _of_tunnel(error) from None


async def _ask_for_tunnel(
    route: Route, send: Callable[[bytes], Awaitable[None]], receive: Callable[[int], Awaitable[bytes]]
) -> None:
    await send(heads.connect_head(route.host, route.port, route.proxy_authorization, route.proxy_headers))
    data = b""
    while True:
        while (end := data.find(b"\r\n\r\n")) < 0:
            if len(data) > heads.MAX_HEAD_BYTES:
                raise ProxyFailed("answers CONNECT with an endless head", TRANSIENT)
            more = await receive(heads.MAX_HEAD_BYTES)
            if not more:
                raise ProxyFailed("closed the connection instead of answering CONNECT", TRANSIENT)
            data += more
            if not b"HTTP/1."[: len(data)].startswith(data[:7]):
                break  # it will not become one
        try:
            answer = heads.parse_answer(data[:end] if end >= 0 else data)
        except heads.BadHead:
            raise ProxyFailed("answers CONNECT with something that is not HTTP", TRANSIENT) from None
        data = data[end + 4 :]
        if answer.status >= 200:
            break
    if answer.status < 300:
        if data:
            raise ProxyFailed("sent more than an answer to CONNECT", TRANSIENT)
        return
    try:
        wanted = min(REFUSAL_BYTES, int(answer.headers.get("content-length", REFUSAL_BYTES)))
        async with asyncio.timeout(REFUSAL_WAIT_S):
            while len(data) < wanted and (more := await receive(REFUSAL_BYTES)):
                data += more
    except (TimeoutError, OSError, ValueError):
        pass  # the status has said it
    body = data[:REFUSAL_BYTES].decode("utf-8", "replace")
    raise ProxyRefused(answer.status, answer.reason, answer.headers, body)


async def _speak_socks(
    proxy: Endpoint,
    route: Route,
    send: Callable[[bytes], Awaitable[None]],
    receive: Callable[[int], Awaitable[bytes]],
) -> None:
    words = socks.handshake(route.host, route.port, proxy.user, proxy.password)
    try:
        data, n_bytes = next(words)
        while True:
            if data:
                await send(data)
            got = b""
            while len(got) < n_bytes:
                more = await receive(n_bytes - len(got))
                if not more:
                    raise ProxyFailed("closed the connection in the middle of SOCKS5", TRANSIENT)
                got += more
            data, n_bytes = words.send(got)
    except StopIteration:
        return
    except socks.SocksRefused as refused:
        raise ProxyFailed(refused.reason, refused.kind) from None


def _of_tunnel(error: OSError) -> Exception:
    """What TLS with the target failed of: its certificate, or the way there."""
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return error
    return TunnelBroke(_why(error))


def _why(error: OSError | RuntimeError) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
