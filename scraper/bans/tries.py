"""ADAPTER. What a request carries of its page's tries: the next try at a page, and requests that inherit none of it."""

from __future__ import annotations

import time

from scrapy import Request
from scrapy.http import Response
from scrapy.spidermiddlewares.base import BaseSpiderMiddleware

from scraper import names
from scraper.bans import pages
from scraper.bans.pausing import PROBES

# A retry starts afresh: these keys belong to the try that ended.
OF_ONE_TRY = (
    names.WIRE_BYTES,
    names.VERDICT,
    names.REFUSED,
    "redirect_times",
    "redirect_ttl",
    "redirect_urls",
    "redirect_reasons",
    "download_slot",
    "download_latency",
)
OF_THE_IDENTITY = (names.IDENTITY, names.COOKIEJAR, names.POOL, names.COUNTRY)
GEO_WALLS = "geo_walls"  # request meta, int: tries at this page that were refused for their country
OWN_LOGIN = "own_login"  # request meta, bytes: the Authorization that the spider gave a page
NOT_KEPT = "not_kept"  # request meta, bool: we, and not the spider, keep the answer out of the cache
OURS = (
    *OF_ONE_TRY,
    *OF_THE_IDENTITY,
    names.ATTEMPT,
    names.TRIES_LEFT,
    names.LEASED,
    names.NOT_BEFORE,
    names.WAITED,
    names.WAITS,
    names.BLOCKED_BY,
    names.REFUSALS,
    names.OWN_HEADERS,
    names.ORIGIN,
    names.CAME_FROM,
    names.UNPROVEN,
    names.WARM_UP,
    names.SPENT_USD,
    PROBES,
    GEO_WALLS,
    OWN_LOGIN,
)


def again(request: Request, attempt: int, wait_s: float, *, keeps_identity: bool, priority: int) -> Request:
    """The next try at a page: number ``attempt``, in ``wait_s`` seconds; ``priority`` is added once, at the first."""
    meta = dict(request.meta)
    url, method = pages.asked_for(request)
    if method != request.method:
        url = request.url  # a POST that was redirected to its result: the result is asked for again
    for key in OF_ONE_TRY if keeps_identity else (*OF_ONE_TRY, *OF_THE_IDENTITY):
        meta.pop(key, None)
    meta[names.ATTEMPT] = attempt
    if wait_s:
        meta[names.NOT_BEFORE] = time.monotonic() + wait_s
    added = priority if attempt == 2 else 0
    retry = request.replace(url=url, meta=meta, dont_filter=True, priority=request.priority + added)
    if url != request.url:
        # a redirect made the page its own Referer, which would then be visited as its entry
        retry.headers.pop("Referer", None)
        if referer := meta.get(names.CAME_FROM):
            retry.headers["Referer"] = referer
        if login := meta.get(OWN_LOGIN):  # which a redirect to another host has taken away
            retry.headers["Authorization"] = login
    return retry


class FreshRequests(BaseSpiderMiddleware):
    """Frees a spider's request of what it inherited with ``meta=response.meta``: tries, identity, redirects."""

    def get_processed_request(self, request: Request, response: Response | None) -> Request | None:
        if response is not None:
            for key in OURS:
                request.meta.pop(key, None)
            if request.meta.pop(NOT_KEPT, False):
                request.meta.pop("dont_cache", None)
        return request
