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
from scraper.proxies.gateway import ACCOUNT, CONFIG, FORBIDDEN
from scraper.proxies.ladder import Arm, Ladder
from scraper.proxies.ledger import cost_usd, entries
from scraper.proxies.profiles import headers_of
from scraper.proxies.roster import Identity, Limits, Roster
from scraper.verdicts import BLOCKED, FAULT, GONE, GOOD, Verdict

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    proxies_file: str
    limits: Limits
    patience: int
    dead_after: int
    allow_private: bool
    budget_usd: float


class IdentityMiddleware:
    """Request meta may ask for ``proxy_country`` and ``proxy_pool``; the spider for ``proxy_countries``."""

    def __init__(self, crawler: Crawler, options: Options) -> None:
        self.crawler = crawler
        self.options = options
        self.pools = {pool.name: pool for pool in sources.load(options.proxies_file)}
        countries = [str(code).lower() for code in getattr(crawler.spider, "proxy_countries", None) or ()]
        self.ladder = Ladder(list(self.pools.values()), options.patience, countries)
        self.roster = Roster(options.limits, random.Random())
        self.binding = Binding()
        self.on_retired: Callable[[str], None] = lambda identity_id: None  # the handler's, once there is one
        self._unanswered = 0
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
        )
        return cls(crawler, options)

    # --- before the download ------------------------------------------------------------------------------------------

    async def process_request(self, request: Request) -> None:
        site = self._checked_site(request)
        identity = self._lease(request, site, time.monotonic())
        if (
            _linked(request)
            and not request.meta.get(names.WARM_UP)
            and self.binding.needs_entry(site, identity.id)
        ):
            identity = await self._enter(request, site, identity)
        request.meta[names.IDENTITY] = identity.id
        request.meta[names.COOKIEJAR] = identity.id
        request.meta[names.POOL] = identity.arm.pool.name
        if identity.profile is not None:
            for name, value in headers_of(identity.profile, identity.arm.country):
                request.headers[name] = value
        self._count(f"proxies/requests/{identity.arm.pool.name}")

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
        self.roster.release(identity.id, time.monotonic())
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
        keep = str(request.meta.get(names.IDENTITY, ""))
        arm: Arm | None = None
        for left in reversed(range(len(self.pools))):
            arm = self.ladder.arm(site, now_s, pool=pool, country=country) or arm
            if arm is None:
                break
            identity, aged = self.roster.lease(site, arm, now_s, keep, last_resort=not left)
            for old in aged:
                self._retired(old)
            if identity is not None:
                if identity.uses == 1:
                    self._count("proxies/identities")
                return identity
            self.ladder.exhausted(site, arm.pool)
        raise GatewayError(arm.pool.name if arm else "any", 0, "has no exit left to try now", "no_exit")

    # --- after it -----------------------------------------------------------------------------------------------------------

    def process_response(self, request: Request, response: Response) -> Response:
        self.roster.release(str(request.meta.get(names.IDENTITY, "")), time.monotonic())
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        self.roster.release(str(request.meta.get(names.IDENTITY, "")), time.monotonic())

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
            if not self.binding.is_suspicion(site, identity.id, verdict, linked=_linked(request)):
                self.ladder.report(site, identity.arm, verdict)
            if verdict.outcome in (BLOCKED, FAULT):
                unanswered_s = self.options.limits.fault_cool_s if response is None else 0.0
                cool_s = self.options.limits.cool_s if verdict.outcome == BLOCKED else unanswered_s
                self._retire(identity, verdict.rule, now_s, cool_s)
        self._watch_pools(identity, response, verdict, now_s)

    def _watch_pools(
        self, identity: Identity | None, response: Response | None, verdict: Verdict, now_s: float
    ) -> None:
        unanswered = verdict.outcome == FAULT and response is None and verdict.rule != "body_cut"
        if not unanswered:
            self._unanswered = 0
            if identity is not None:
                self.ladder.answered(identity.arm.pool)
            return
        self._unanswered += 1
        if (
            identity is not None and identity.endpoint is not None
        ):  # on our own line it is the site that is dead
            final = verdict.kind in (CONFIG, ACCOUNT)
            if self.ladder.failed(identity.arm.pool, now_s, final=final):
                self._count(f"proxies/circuit_opened/{identity.arm.pool.name}")
                logger.warning(
                    "pool %s is left alone for a while: %s (%s)",
                    identity.arm.pool.name,
                    verdict.evidence,
                    verdict.rule,
                )
        if self._unanswered >= self.options.dead_after or self.ladder.hopeless():
            why = f"{self._unanswered} tries in a row had no answer, the last: {verdict.evidence}"
            self._close_spider("proxies_dead", why)

    def _close_spider(self, reason: str, why: str) -> None:
        if self._closing is None:
            logger.error("stopping: %s", why)
            # CloseSpider raised in a downloader middleware only fails the request.
            stop = self.crawler.engine.close_spider_async(reason=reason)
            self._closing = asyncio.get_running_loop().create_task(stop)

    def _retire(self, identity: Identity, reason: str, now_s: float, cool_s: float) -> None:
        retired = self.roster.retire(identity.id, reason, now_s, cool_s=cool_s)
        if retired is not None:
            self._retired(retired)

    def _retired(self, identity: Identity) -> None:
        self._count(f"proxies/retired/{identity.retired}")
        self.on_retired(identity.id)
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
