"""The web server: virtual hosts over HTTP and HTTPS, each answer delivered as its shop decided, faults included."""

from __future__ import annotations

import asyncio
import gzip
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import brotli
from aiohttp import web

from scraper.lab.answers import Answer, Visit
from scraper.lab.exits import Exit
from scraper.lab.filler import weighed
from scraper.lab.shops import Shop
from scraper.lab.wire import reset
from scraper.lab.worlds import SiteSpec, World

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


ECHO_HOST = "ip.localhost"  # says who asks: for checks of proxies


@dataclass(frozen=True, slots=True)
class Served:
    """One line of the record that sites keep: the ``n``-th request, ``t`` seconds after the start.

    ``size``: bytes of the body as it is sent, compressed; of a fault, as it would have been.
    """

    n: int
    t: float
    site: str
    path: str
    exit: str
    pool: str
    country: str
    status: int
    what: str
    detail: str
    size: int


class Sites:
    """All shops behind one handler. ``find_exit`` knows whose connection comes from which address and port."""

    def __init__(
        self,
        world: World,
        find_exit: Callable[[tuple[str, int]], Exit],
        spend: Callable[[Exit], None],
        clock: Callable[[], float],
    ) -> None:
        self.options = world.options
        self.specs: dict[str, SiteSpec] = {f"{spec.label}.localhost": spec for spec in world.sites}
        self.shops = {host: spec.rules.open(spec.label, self.options) for host, spec in self.specs.items()}
        self.later = {
            host: spec.later.open(spec.label, self.options) for host, spec in self.specs.items() if spec.later
        }
        self.changed: set[str] = set()
        self.served: list[Served] = []
        self._find_exit, self._spend, self._clock = find_exit, spend, clock
        self._ordinals = dict.fromkeys(self.shops, 0)

    def locate(self, ports: Mapping[str, int]) -> None:
        """Tell the sites where they are, once the ports of both schemes are known."""
        for host, spec in self.specs.items():
            for shop in filter(None, (self.shops[host], self.later.get(host))):
                shop.origin = f"{spec.scheme}://{host}:{ports[spec.scheme]}"

    def change(self, host: str) -> None:
        """Give a site its later rules, for good. Raises KeyError when it has none."""
        if host not in self.changed:
            self.shops[host] = self.later[host]
            self.changed.add(host)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; a host that is no site of the lab gets 421."""
        host, transport = (request.host or "").partition(":")[0].lower(), request.transport
        if transport is None or (host not in self.shops and host != ECHO_HOST):
            return web.Response(status=421, text="No such site in the lab\n")
        exit_ = self._find_exit(transport.get_extra_info("peername")[:2])
        if host == ECHO_HOST:
            return web.json_response({"ip": exit_.address, "country": exit_.country, "pool": exit_.pool})
        ordinal = self._ordinals[host]
        self._ordinals[host] += 1
        if self.specs[host].restless and 0 < self.options.change_after <= ordinal:
            self.change(host)
        shop = self.shops[host]
        visit = Visit(request.path, request.query, request.cookies, exit_, self._clock(), ordinal)
        answer = Shop.answer(shop, visit) if visit.path == "/robots.txt" else shop.answer(visit)
        answer = weighed(answer, shop.options, request.path_qs)
        body, encoding = encode(answer, request.headers.get("Accept-Encoding", ""), ordinal)
        self._keep(shop, visit, answer, request.path_qs, len(body))
        self._spend(exit_)
        return await self._deliver(request, transport, answer, body, encoding)

    def _keep(self, shop: Shop, visit: Visit, answer: Answer, path: str, size: int) -> None:
        exit_ = visit.exit
        self.served.append(
            Served(
                len(self.served) + 1,
                round(visit.now, 3),
                shop.host,
                path,
                exit_.name,
                exit_.pool,
                exit_.country,
                answer.status,
                answer.what,
                answer.detail,
                size,
            )
        )

    async def _deliver(
        self,
        request: web.BaseRequest,
        transport: asyncio.Transport,
        answer: Answer,
        body: bytes,
        encoding: str,
    ) -> web.StreamResponse:
        headers = {
            "Server": "nginx",
            "Content-Type": answer.content_type,
            "Vary": "Accept-Encoding",
            **answer.headers,
        }
        if encoding != "identity":
            headers["Content-Encoding"] = encoding
        fault = answer.fault
        if fault == "reset":
            reset(transport)
        elif fault == "stall":
            await asyncio.sleep(self.options.stall_seconds)
            transport.close()
        elif fault in ("stall_body", "short", "endless"):
            return await self._cut(request, transport, answer.status, headers, body, fault)
        elif fault == "cut_gzip":
            body = body[: len(body) * 2 // 3]  # whole by its Content-Length, broken by its encoding
        return web.Response(status=answer.status, headers=headers, body=body)

    async def _cut(
        self,
        request: web.BaseRequest,
        transport: asyncio.Transport,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        fault: str,
    ) -> web.StreamResponse:
        """Half of the body, then nothing more: at once for "short" and "endless", after the stall for "stall_body"."""
        response = web.StreamResponse(status=status, headers=headers)
        if fault == "endless":
            response.enable_chunked_encoding()
        else:
            response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if fault == "stall_body":
            await asyncio.sleep(self.options.stall_seconds)
        transport.close()
        return response


def encode(answer: Answer, accept: str, ordinal: int) -> tuple[bytes, str]:
    """Body of an answer and its content encoding: of those that the client accepts, in turns where the shop wants so."""
    accepted = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    choices = [name for name in answer.encodings or ("gzip",) if name in accepted or name == "identity"]
    encoding = choices[ordinal % len(choices)] if choices and answer.body else "identity"
    return compress(answer.body, encoding), encoding


@lru_cache(maxsize=1024)
def compress(text: str, encoding: str) -> bytes:
    """``text`` in UTF-8, compressed; remembered, since shops serve the same page again and again."""
    body = text.encode()
    if encoding == "gzip":
        return gzip.compress(body, 6, mtime=0)
    if encoding == "br":
        return bytes(brotli.compress(body, quality=5))
    if encoding == "zstd":
        return zstd.compress(body, 6)
    return body
