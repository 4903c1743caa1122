"""ADAPTER. Scrapy's cookies with jars that end with their identity."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.http.cookies import CookieJar
from tldextract import TLDExtract


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
