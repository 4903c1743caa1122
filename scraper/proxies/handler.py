"""ADAPTER. The download handler: sends each request as its identity, and counts what crosses its sockets.

Scrapy's own handlers share connections between identities on http://, keep one idle socket a credential for minutes,
lose a gateway's status and headers, leave sockets open behind refused CONNECTs, and cannot count CONNECT and TLS bytes
(docs/handlers.md has the table). Here every identity has its own connections, closed when it is retired. A request that
carries no live identity is refused: this is the last place before the network, and it fails closed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import ParseResult, unquote

import aiohttp
from aiohttp.http import HttpProcessingError, RawResponseMessage
from scrapy import signals
from scrapy.core.downloader.handlers._base_http import BaseHttpDownloadHandler
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    ResponseDataLossError,
)
from scrapy.http import Headers, Request, Response
from scrapy.utils._download_handlers import (
    check_stop_download,
    get_maxsize_msg,
    get_warnsize_msg,
    make_response,
)
from scrapy.utils.httpobj import urlparse_cached

from scraper import names
from scraper.errors import CertificateRefused, ConfigError, GatewayError, TargetRefused
from scraper.proxies import dial, gateway, heads
from scraper.proxies.dial import Connection, Route
from scraper.proxies.lines import Lines, Place
from scraper.proxies.middleware import IdentityMiddleware
from scraper.proxies.resolver import Resolver
from scraper.proxies.roster import Identity

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)

MAX_HEADER_BYTES = 16 * 1024  # of one line; browsers' servers allow 8-16 KiB
BODY_BUFFER = 64 * 1024  # bytes of a body that wait for us before the socket is read no further
DEFAULT_TIMEOUT_S = 10.0  # where a request carries none: Scrapy's own number
_PORTS = {"http": 80, "https": 443}
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_BROKEN = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
_CUT = (aiohttp.ClientPayloadError, ConnectionResetError, *_BROKEN)  # while the body is read


class ProxyDownloadHandler(BaseHttpDownloadHandler):
    """For ``http`` and ``https``. Needs IdentityMiddleware, which tells it who each request goes out as."""

    sends_as_identity = True  # it finds the proxy itself; requests carry no meta["proxy"] and no credentials

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._found: IdentityMiddleware | None = None
        self._resolver = Resolver()
        self._lines: Lines = Lines(0, 0.0)

    # --- one request ----------------------------------------------------------------------------------------------

    async def download_request(self, request: Request) -> Response:
        """Raises the exceptions of scrapy.exceptions and of scraper.errors; none of them names a secret."""
        identities = self._middleware()
        identity = identities.roster.get(str(request.meta.get(names.IDENTITY, "")))
        if identity is None and request.meta.get(
            names.LEASED
        ):  # retired by another request while this one waited
            pool = str(request.meta.get(names.POOL, ""))
            raise GatewayError(pool, 0, "the identity of this request is gone", gateway.SESSION_LOST)
        if identity is None:
            raise TargetRefused(
                request.url, "no identity was assigned to it, and nothing goes out without one"
            )
        parts = urlparse_cached(request)
        site = parts.hostname or ""
        timeout_s: float = request.meta.get("download_timeout", DEFAULT_TIMEOUT_S)
        spent = 0

        def on_bytes(n_bytes: int) -> None:
            nonlocal spent
            spent += n_bytes
            identities.spent(identity, site, n_bytes)

        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request, parts, identity, timeout_s, on_bytes)
        except TimeoutError:
            raise DownloadTimeoutError(f"{request.url} took longer than {timeout_s:g} s") from None
        except dial.ProxyRefused as refused:
            raise _refusal(identity, refused.status, refused.reason, refused.headers, refused.body) from None
        except dial.ProxyFailed as failed:
            raise GatewayError(identity.arm.pool.name, 0, failed.why, failed.kind) from None
        except dial.CannotConnect as error:
            raise DownloadConnectionRefusedError(
                f"{site}:{parts.port or _PORTS[parts.scheme]}: {error}"
            ) from None
        except socket.gaierror as error:
            raise CannotResolveHostError(f"{site}: {error.strerror}") from None
        except ssl.SSLError as error:
            raise CertificateRefused(
                site, getattr(error, "verify_message", "") or str(error.reason)
            ) from None
        except dial.TunnelBroke as error:
            raise DownloadFailedError(f"connection to {site} broke before TLS was set up: {error}") from None
        except (aiohttp.ClientError, HttpProcessingError, heads.BadHead) as error:
            raise DownloadFailedError(f"{type(error).__name__}: {error}") from None
        finally:
            request.meta[names.WIRE_BYTES] = spent

    async def _exchange(
        self, request: Request, parts: ParseResult, identity: Identity, timeout_s: float, on_bytes: Any
    ) -> Response:
        began_s = time.monotonic()
        route = self._route(parts, identity)
        asks_proxy = (
            identity.endpoint is not None and route.tls is None and identity.endpoint.scheme in _PORTS
        )
        place: Place = ("proxy", "", 0) if asks_proxy else (parts.scheme, route.host, route.port)
        data = _message(request, parts, route, asks_proxy)
        reused = self._lines.take(identity.id, place)
        while True:
            connection = reused
            if connection is None:
                wait_s = min(timeout_s, self._middleware().connections.connect_timeout_s)
                connection = await dial.open_connection(route, self._resolver, wait_s, on_bytes)
            else:
                connection.sock.on_bytes = on_bytes
            try:
                message, body = await _ask(connection, data, request.method)
                if asks_proxy:
                    _raise_if_gateways_own(identity, message)
                request.meta["download_latency"] = time.monotonic() - began_s
                response = await self._read(request, connection, message, body)
            except _BROKEN:
                connection.abort()
                left = request.meta.get(names.TRIES_LEFT, 1)
                if reused is None or request.method not in _REPEATABLE or left < 1:
                    raise
                # It was closed while it was idle, or by the site at this request: once more on a new one, as a further try.
                reused = None
                request.meta[names.TRIES_LEFT] = left - 1
                request.meta[names.ATTEMPT] = request.meta.get(names.ATTEMPT, 1) + 1
                continue
            except BaseException:
                connection.abort()
                raise
            connection.sock.account()
            self._lines.give(
                identity.id, place, connection
            )  # which closes it where the body was not read whole
            return response

    def _route(self, parts: ParseResult, identity: Identity) -> Route:
        endpoint, connections = identity.endpoint, self._middleware().connections
        tls = None
        if parts.scheme == "https":
            tls = connections.trusting if identity.arm.pool.intercepts else connections.verifying
        return Route(
            endpoint=endpoint,
            host=parts.hostname or "",
            port=parts.port or _PORTS[parts.scheme],
            tls=tls,
            proxy_tls=connections.verifying,
            proxy_authorization=heads.basic(endpoint.user, endpoint.password)
            if endpoint is not None
            else b"",
            proxy_headers=tuple(
                (name.encode(), [value.encode()]) for name, value in identity.proxy_headers.items()
            ),
            allow_private=connections.allow_private,
        )

    async def _read(
        self,
        request: Request,
        connection: Connection,
        message: RawResponseMessage,
        body: aiohttp.StreamReader,
    ) -> Response:
        """The answer as Scrapy's handlers would give it, with their signals; headers_received has the status too."""
        meta, length = request.meta, message.headers.get("Content-Length")
        n_expected = int(length) if length is not None else None
        most: int = meta.get("download_maxsize", self._default_maxsize)
        warn_at: int = meta.get("download_warnsize", self._default_warnsize)
        if most and n_expected is not None and n_expected > most and request.method != "HEAD":
            raise DownloadCancelledError(get_maxsize_msg(n_expected, most, request, expected=True))
        headers = _headers_of(message)
        base: dict[str, Any] = {
            "status": message.code,
            "url": request.url,
            "headers": headers,
            "certificate": connection.certificate,
            "ip_address": connection.peer,
            "protocol": f"HTTP/{message.version.major}.{message.version.minor}",
        }
        stop = check_stop_download(
            signals.headers_received,
            self.crawler,
            request,
            headers=headers,
            body_length=n_expected,
            status=message.code,
        )
        if stop is not None:
            return make_response(**base, stop_download=stop)
        connection.sock.let_in()
        chunks, n_read = [], 0
        try:
            async for chunk in body.iter_any():
                chunks.append(chunk)
                n_read += len(chunk)
                stop = check_stop_download(signals.bytes_received, self.crawler, request, data=chunk)
                if stop is not None:
                    return make_response(**base, body=b"".join(chunks), stop_download=stop)
                if most and n_read > most:
                    raise DownloadCancelledError(get_maxsize_msg(n_read, most, request, expected=False))
        except _CUT as error:
            if meta.get("download_fail_on_dataloss", self._fail_on_dataloss):
                raise ResponseDataLossError(str(error)) from None
            return make_response(**base, body=b"".join(chunks), flags=["dataloss"])
        if warn_at and n_read > warn_at:
            logger.warning(get_warnsize_msg(n_read, warn_at, request, expected=False))
        return make_response(**base, body=b"".join(chunks))

    # --- identities and their connections ---------------------------------------------------------------------------

    def _middleware(self) -> IdentityMiddleware:
        if self._found is None:
            found = self.crawler.get_downloader_middleware(IdentityMiddleware)
            if found is None:
                raise ConfigError(
                    "DOWNLOADER_MIDDLEWARES", None, "lacks scraper.proxies.middleware.IdentityMiddleware"
                )
            self._found = found
            self._lines = Lines(found.connections.idle_most, found.connections.idle_s)
            found.on_retired.append(self._lines.close_identity)
        return self._found

    async def close(self) -> None:
        self._lines.close()
        await asyncio.sleep(0)  # the loop closes what was let go of


async def _ask(
    connection: Connection, data: bytes, method: str
) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
    """Send a request and wait for the head of its answer."""
    transport = connection.transport
    if transport is None:
        raise aiohttp.ServerDisconnectedError
    connection.set_response_params(
        skip_payload=method == "HEAD",
        read_until_eof=True,
        auto_decompress=False,
        read_bufsize=BODY_BUFFER,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    )
    transport.write(data)
    while True:
        message, body = await connection.read()
        if message.code >= 200 or message.code == 101:
            return message, body


def _message(request: Request, parts: ParseResult, route: Route, asks_proxy: bool) -> bytes:
    """Head and body as they are sent. Raises heads.BadHead."""
    host = heads.authority(route.host, route.port, _PORTS[parts.scheme])
    target = parts.path or "/"
    if parts.params:
        target += f";{parts.params}"
    if parts.query:
        target += f"?{parts.query}"
    headers: list[tuple[bytes, list[bytes]]] = list(
        dict.items(request.headers)
    )  # its own items normalises again
    if parts.username is not None and b"Authorization" not in request.headers:
        login = heads.basic(unquote(parts.username), unquote(parts.password or ""))
        headers.append((b"Authorization", [login]))
    authorization = b""
    if asks_proxy:
        target, authorization = f"http://{host}{target}", route.proxy_authorization
        headers += route.proxy_headers
    head = heads.request_head(request.method, target, host, headers, len(request.body), authorization)
    return head + request.body


def _headers_of(message: RawResponseMessage) -> Headers:
    """As Scrapy keeps them, in bytes, without its normalising each name three times."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in message.raw_headers:
        found.setdefault(name.title(), []).append(value)
    headers = Headers()
    dict.update(headers, found)
    return headers


def _raise_if_gateways_own(identity: Identity, message: RawResponseMessage) -> None:
    """On http:// the gateway answers where the site should; its own refusals are told by their headers."""
    headers = {name.lower(): value for name, value in message.headers.items()}
    if gateway.is_gateways_own(identity.arm.pool.provider, message.code, headers):
        raise _refusal(identity, message.code, message.reason, headers)


def _refusal(
    identity: Identity, status: int, reason: str, headers: Mapping[str, str], body: str = ""
) -> GatewayError:
    """What a gateway's refusal means, with its reason, shortened. Where it repeats our credentials they are hidden, also
    from the classifier: a user name holds words such as "session"."""
    endpoint = identity.endpoint
    assert endpoint is not None
    reason, body = (heads.hide(text, endpoint.user, endpoint.password) for text in (reason, body))
    kind = gateway.classify(identity.arm.pool.provider, status, f"{reason} {body}", headers)
    return GatewayError(identity.arm.pool.name, status, reason[:200], kind)
