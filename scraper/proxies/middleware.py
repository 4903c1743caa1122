"""ADAPTER. Assigns an identity to every request, learns from every verdict, and counts the money.

It stands before the cookies (700), so that a jar belongs to an identity, and behind the redirects (600), so that a
redirect comes back here and keeps its identity while that is alive.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.http.cookies import CookieJar
from scrapy.http.request import NO_CALLBACK
from tldextract import TLDExtract

from scraper import names
from scraper.errors import GatewayError, TargetRefused
from scraper.options import read
from scraper.proxies import sources
from scraper.proxies.addresses import is_private_host
from scraper.proxies.binding import Binding
from scraper.proxies.connections import Connections
from scraper.proxies.gateway import ACCOUNT, CONFIG, FORBIDDEN
from scraper.proxies.ladder import Ladder
from scraper.proxies.ledger import cost_usd, entries
from scraper.proxies.profiles import PLAIN_HEADERS, headers_of
from scraper.proxies.roster import Identity, Limits, Roster
from scraper.verdicts import BLOCKED, FAULT, GONE, GOOD, Verdict

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response

logger = logging.getLogger(__name__)

SWEEP_EVERY = 500  # leases between two looks for identities that nobody came back to
# Faults of a try that came from beyond the pool, which therefore works: a gateway that speaks about the target or
# the session, and answers that broke off.
_ANSWERS = frozenset({FORBIDDEN, "body_cut", "body_undecodable", "too_large", "certificate_refused"})
# Faults that may be the pool's or the site's: held against a pool only while nothing has come through it yet.
_SILENCE = frozenset({"timeout", "connection_lost", "download_failed"})
_PROFILE_HEADERS = (
    "User-Agent",
    "Sec-CH-UA",
    "Sec-CH-UA-Mobile",
    "Sec-CH-UA-Platform",
    "Accept",
    "Accept-Language",
)
_SPIDERS_CHOICE = ("Accept", "Accept-Language")  # kept where the spider set them: an API wants its own


@dataclass(frozen=True, slots=True)
class Options:
    proxies_file: str
    limits: Limits
    patience: int
    dead_after: int
    allow_private: bool
    budget_usd: float
    user_agent: str


class IdentityMiddleware:
    """Request meta may ask for ``proxy_country`` and ``proxy_pool``; the spider for ``proxy_countries``."""

    def __init__(self, crawler: Crawler, options: Options, connections: Connections) -> None:
        self.crawler = crawler
        self.options = options
        self.connections = connections
        self.pools = {pool.name: pool for pool in sources.load(options.proxies_file)}
        countries = [str(code).lower() for code in getattr(crawler.spider, "proxy_countries", None) or ()]
        self.ladder = Ladder(list(self.pools.values()), options.patience, countries)
        self.roster = Roster(options.limits, random.Random())
        self.binding = Binding()
        self.on_retired: list[Callable[[str], None]] = []  # the handlers', one for each scheme
        self._leases = 0
        self._unanswered = 0
        self._answered: set[str] = set()  # pools through which something came back in this run
        self._spent_usd = 0.0
        self._closing: asyncio.Task[None] | None = None
        self._count("proxies/bytes", 0)  # nothing was counted is not the same as nothing counts
        self._count("proxies/usd", 0.0)
        crawler.signals.connect(self.verdict_given, signal=names.VERDICT_GIVEN)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        settings = crawler.settings
        limits = Limits(
            in_flight=read(settings, "PROXY_IDENTITY_IN_FLIGHT", int, at_least=1),
            uses=read(settings, "PROXY_IDENTITY_MAX_USES", int, at_least=1),
            age_s=read(settings, "PROXY_IDENTITY_MAX_AGE_S", float, at_least=1),
            idle_s=read(settings, "PROXY_IDENTITY_MAX_IDLE_S", float, at_least=1),
        )
        options = Options(
            proxies_file=read(settings, "PROXIES_FILE", str),
            limits=limits,
            patience=read(settings, "PROXY_LADDER_BLOCKS", int, at_least=1),
            dead_after=read(settings, "PROXY_DEAD_AFTER", int, at_least=1),
            allow_private=read(settings, "ALLOW_PRIVATE_ADDRESSES", bool),
            budget_usd=read(settings, "PROXY_BUDGET_USD", float, at_least=0),
            user_agent=read(settings, "USER_AGENT", str),
        )
        return cls(crawler, options, Connections.read(settings))

    # --- before the download ------------------------------------------------------------------------------------------

    async def process_request(self, request: Request) -> Request | None:
        site = self._checked_site(request)
        try:
            identity = self._lease(request, site, time.monotonic())
        except GatewayError:
            if (later := self._when_pools_rested(request)) is None:
                raise
            return later
        if (
            _linked(request)
            and not request.meta.get(names.WARM_UP)
            and self.binding.needs_entry(site, identity.id)
        ):
            identity = await self._enter(request, site, identity)
        request.meta[names.IDENTITY] = identity.id
        request.meta[names.COOKIEJAR] = identity.id
        request.meta[names.POOL] = identity.arm.pool.name
        self._dress(request, identity)
        self._count(f"proxies/requests/{identity.arm.pool.name}")
        return None

    def _when_pools_rested(self, request: Request) -> Request | None:
        """The same request for when a pool may be asked again, that it waited is no try; None where no waiting helps."""
        rested_s = self.ladder.resting_until_s(
            time.monotonic(), pool=str(request.meta.get(names.ASK_POOL, ""))
        )
        if (
            rested_s is None or request.callback is NO_CALLBACK
        ):  # what Scrapy asks for itself cannot be put off
            return None
        self._count("proxies/waits")
        return request.replace(meta={**request.meta, names.NOT_BEFORE: rested_s}, dont_filter=True)

    def _dress(self, request: Request, identity: Identity) -> None:
        """Give the request the headers of its identity's browser, and take those of an earlier identity away."""
        own = request.meta.setdefault(
            names.OWN_HEADERS, [name for name in _SPIDERS_CHOICE if name in request.headers]
        )
        for name in _PROFILE_HEADERS:
            if name not in own:
                request.headers.pop(name, None)
        wanted = (
            headers_of(identity.profile, identity.arm.country)
            if identity.profile is not None
            else (("User-Agent", self.options.user_agent), *PLAIN_HEADERS)
        )
        for name, value in wanted:
            if name not in own:
                request.headers[name] = value

    def _checked_site(self, request: Request) -> str:
        parts = urlsplit(request.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TargetRefused(request.url, "only http and https are fetched")
        if not self.options.allow_private and is_private_host(parts.hostname):
            raise TargetRefused(
                request.url, "a private address; -s ALLOW_PRIVATE_ADDRESSES=1 where that is meant"
            )
        if request.meta.get("proxy"):
            raise TargetRefused(
                request.url, f'meta["proxy"] goes past the pools; ask with meta["{names.ASK_POOL}"]'
            )
        return parts.hostname

    async def _enter(self, request: Request, site: str, identity: Identity) -> Identity:
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
        return self._lease(request, site, time.monotonic())

    def _lease(self, request: Request, site: str, now_s: float) -> Identity:
        pool, country = (
            str(request.meta.get(names.ASK_POOL, "")),
            str(request.meta.get(names.ASK_COUNTRY, "")).lower(),
        )
        if pool and pool not in self.pools:
            raise TargetRefused(request.url, f"it asks for pool {pool!r}; known: {', '.join(self.pools)}")
        self._sweep(now_s)
        keep, any_arm = str(request.meta.get(names.IDENTITY, "")), not (pool or country)
        skip: list[str] = []
        for last_resort in (False, True):
            while arm := self.ladder.arm(site, now_s, pool=pool, country=country, skip=skip):
                identity, aged = self.roster.lease(
                    site, arm, now_s, keep, any_arm=any_arm, last_resort=last_resort
                )
                for old in aged:
                    self._retired(old)
                if identity is not None:
                    request.meta[names.LEASED] = identity.id
                    if identity.uses == 1:
                        self._count("proxies/identities")
                    return identity
                if self.roster.all_blocked(site, arm):
                    self.ladder.exhausted(site, arm.pool)
                skip.append(arm.pool.name)
            skip = []
        raise GatewayError(pool or "any", 0, "has no exit for this page now", "no_exit")

    def _sweep(self, now_s: float) -> None:
        self._leases += 1
        if self._leases % SWEEP_EVERY == 0:
            for old in self.roster.sweep(now_s):
                self._retired(old)

    # --- after it -----------------------------------------------------------------------------------------------------------

    def process_response(self, request: Request, response: Response) -> Response:
        self._release(request)
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        self._release(request)

    def _release(self, request: Request) -> None:
        leased = request.meta.pop(names.LEASED, None)
        if leased is not None:
            self.roster.release(leased, time.monotonic())

    def spent(self, identity: Identity, site: str, n_bytes: int) -> None:
        """The handler counted bytes of ``identity`` for ``site`` at the socket."""
        for key, value in entries(identity.arm.pool, site, n_bytes).items():
            self._count(key, value)
        self._spent_usd += cost_usd(identity.arm.pool, n_bytes)
        if 0 < self.options.budget_usd <= self._spent_usd:
            self._close_spider(
                "budget", f"${self._spent_usd:.4f} of PROXY_BUDGET_USD = {self.options.budget_usd} are spent"
            )

    def verdict_given(self, request: Request, response: Response | None, verdict: Verdict) -> None:
        """Bans judged a download: retire the identity, move the site along its ladder, watch for dead pools."""
        identity = self.roster.get(str(request.meta.get(names.IDENTITY, "")))
        now_s = time.monotonic()
        if identity is not None:
            if verdict.outcome not in (GOOD, GONE):
                self._count(
                    "proxies/usd_wasted", cost_usd(identity.arm.pool, request.meta.get(names.WIRE_BYTES, 0))
                )
            if verdict.outcome == GOOD:
                self._count(f"proxies/good/{identity.arm.pool.name}")
            site = urlsplit(request.url).hostname or ""
            if verdict.kind == FORBIDDEN:
                self.ladder.forbid(site, identity.arm.pool)
            suspicion = self.binding.is_suspicion(site, identity.id, verdict, linked=_linked(request))
            if not suspicion and not request.meta.get(
                names.WARM_UP
            ):  # a door that opens says nothing about the rooms
                self.ladder.report(site, identity.arm, verdict)
            if verdict.outcome in (BLOCKED, FAULT):
                unanswered_s = self.options.limits.fault_cool_s if response is None else 0.0
                blocked = verdict.outcome == BLOCKED
                cool_s = self.options.limits.cool_s if blocked else unanswered_s
                self._retire(identity, verdict.rule, now_s, cool_s, blocked=blocked)
        self._watch_pools(identity, response, verdict, now_s)

    def _watch_pools(
        self, identity: Identity | None, response: Response | None, verdict: Verdict, now_s: float
    ) -> None:
        """Tell a pool that fails from a site that does: only the first is held against the pool."""
        if identity is None or identity.endpoint is None:
            return  # nothing was sent, or on our own line: then it is the site that is dead
        pool = identity.arm.pool
        if response is not None or verdict.kind in _ANSWERS:
            self._unanswered = 0
            self._answered.add(pool.name)
            self.ladder.answered(pool)
            return
        if not verdict.rule.startswith("gateway_") and (
            verdict.rule not in _SILENCE or pool.name in self._answered
        ):
            return
        self._unanswered += 1
        if self.ladder.failed(pool, now_s, final=verdict.kind in (CONFIG, ACCOUNT)):
            self._count(f"proxies/circuit_opened/{pool.name}")
            logger.warning(
                "pool %s is left alone for a while: %s (%s)", pool.name, verdict.evidence, verdict.rule
            )
        never_any = not self._answered and self.ladder.resting_until_s(now_s) is not None
        if never_any or self._unanswered >= self.options.dead_after or self.ladder.hopeless():
            why = f"{self._unanswered} tries in a row had no answer of a pool, the last: {verdict.evidence}"
            self._close_spider("proxies_dead", why)

    def _close_spider(self, reason: str, why: str) -> None:
        if self._closing is None:
            logger.error("stopping: %s", why)
            # CloseSpider raised in a downloader middleware only fails the request.
            stop = self.crawler.engine.close_spider_async(reason=reason)
            self._closing = asyncio.get_running_loop().create_task(stop)

    def _retire(self, identity: Identity, reason: str, now_s: float, cool_s: float, *, blocked: bool) -> None:
        retired = self.roster.retire(identity.id, reason, now_s, cool_s=cool_s, blocked=blocked)
        if retired is not None:
            self._retired(retired)

    def _retired(self, identity: Identity) -> None:
        self._count(f"proxies/retired/{identity.retired}")
        for close in self.on_retired:
            close(identity.id)
        self.binding.forget(identity.site, identity.id)
        jars = self.crawler.get_downloader_middleware(IdentityCookiesMiddleware)
        if jars is not None:
            jars.forget(identity.id)

    def _count(self, key: str, value: float = 1) -> None:
        self.crawler.stats.inc_value(key, value)  # type: ignore[arg-type]  # USD are fractions


class IdentityCookiesMiddleware(CookiesMiddleware):
    """Scrapy's cookies, with jars that end with their identity, and no download of the public suffix list.

    The stock middleware asks publicsuffix.org for that list, from our own address, when it meets its first cookie with a
    domain; the copy inside tldextract does.
    """

    _suffixes = TLDExtract(suffix_list_urls=(), include_psl_private_domains=True)

    def forget(self, key: str) -> None:
        """Drop the jar of a retired identity."""
        self.jars.pop(key, None)

    def _process_cookies(self, cookies: Any, *, jar: CookieJar, request: Request) -> None:
        host = (urlsplit(request.url).hostname or "").lower()
        for cookie in cookies:
            domain = cookie.domain.removeprefix(".")
            if domain and not self._suffixes(domain).domain:
                if domain != host:
                    continue
                cookie.domain = host
            jar.set_cookie_if_ok(cookie, request)


def _referer(request: Request) -> str:
    """The page that linked to this one; Scrapy's RefererMiddleware says so."""
    return (request.headers.get("Referer") or b"").decode("latin-1")


def _linked(request: Request) -> bool:
    """Whether it came from a link on a page of the same site."""
    return urlsplit(_referer(request)).hostname == urlsplit(request.url).hostname
