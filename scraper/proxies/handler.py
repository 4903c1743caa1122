"""ADAPTER. The download handler: sends each request as its identity, and counts what crosses its sockets.

Scrapy's own handlers share connections between identities on http://, keep one idle socket a credential for minutes,
lose a gateway's status and headers, leave sockets open behind refused CONNECTs, and cannot count CONNECT and TLS bytes.
Here every identity has its own aiohttp connection pool, closed when it is retired. A request that carries no live
identity is refused: this is the last place before the network, and it fails closed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import AddrInfoType
from scrapy.core.downloader.handlers._base_streaming import BaseStreamingDownloadHandler, _BaseResponseArgs
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
)
from scrapy.http import Headers, Request

from scraper import names
from scraper.errors import CertificateRefused, ConfigError, GatewayError, TargetRefused
from scraper.proxies import gateway
from scraper.proxies.addresses import is_private_address
from scraper.proxies.middleware import IdentityMiddleware
from scraper.proxies.roster import Identity
from scraper.proxies.sockets import PLATFORM_SOCKET, MeteredSocket

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

MAX_HEADER_BYTES = 16 * 1024  # of one line; browsers' servers allow 8-16 KiB
_TRUNCATED = (aiohttp.ClientPayloadError,)


class _Response(aiohttp.ClientResponse):
    """Keeps what aiohttp lets go of before the body is read (aio-libs/aiohttp#2205)."""

    peer: str | None = None
    certificate: bytes | None = None

    async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        transport = connection.transport
        if transport is not None:
            peername = transport.get_extra_info("peername")
            self.peer = peername[0] if peername else None
            tls = transport.get_extra_info("ssl_object")
            self.certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        return await super().start(connection)


class _Resolver(AbstractResolver):
    """The system's resolver; ``*.localhost`` is this machine (RFC 6761), private answers are refused unless allowed."""

    def __init__(self, allow_private: bool) -> None:
        self._system = aiohttp.ThreadedResolver()
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        name = host.rstrip(".").lower()
        local = name == "localhost" or name.endswith(".localhost")
        found = await self._system.resolve("127.0.0.1" if local else host, port, family)
        if not self._allow_private and any(is_private_address(answer["host"]) for answer in found):
            raise TargetRefused(host, f"it resolves to the private address {found[0]['host']}")
        return found

    async def close(self) -> None:
        await self._system.close()


class _Line:
    """An identity's connections: its aiohttp session and its sockets, whose bytes go to the request of the moment."""

    def __init__(self) -> None:
        self.session: aiohttp.ClientSession
        self.sockets: set[MeteredSocket] = set()
        self.on_bytes: Callable[[int], None] = lambda n_bytes: None

    def new_socket(self, addr_info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = addr_info
        sock = PLATFORM_SOCKET(family, kind, protocol)
        sock.on_bytes = lambda n_bytes: self.on_bytes(n_bytes)
        self.sockets.add(sock)
        return sock

    def account(self) -> None:
        """Report what the sockets moved since the last time, and forget those that are closed."""
        for sock in list(self.sockets):
            if sock.fileno() == -1:
                self.sockets.discard(sock)
            else:
                sock.account()


class _Protocol(ResponseHandler):
    """aiohttp's own, which accounts while the socket can still be asked: uvloop closes it before it tells."""

    def __init__(self, line: _Line, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._line = line

    def connection_lost(self, exc: BaseException | None) -> None:
        self._line.account()
        super().connection_lost(exc)


class ProxyDownloadHandler(BaseStreamingDownloadHandler[_Response]):
    """For ``http`` and ``https``. Needs IdentityMiddleware, which tells it who each request goes out as."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._lines: dict[str, _Line] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._identities: IdentityMiddleware | None = None

    # --- one request ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _make_request(self, request: Request, timeout: float) -> AsyncIterator[_Response]:
        identity = self._identity_of(request)
        site = urlsplit(request.url).hostname or ""
        line = self._line_of(identity)
        spent = 0

        def on_bytes(n: int) -> None:
            nonlocal spent
            spent += n
            self._middleware().spent(identity, site, n)

        line.on_bytes = on_bytes
        try:
            async with self._send(request, identity, line, timeout) as response:
                answer = {name.lower(): value for name, value in response.headers.items()}
                through_gateway = identity.endpoint is not None and request.url.startswith("http:")
                if through_gateway and gateway.is_gateways_own(response.status, answer):
                    reason = response.reason or ""
                    kind = gateway.classify(response.status, reason, answer)
                    raise GatewayError(identity.arm.pool.name, response.status, reason, kind)
                yield response
        finally:
            line.account()
            request.meta[names.WIRE_BYTES] = spent

    @asynccontextmanager
    async def _send(
        self, request: Request, identity: Identity, line: _Line, timeout: float
    ) -> AsyncIterator[_Response]:
        pool, connections = identity.arm.pool, self._middleware().connections
        proxy: dict[str, Any] = {}
        if identity.endpoint is not None:
            endpoint = identity.endpoint
            proxy["proxy"] = yarl.URL.build(scheme=endpoint.scheme, host=endpoint.host, port=endpoint.port)
            if endpoint.user or endpoint.password:
                proxy["proxy_auth"] = aiohttp.BasicAuth(endpoint.user, endpoint.password, "utf-8")
        try:
            async with line.session.request(
                request.method,
                yarl.URL(request.url, encoded=True),
                data=request.body or None,
                headers=self._request_headers(request).to_tuple_list(),
                timeout=aiohttp.ClientTimeout(
                    total=timeout, connect=min(timeout, connections.connect_timeout_s)
                ),
                ssl=connections.trusting if pool.intercepts else connections.verifying,
                allow_redirects=False,
                **proxy,
            ) as response:
                yield response  # type: ignore[misc]  # the session makes _Response
        except TargetRefused:
            raise
        except aiohttp.ClientHttpProxyError as error:
            headers = {name.lower(): value for name, value in (error.headers or {}).items()}
            kind = gateway.classify(error.status, error.message, headers)
            raise GatewayError(pool.name, error.status, error.message, kind) from None
        except aiohttp.ClientProxyConnectionError as error:
            reason = error.os_error.strerror or type(error.os_error).__name__
            raise GatewayError(pool.name, 0, f"does not answer: {reason}", "unreachable") from None
        except TimeoutError:
            raise DownloadTimeoutError(f"{request.url} took longer than {timeout:g} s") from None
        except aiohttp.ClientConnectorDNSError as error:
            raise CannotResolveHostError(f"{urlsplit(request.url).hostname}: {error.os_error}") from None
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            raise CertificateRefused(error.host, str(error.os_error or error)) from None
        except aiohttp.ClientConnectorError as error:
            raise DownloadConnectionRefusedError(
                f"{error.host}:{error.port}: {error.os_error.strerror}"
            ) from None
        except _TRUNCATED:
            raise  # the base class calls it data loss while the body is read
        except aiohttp.ClientError as error:
            raise DownloadFailedError(f"{type(error).__name__}: {error}") from None

    # --- identities and their connections ---------------------------------------------------------------------------

    def _identity_of(self, request: Request) -> Identity:
        identity = self._middleware().roster.get(str(request.meta.get(names.IDENTITY, "")))
        if identity is None:
            raise TargetRefused(
                request.url, "no identity was assigned to it, and nothing goes out without one"
            )
        return identity

    def _middleware(self) -> IdentityMiddleware:
        if self._identities is None:
            found = self.crawler.get_downloader_middleware(IdentityMiddleware)
            if found is None:
                raise ConfigError(
                    "DOWNLOADER_MIDDLEWARES", None, "lacks scraper.proxies.middleware.IdentityMiddleware"
                )
            self._identities = found
            found.on_retired.append(self.close_identity)
        return self._identities

    def _line_of(self, identity: Identity) -> _Line:
        line = self._lines.get(identity.id)
        if line is None:
            line = self._lines[identity.id] = _Line()
            line.session = self._new_session(identity, line)
        return line

    def _new_session(self, identity: Identity, line: _Line) -> aiohttp.ClientSession:
        # Through a proxy the name that is resolved here is the proxy's, which may well be of our own network.
        allow_private = self._middleware().connections.allow_private or identity.endpoint is not None
        connector = aiohttp.TCPConnector(
            resolver=_Resolver(allow_private),
            limit=self._pool_size_total,
            socket_factory=line.new_socket,
        )
        connector._factory = partial(_Protocol, line, asyncio.get_running_loop())  # type: ignore[assignment]  # no other way in
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            response_class=_Response,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )

    def close_identity(self, identity_id: str) -> None:
        """Close every connection of a retired identity."""
        line = self._lines.pop(identity_id, None)
        if line is not None:
            task = asyncio.get_running_loop().create_task(line.session.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        for line in self._lines.values():
            await line.session.close()
        self._lines.clear()
        if self._closing:
            await asyncio.gather(*self._closing)

    # --- what the base class asks ---------------------------------------------------------------------------------------

    @staticmethod
    def _extract_headers(response: _Response) -> Headers:
        return Headers(list(response.raw_headers))  # bytes: a name or value need not be UTF-8

    @staticmethod
    def _build_base_response_args(
        response: _Response, request: Request, headers: Headers
    ) -> _BaseResponseArgs:
        version = response.version
        return {
            "status": response.status,
            "url": request.url,
            "headers": headers,
            "certificate": response.certificate,
            "ip_address": ipaddress.ip_address(response.peer) if response.peer else None,
            "protocol": f"HTTP/{version.major}.{version.minor}" if version else "HTTP/1.1",
        }

    @staticmethod
    def _iter_body_chunks(response: _Response) -> AsyncIterator[bytes]:
        return response.content.iter_any()

    @staticmethod
    def _is_dataloss_exception(exc: Exception) -> bool:
        return isinstance(
            exc, (aiohttp.ClientPayloadError, ConnectionResetError, aiohttp.ServerDisconnectedError)
        )
