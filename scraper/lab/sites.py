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

from scraper.lab import defences
from scraper.lab.answers import Answer, Visit
from scraper.lab.exits import Exit
from scraper.lab.options import LabOptions
from scraper.lab.shops import Shop
from scraper.lab.wire import reset

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@dataclass(frozen=True)
class SiteSpec:
    """A site of the lab: its label, the scheme of its start address, its behaviour in one line."""

    label: str
    scheme: str
    shop: type[Shop]
    about: str
    needs_browser: bool = False


SITES = (
    SiteSpec("open", "http", defences.OpenShop, "no defence; gzip, br, zstd and identity take turns"),
    SiteSpec(
        "quota", "http", defences.QuotaShop, "bans an exit for a while after too many requests in a window"
    ),
    SiteSpec("slow", "https", defences.SlowShop, "429 with Retry-After for an exit that asks too fast"),
    SiteSpec(
        "captcha", "https", defences.CaptchaShop, "captcha with status 200 for direct and datacentre exits"
    ),
    SiteSpec("geo", "https", defences.GeoShop, "serves one country only"),
    SiteSpec(
        "sticky", "https", defences.StickyShop, "products want the cookie of a listing, from the same exit"
    ),
    SiteSpec(
        "poison", "http", defences.PoisonShop, "products without a price for exits that it does not trust"
    ),
    SiteSpec("redirect", "http", defences.RedirectShop, "sends exits that it does not trust to /blocked"),
    SiteSpec("flaky", "http", defences.FlakyShop, "resets, stalls, and cuts bodies short"),
    SiteSpec("js", "http", defences.ScriptShop, "listings are filled in by a script", needs_browser=True),
)


@dataclass(frozen=True, slots=True)
class Served:
    """One line of the record that sites keep: the ``n``-th request, ``t`` seconds after the start."""

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


class Sites:
    """All shops behind one handler. ``find_exit`` knows whose connection comes from which address and port."""

    def __init__(
        self,
        options: LabOptions,
        find_exit: Callable[[tuple[str, int]], Exit],
        spend: Callable[[Exit], None],
        clock: Callable[[], float],
    ) -> None:
        self.options = options
        self.shops = {f"{spec.label}.localhost": spec.shop(spec.label, options) for spec in SITES}
        self.served: list[Served] = []
        self._find_exit, self._spend, self._clock = find_exit, spend, clock
        self._ordinals = dict.fromkeys(self.shops, 0)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; a host that is no site of the lab gets 421."""
        shop = self.shops.get((request.host or "").partition(":")[0].lower())
        transport = request.transport
        if shop is None or transport is None:
            return web.Response(status=421, text="No such site in the lab\n")
        exit_ = self._find_exit(transport.get_extra_info("peername")[:2])
        ordinal = self._ordinals[shop.host]
        self._ordinals[shop.host] += 1
        visit = Visit(request.path, request.query, request.cookies, exit_, self._clock(), ordinal)
        answer = Shop.answer(shop, visit) if visit.path == "/robots.txt" else shop.answer(visit)
        self._keep(shop, visit, answer, request.path_qs)
        self._spend(exit_)
        return await self._deliver(request, transport, answer, ordinal)

    def _keep(self, shop: Shop, visit: Visit, answer: Answer, path: str) -> None:
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
            )
        )

    async def _deliver(
        self, request: web.BaseRequest, transport: asyncio.Transport, answer: Answer, ordinal: int
    ) -> web.StreamResponse:
        body, encoding = encode(answer, request.headers.get("Accept-Encoding", ""), ordinal)
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


@lru_cache(maxsize=4096)
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
