"""ADAPTER. Assigns an identity to every request, tells the broker what became of it, and acts on what that changes.

It stands before the cookies (700), so that a jar belongs to an identity, and behind the redirects (600), so that a
redirect comes back here and keeps its identity while that is alive.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import random
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin, urlsplit

from scrapy import Request, signals
from scrapy.http import Headers
from scrapy.http.request import NO_CALLBACK

from scraper import names
from scraper.errors import BudgetSpent, GatewayError, TargetRefused
from scraper.proxies import sources, state, stock
from scraper.proxies.addresses import is_private_host
from scraper.proxies.beliefs import Beliefs
from scraper.proxies.broker import DOOR, IMPOSSIBLE, PAGE, ROBOTS, Ask, Broker, Refusal, Wait
from scraper.proxies.connections import Connections
from scraper.proxies.cookies import IdentityCookiesMiddleware
from scraper.proxies.ledger import RUN_SPENT, Ledger, cost_usd
from scraper.proxies.options import Options
from scraper.proxies.pace import Pace
from scraper.proxies.profiles import PLAIN_HEADERS, Profile, headers_of
from scraper.proxies.roster import Identity, Roster
from scraper.proxies.stamina import Stamina
from scraper.proxies.upkeep import Upkeep
from scraper.verdicts import BLOCKED, GOOD, Verdict

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response

logger = logging.getLogger(__name__)

PARKED_S = (
    2.0  # seconds that a request of Scrapy's own (robots.txt), which cannot be put off, may wait in its slot
)
_PROFILE_HEADERS = (
    b"User-Agent",
    b"Sec-Ch-Ua",
    b"Sec-Ch-Ua-Mobile",
    b"Sec-Ch-Ua-Platform",
    b"Accept",
    b"Accept-Language",
)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ASKS = (names.ASK_COUNTRY, names.ASK_POOL, names.ASK_STICKY, names.ASK_FRESH)
_SPIDERS_CHOICE = ("Accept", "Accept-Language")  # kept where the spider set them: an API wants its own


class IdentityMiddleware:
    """Request meta may ask for ``proxy_country``, ``proxy_pool``, ``proxy_sticky`` and ``proxy_fresh``; the spider for
    ``proxy_countries``."""

    def __init__(self, crawler: Crawler, options: Options, connections: Connections) -> None:
        self.crawler = crawler
        self.options = options
        self.connections = connections
        self.broker = self._new_broker()
        self.upkeep = Upkeep(crawler, self.broker, options)
        self.stock = stock.reason(crawler.settings, self.broker.pools)
        self.on_retired: list[Callable[[str], None]] = []  # the handlers', one for each scheme
        self._closing: asyncio.Task[None] | None = None
        self._closed = False
        self._frugal = False
        self._count("proxies/bytes", 0)  # nothing was counted is not the same as nothing counts
        self._count("proxies/usd", 0.0)
        for receiver, signal in (
            (self.verdict_given, names.VERDICT_GIVEN),
            (self.spider_opened, signals.spider_opened),
            (self.spider_closed, signals.spider_closed),
        ):
            crawler.signals.connect(receiver, signal=signal)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        options = Options.read(crawler.settings, getattr(crawler.spider, "proxy_countries", None) or ())
        return cls(crawler, options, Connections.read(crawler.settings))

    def _new_broker(self) -> Broker:
        options, chance, now_s = self.options, random.Random(), time.monotonic()
        beliefs = Beliefs(options.memory, options.half_life_s)
        if options.state_file is not None:
            state.open_file(options.state_file)
            beliefs.load(state.load(options.state_file, time.time(), options.half_life_s), now_s)
        return Broker(
            pools=sources.load(options.proxies_file),
            terms=options.terms,
            patience=options.patience,
            roster=Roster(options.limits, Stamina(options.max_uses), chance, options.list_order),
            beliefs=beliefs,
            ledger=Ledger(options.budget),
            pace=Pace(options.polite_s, options.pace_max_s),
            chance=chance,
        )

    @property
    def roster(self) -> Roster:
        """For the handler, which asks whom a request goes out as."""
        return self.broker.roster

    def spider_opened(self) -> None:
        self.upkeep.start()

    async def spider_closed(self) -> None:
        await self.upkeep.stop()
        self._closed = True

    # --- before the download ------------------------------------------------------------------------------------------

    async def process_request(self, request: Request) -> Request | None:
        site = self._checked_site(request)
        if names.NOT_BEFORE in request.meta and (later := await self._park(request)) is not None:
            return later
        found = self._lease(request, site)
        if isinstance(found, Wait):
            return self._later(request, site, found)
        if (
            _linked(request, site)
            and not request.meta.get(names.WARM_UP)
            and self.broker.binding.needs_entry(site, found.arm.pool.name, found.id)
        ):
            await self._enter(request, found)
            again = self._lease(request, site)
            if isinstance(again, Wait):
                return self._later(request, site, again)
            found = again
        request.meta[names.IDENTITY] = found.id
        request.meta[names.COOKIEJAR] = found.id
        request.meta[names.POOL] = found.arm.pool.name
        request.meta[names.COUNTRY] = found.arm.country
        self._dress(request, found)
        if self.stock:
            stock.address(request, found.endpoint)
        self._count(f"proxies/requests/{found.arm.pool.name}")
        return None

    def _checked_site(self, request: Request) -> str:
        parts = urlsplit(request.url)
        host = parts.hostname
        if parts.scheme not in ("http", "https") or not host:
            raise TargetRefused(request.url, "only http and https are fetched")
        if not self.options.allow_private and is_private_host(host):
            raise TargetRefused(
                request.url, "a private address; -s ALLOW_PRIVATE_ADDRESSES=1 where that is meant"
            )
        if request.meta.get("proxy"):
            raise TargetRefused(
                request.url, f'meta["proxy"] goes past the pools; ask with meta["{names.ASK_POOL}"]'
            )
        return host

    def _lease(self, request: Request, site: str) -> Identity | Wait:
        """An identity for the request, now counted as under way. Raises GatewayError, BudgetSpent, TargetRefused."""
        meta, now_s = request.meta, time.monotonic()
        ask = Ask(
            site=site,
            pool=str(meta.get(names.ASK_POOL, "")),
            country=str(meta.get(names.ASK_COUNTRY, "")).lower(),
            sticky=str(meta.get(names.ASK_STICKY, "")),
            fresh=bool(meta.get(names.ASK_FRESH)),
            keep=str(meta.get(names.IDENTITY, "")),
            attempt=meta.get(names.ATTEMPT, 1),
            waited_s=meta.get(names.WAITED, 0.0),
            waits=meta.get(names.WAITS, 0),
            blocked_by=meta.get(names.BLOCKED_BY, {}),
        )
        for key in meta:
            if key.startswith("proxy_") and key not in _ASKS:
                near = difflib.get_close_matches(key, _ASKS, 1)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(_ASKS)}"
                raise TargetRefused(request.url, f'meta["{key}"] is not known; {hint}')
        if ask.sticky and ask.fresh:
            raise TargetRefused(
                request.url, "it asks for proxy_sticky and proxy_fresh, which contradict each other"
            )
        if ask.pool and ask.pool not in (known := [pool.name for pool in self.broker.pools]):
            raise TargetRefused(request.url, f"it asks for pool {ask.pool!r}; known: {', '.join(known)}")
        try:
            found = self.broker.lease(ask, now_s)
        except (BudgetSpent, GatewayError) as error:
            meta.pop(names.IDENTITY, None)  # nobody is to blame for what was never sent
            if isinstance(error, BudgetSpent) and error.rule == RUN_SPENT:
                self._close_spider(RUN_SPENT, error.said)
            raise
        finally:
            self._clear_retired()
        if isinstance(found, Identity):
            meta[names.LEASED] = found.id
            meta.pop(names.WAITS, None)
            if found.uses == 1:
                self._count("proxies/identities")
        return found

    async def _park(self, request: Request) -> Request | None:
        """Let a request wait here that does not come by the frontier (robots.txt, ``engine.download_async``): it would come
        back at once. For PARKED_S at most; then it goes round once more. Raises GatewayError where the crawl is closing."""
        until_s = request.meta.pop(names.NOT_BEFORE)
        await asyncio.sleep(min(PARKED_S, max(0.0, until_s - time.monotonic())))
        slot = self.crawler.engine._slot
        if self._closing is not None or (slot is not None and slot.closing):
            raise GatewayError("", 0, "the crawl is closing", IMPOSSIBLE)
        if until_s <= time.monotonic():
            return None
        return request.replace(meta={**request.meta, names.NOT_BEFORE: until_s}, dont_filter=True)

    def _later(self, request: Request, site: str, wait: Wait) -> Request:
        """The same request for when it is worth asking again; that it waited is no try."""
        waits_s = max(0.0, wait.until_s - time.monotonic())
        meta = {
            **request.meta,
            names.NOT_BEFORE: wait.until_s,
            names.WAITS: request.meta.get(names.WAITS, 0) + 1,
        }
        if wait.why != "pools_rest":
            meta[names.WAITED] = meta.get(names.WAITED, 0.0) + waits_s
        if wait.why == "exits_rest" and not request.meta.get(names.ASK_POOL):
            self.crawler.signals.send_catch_log(names.SITE_WAIT, host=site, wait_s=waits_s)
        self._count(f"proxies/waits/{wait.why}")
        self.crawler.signals.send_catch_log(names.PAGE_PUT_OFF, request=request)
        return request.replace(meta=meta, dont_filter=True)

    async def _enter(self, request: Request, identity: Identity) -> None:
        """Let a new identity visit the page that linked to this one, as a person would have."""
        self._release(request)
        meta = {names.IDENTITY: identity.id, names.WARM_UP: True, "dont_obey_robotstxt": True}
        entry = Request(_referer(request), meta=meta, callback=NO_CALLBACK)
        self._count("proxies/entry_visits")
        try:
            await self.crawler.engine.download_async(entry)
        except Exception as error:  # noqa: BLE001  # whatever it was, its verdict is given and the page itself decides
            logger.debug("entry visit of %s to %s: %s", identity.id, entry.url, error)
        request.meta[names.IDENTITY] = identity.id

    def _dress(self, request: Request, identity: Identity) -> None:
        """Give the request the headers of its identity's browser, and take those of an earlier identity away."""
        headers = request.headers
        own = request.meta.get(names.OWN_HEADERS)
        if own is None:
            own = request.meta[names.OWN_HEADERS] = [name for name in _SPIDERS_CHOICE if name in headers]
        wanted = _prepared(identity.profile, identity.arm.country, self.options.user_agent)
        if own:
            kept = {name.encode() for name in own}
            wanted = {name: values for name, values in wanted.items() if name not in kept}
        for name in _PROFILE_HEADERS:
            if name not in wanted and name.decode() not in own:
                headers.pop(name, None)
        dict.update(headers, {name: list(values) for name, values in wanted.items()})

    # --- after it -----------------------------------------------------------------------------------------------------

    def process_response(self, request: Request, response: Response) -> Response:
        if self.stock and (identity := self.roster.get(str(request.meta.get(names.LEASED, "")))):
            n_bytes = stock.estimate(request, response)
            request.meta[names.WIRE_BYTES] = n_bytes
            self.spent(identity, identity.site, n_bytes)
            if refused := stock.refused(response, identity):
                request.meta[names.REFUSED] = refused
        self._release(request, hold=_goes_on(request, response))
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        if self.stock and (identity := self.roster.get(str(request.meta.get(names.LEASED, "")))):
            meant = stock.meant(exception, identity)
            exception.__cause__ = meant or exception.__cause__  # bans judges by it
        self._release(request)

    def _release(self, request: Request, *, hold: bool = False) -> None:
        if self.stock:
            stock.forget(request)
        leased = request.meta.pop(names.LEASED, None)
        if leased is not None:
            self.broker.release(leased, time.monotonic(), hold=hold)
            self._clear_retired()

    def spent(self, identity: Identity, site: str, n_bytes: int) -> None:
        """The handler counted bytes of ``identity`` for ``site`` at the socket."""
        ledger = self.broker.ledger
        ledger.spent(site, identity.arm.pool, identity.arm.country, n_bytes)
        standing = ledger.standing(site)
        if standing == RUN_SPENT:
            self._close_spider(RUN_SPENT, ledger.said(site))
        elif standing and not self._frugal:
            self._frugal = True
            logger.warning("a budget is nearly spent: %s", ledger.said(site))
        if self._closed:
            self.upkeep.publish()

    def verdict_given(self, request: Request, response: Response | None, verdict: Verdict) -> None:
        """Bans judged a download."""
        identity = self.roster.get(str(request.meta.get(names.IDENTITY, "")))
        if identity is None:
            return
        n_bytes = request.meta.get(names.WIRE_BYTES, 0)
        spent_usd = request.meta.get(names.SPENT_USD, 0.0)
        request.meta[names.SPENT_USD] = spent_usd + cost_usd(identity.arm.pool, n_bytes)
        if verdict.outcome == GOOD:
            self._count(f"proxies/good/{identity.arm.pool.name}")
        heard = self.broker.heard(
            identity,
            verdict,
            time.monotonic(),
            n_bytes=n_bytes,
            answered=response is not None,
            linked=_linked(request, identity.site),
            visit=_visit(request),
            refusals=[Refusal(*each) for each in request.meta.get(names.REFUSALS, ())],
        )
        self._clear_retired()
        if heard.refusal is not None:
            request.meta[names.REFUSALS] = [*request.meta.get(names.REFUSALS, ()), tuple(heard.refusal)]
        if verdict.outcome == BLOCKED and verdict.kind != "geo" and not heard.suspicion:
            blocked_by, pool = request.meta.get(names.BLOCKED_BY, {}), identity.arm.pool.name
            request.meta[names.BLOCKED_BY] = {**blocked_by, pool: blocked_by.get(pool, 0) + 1}
        if heard.delay_s is not None:
            self.crawler.signals.send_catch_log(names.SITE_PACE, host=identity.site, delay_s=heard.delay_s)
        if heard.opened:
            self._count(f"proxies/circuit_opened/{heard.opened}")
            rests_s = self.broker.circuits.of(identity.arm.pool).rests_until_s - time.monotonic()
            self.crawler.stats.set_value(f"proxies/refused/{heard.opened}", verdict.evidence)
            logger.warning(
                "pool %s is left alone for %.0f s: %s (%s); `scrapy proxies check` says more",
                heard.opened, rests_s, verdict.evidence, verdict.rule,
            )  # fmt: skip
        if heard.dead:
            self._close_spider("proxies_dead", heard.dead)

    def _close_spider(self, reason: str, why: str) -> None:
        if self._closing is None:
            logger.error("stopping: %s", why)
            # CloseSpider raised in a downloader middleware only fails the request.
            stop = self.crawler.engine.close_spider_async(reason=reason)
            self._closing = asyncio.get_running_loop().create_task(stop)

    def _clear_retired(self) -> None:
        """Close the connections and forget the cookies of those that were retired."""
        retired = self.roster.retired
        if not retired:
            return
        jars = self.crawler.get_downloader_middleware(IdentityCookiesMiddleware)
        for identity in retired:
            self._count(f"proxies/retired/{identity.retired}")
            for close in self.on_retired:
                close(identity.id)
            self.broker.binding.forget(identity.site, identity.arm.pool.name, identity.id)
            if jars is not None:
                jars.forget(identity.id)
        retired.clear()

    def _count(self, key: str, value: float = 1) -> None:
        self.crawler.stats.inc_value(key, value)  # type: ignore[arg-type]  # USD are fractions


@lru_cache(maxsize=1024)
def _prepared(profile: Profile | None, country: str, user_agent: str) -> dict[bytes, list[bytes]]:
    """Headers as Scrapy keeps them inside; setting them one by one costs more than choosing the proxy."""
    named = headers_of(profile, country) if profile else (("User-Agent", user_agent), *PLAIN_HEADERS)
    return dict(dict.items(Headers(named)))


def _goes_on(request: Request, response: Response) -> bool:
    """Whether the answer is a redirect on the same site, which goes on as the same identity."""
    location = response.headers.get("Location")
    if location is None or response.status not in _REDIRECTS or request.meta.get("dont_redirect"):
        return False
    try:
        target = urljoin(request.url, location.decode("latin-1"))
        return urlsplit(target).hostname == urlsplit(request.url).hostname
    except ValueError:  # an address that is none: bans judges it
        return False


def _visit(request: Request) -> str:
    """What it asks for: requests of Scrapy's own, without a callback, are for robots.txt."""
    if request.meta.get(names.WARM_UP):
        return DOOR
    return ROBOTS if request.callback is NO_CALLBACK else PAGE


def _referer(request: Request) -> str:
    """The page that linked to this one; Scrapy's RefererMiddleware says so."""
    return (request.headers.get("Referer") or b"").decode("latin-1")


def _linked(request: Request, site: str) -> bool:
    """Whether it came from a link on a page of the same site."""
    referer = _referer(request)
    return bool(referer) and urlsplit(referer).hostname == site
