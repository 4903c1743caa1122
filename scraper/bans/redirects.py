"""ADAPTER. Scrapy's redirects, where one that leads nowhere ends as a page given up, and not as one that is lost."""

from __future__ import annotations

from collections.abc import Callable

from scrapy import Request
from scrapy.downloadermiddlewares.redirect import (
    BaseRedirectMiddleware,
    MetaRefreshMiddleware,
    RedirectMiddleware,
)
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response

from scraper.bans import pages
from scraper.verdicts import SITE_ERROR, Verdict


def _followed(
    middleware: BaseRedirectMiddleware, request: Request, follow: Callable[[], Request | Response]
) -> Request | Response:
    """What ``follow`` makes of an answer; raises PageGivenUp where it leads nowhere.

    A site that sends a visitor back to the same address with a cookie is no duplicate of itself: the frontier must not drop it.
    """
    try:
        found = follow()
    except (IgnoreRequest, ValueError) as error:
        if isinstance(error, IgnoreRequest) and pages.is_robots(request):
            raise  # RFC 9309: redirects without an end are no robots.txt
        rule = "redirect_loop" if isinstance(error, IgnoreRequest) else "bad_location"
        verdict = Verdict(SITE_ERROR, rule, evidence=str(error)[:100])
        raise pages.give_up(middleware.crawler, request, verdict) from None
    if isinstance(found, Request) and found.url in (request.url, *request.meta.get("redirect_urls", ())):
        return found.replace(dont_filter=True)
    return found


class ListedRedirects(RedirectMiddleware):
    """By status and Location."""

    def process_response(  # type: ignore[override]  # Scrapy deprecates the spider argument it still declares
        self, request: Request, response: Response
    ) -> Request | Response:
        return _followed(
            self, request, lambda: super(ListedRedirects, self).process_response(request, response)
        )


class ListedRefreshes(MetaRefreshMiddleware):
    """By a meta refresh."""

    def process_response(  # type: ignore[override]  # as above
        self, request: Request, response: Response
    ) -> Request | Response:
        return _followed(
            self, request, lambda: super(ListedRefreshes, self).process_response(request, response)
        )
