"""Who is refused, when and how: one class for each defence. Rules only: the visit carries clock and exit.

They can be combined: each asks the next for the answer that it does not refuse, and for who may have it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from dataclasses import replace
from math import ceil
from random import Random
from typing import ClassVar

from scraper.lab import vendors
from scraper.lab.answers import Answer, Visit
from scraper.lab.exits import Exit
from scraper.lab.options import LabOptions
from scraper.lab.shops import Shop

SESSION_COOKIE = "shop_session"
FAULTS = ("reset", "stall", "stall_body", "short", "endless", "cut_gzip")
_TRIES = 3  # of so many requests in a row for one path, at least one goes well
_PENALTY = 0.5  # seconds that asking during a wait adds to it
_LONGEST_WAIT = 10.0  # seconds: the penalty stops here, so that a bad client is slow but not dead


class OpenShop(Shop):
    """No defence; content encodings take turns."""

    encodings = ("gzip", "br", "zstd", "identity")


class QuotaShop(Shop):
    """Bans an exit for a while after too many requests in a window."""

    def __init__(self, label: str, options: LabOptions) -> None:
        super().__init__(label, options)
        self._recent: dict[Exit, deque[float]] = defaultdict(deque)
        self._banned_until: dict[Exit, float] = {}
        self.quota = options.ban_requests

    def answer(self, visit: Visit) -> Answer:
        """Cloudflare's 1006 while banned."""
        if visit.now < self._banned_until.get(visit.exit, 0.0):
            return vendors.cloudflare_banned(visit)
        recent = self._recent[visit.exit]
        recent.append(visit.now)
        while recent[0] <= visit.now - self.options.ban_window:
            recent.popleft()
        if len(recent) > self.options.ban_requests:
            recent.clear()
            self._banned_until[visit.exit] = visit.now + self.options.ban_seconds
            return vendors.cloudflare_banned(visit)
        return super().answer(visit)


class SlowShop(Shop):
    """Answers 429 with Retry-After to an exit that asks faster than it should; asking while waiting adds to the wait."""

    def __init__(self, label: str, options: LabOptions) -> None:
        super().__init__(label, options)
        self._rng = Random(f"{options.seed}:waits:{label}")
        self._tokens: dict[Exit, tuple[float, float]] = {}  # left, counted when
        self._wait_until: dict[Exit, float] = {}

    def answer(self, visit: Visit) -> Answer:
        """A bucket of ``burst`` tokens for each exit, filled at ``rate`` a second."""
        now, until = visit.now, self._wait_until.get(visit.exit, 0.0)
        if now < until:
            until = min(until + _PENALTY, now + _LONGEST_WAIT)
        else:
            left, counted = self._tokens.get(visit.exit, (float(self.options.burst), now))
            left = min(self.options.burst, left + (now - counted) * self.options.rate)
            if left >= 1:
                self._tokens[visit.exit] = (left - 1, now)
                return super().answer(visit)
            until = now + self._rng.choice((1.0, 2.0))
        self._wait_until[visit.exit] = until
        return vendors.too_many_requests(ceil(until - now))


class CaptchaShop(Shop):
    """Gives a captcha with status 200 to everyone who does not come from a home or a phone."""

    def answer(self, visit: Visit) -> Answer:
        """Imperva for datacentres, Amazon's check for the rest."""
        if visit.exit.kind == "datacentre":
            return vendors.imperva_captcha(visit)
        if visit.exit.kind == "direct":
            return vendors.amazon_robot_check(visit)
        return super().answer(visit)

    def serves(self, exit_: Exit) -> bool:
        return exit_.kind not in ("datacentre", "direct") and super().serves(exit_)


class RefusingShop(Shop):
    """Refuses the kinds of exits in ``refused``, with ``page``."""

    refused: ClassVar[tuple[str, ...]] = ("direct", "datacentre")
    page: ClassVar[staticmethod[[Visit], Answer]] = staticmethod(vendors.akamai_denied)

    def answer(self, visit: Visit) -> Answer:
        """The page of refusal, whatever is asked."""
        return self.page(visit) if visit.exit.kind in self.refused else super().answer(visit)

    def serves(self, exit_: Exit) -> bool:
        return exit_.kind not in self.refused and super().serves(exit_)


class GeoShop(Shop):
    """Serves one country."""

    def answer(self, visit: Visit) -> Answer:
        """CloudFront's refusal for all others."""
        if visit.exit.country != self.options.geo_country:
            return vendors.cloudfront_geo(visit, self.options.geo_country)
        return super().answer(visit)

    def serves(self, exit_: Exit) -> bool:
        return exit_.country == self.options.geo_country and super().serves(exit_)


class StickyShop(Shop):
    """Listing pages set a cookie bound to the exit; product pages want it, from the same exit."""

    entry = True

    def answer(self, visit: Visit) -> Answer:
        """DataDome where the cookie is missing, Akamai where it came from another exit."""
        secret = f"{self.options.seed}:{self.host}:{visit.exit.name}"
        right = hashlib.sha256(secret.encode()).hexdigest()[:24]
        cookie = visit.cookies.get(SESSION_COOKIE)
        answer = super().answer(visit)
        if answer.what == "listing" and cookie != right:
            return replace(
                answer, headers={"Set-Cookie": f"{SESSION_COOKIE}={right}; Path=/; HttpOnly; SameSite=Lax"}
            )
        if answer.what != "product" or cookie == right:
            return answer
        return vendors.akamai_denied(visit) if cookie else vendors.datadome_captcha(visit)


class _TrustShop(Shop):
    """What the shops have in common that buy reputation data."""

    def trusts(self, exit_: Exit) -> bool:
        """Whether the exit's reputation is good enough."""
        return exit_.trusted(self.options.trust)

    def serves(self, exit_: Exit) -> bool:
        return self.trusts(exit_) and super().serves(exit_)


class PoisonShop(_TrustShop):
    """Gives product pages without a price to exits that it does not trust."""

    def answer(self, visit: Visit) -> Answer:
        """The poisoned page has status 200 and no mark."""
        answer = super().answer(visit)
        product = self.by_path.get(visit.path)
        if answer.what != "product" or product is None or self.trusts(visit.exit):
            return answer
        rng = Random(f"{self.options.seed}:poison:{visit.path}:{visit.exit.name}")
        if rng.random() >= self.options.poison_share:
            return answer
        return replace(self.product(product, priced=False), what="poison")


class RedirectShop(_TrustShop):
    """Sends exits that it does not trust to /blocked, a page with status 200."""

    def answer(self, visit: Visit) -> Answer:
        """PerimeterX, there and on the way there."""
        if visit.path == "/blocked":
            return vendors.perimeterx_page(visit)
        return super().answer(visit) if self.trusts(visit.exit) else vendors.perimeterx_redirect(visit)


class WallShop(_TrustShop):
    """Wants exits that it does not trust to sign in: status 200, and no mark of any vendor."""

    def answer(self, visit: Visit) -> Answer:
        """The shop's own page, without what it sells."""
        if self.trusts(visit.exit):
            return super().answer(visit)
        text = "<h1>Welcome back</h1><p>Sign in to see our products and prices.</p>"
        form = (
            '<form method="post" action="/private/session"><input name="mail"><button>Sign in</button></form>'
        )
        return Answer("wall", self.layout("Sign in", text + form), detail="sign-in")


class FlakyShop(Shop):
    """Resets, stalls and cuts bodies short; at most twice in a row for one path."""

    def __init__(self, label: str, options: LabOptions) -> None:
        super().__init__(label, options)
        self._asked: dict[str, int] = defaultdict(int)

    def answer(self, visit: Visit) -> Answer:
        """Decided by seed, path and how often the path was asked for: order and exit change nothing."""
        key = f"{visit.path}?{visit.page}"
        nth = self._asked[key]
        self._asked[key] += 1
        answer = super().answer(visit)
        rng = Random(f"{self.options.seed}:fault:{key}:{nth}")
        if nth % _TRIES == _TRIES - 1 or rng.random() >= self.options.fault_share:
            return answer
        fault = rng.choice(FAULTS)
        return replace(answer, what="fault", detail=fault, fault=fault)


class ScriptShop(Shop):
    """Its listing is filled in by a script, from an address with a token that the script computes."""

    sitemap_products = False

    def listing(self, number: int) -> Answer:
        """An empty grid and the script that fills it."""
        script = (
            "const grid=document.querySelector('.grid');let token=7;"
            "for(const sign of grid.dataset.nonce+grid.dataset.page)token=(token*31+sign.charCodeAt(0))%2147483647;"
            "fetch(`/api/products?page=${grid.dataset.page}&token=${token.toString(16)}`)"
            ".then(r=>r.text()).then(html=>{grid.innerHTML=html});"
        )
        body = (
            f'<h1>All products</h1>\n<div class="grid" data-nonce="{self.nonce(number)}" data-page="{number}">'
            "<p>Loading the products. They need JavaScript.</p></div>\n"
            f"{self.pagination(number)}\n<script>{script}</script>"
        )
        return Answer("listing", self.layout(f"All products, page {number}", body))

    def answer(self, visit: Visit) -> Answer:
        """The products of a page for the right token; AWS WAF's challenge for a wrong one."""
        if visit.path != "/api/products":
            return super().answer(visit)
        if not 1 <= visit.page <= self.options.pages:
            return self.missing()
        if visit.query.get("token") != self.token(visit.page):
            return vendors.aws_waf_challenge()
        return Answer("api", "\n".join(self.card(product) for product in self.on_page(visit.page)))

    def nonce(self, number: int) -> str:
        """What a listing page tells its script."""
        return hashlib.sha256(f"{self.options.seed}:nonce:{number}".encode()).hexdigest()[:16]

    def token(self, number: int) -> str:
        """What the script makes of it."""
        token = 7
        for sign in f"{self.nonce(number)}{number}":
            token = (token * 31 + ord(sign)) % 2147483647
        return format(token, "x")
