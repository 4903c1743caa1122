"""ADAPTER. Makes a body ready to be judged: decompressed and flagged where it is not whole, readable, without parser traps."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from scrapy import Request
from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.http import HtmlResponse, Response, TextResponse, XmlResponse
from scrapy.selector import Selector

from scraper.bans.completeness import UNDECODABLE_ERRORS, is_whole
from scraper.extract.document import ordinary_until

logger = logging.getLogger(__name__)

_SIGN = re.compile(
    r"[\ufeff\s]*<"
)  # of markup, for a page whose content type says JSON, plain text or nothing
CUT = "body_cut"  # response flag: the compressed body ends before its encoding says
TRAP = "cut_before_a_trap"  # response flag: what follows would have stalled the parser
TRAP_BYTES = 128 * 1024  # of a body; a shorter one cannot stall the parser for more than about 0.5 s
TOO_LARGE = "too_large"  # response flag: the body is larger than DOWNLOAD_MAXSIZE once decompressed
UNDECODABLE = "body_undecodable"  # response flag: the body is not what its Content-Encoding says


class CheckedCompression(HttpCompressionMiddleware):
    """Scrapy's decompression, which takes what it can of a cut body and raises past every retry on a wrong one."""

    def process_response(  # type: ignore[override]  # Scrapy deprecates the spider argument it still declares
        self, request: Request, response: Response
    ) -> Request | Response:
        encoding = response.headers.get("Content-Encoding")
        if request.method == "HEAD" or not encoding or not response.body:
            return response
        raw = response.body
        try:
            result = super().process_response(request, response)
        except IgnoreRequest:  # it would be larger than DOWNLOAD_MAXSIZE
            return response.replace(body=b"", flags=[*response.flags, TOO_LARGE])
        except UNDECODABLE_ERRORS as error:
            logger.debug("%s: body is not %s: %s", request.url, encoding, error)
            return response.replace(flags=[*response.flags, UNDECODABLE])
        if isinstance(result, Response) and not is_whole(encoding.decode("latin-1"), raw, len(result.body)):
            return result.replace(flags=[*result.flags, CUT])
        return result


def readable(response: Response) -> Response:
    """A page whose charset is none (rot13, idna, undefined) as UTF-8: else whoever reads its text first raises."""
    if not isinstance(response, TextResponse):
        return response
    try:
        response.text  # noqa: B018  # decoded once, and kept for the callback
    except (LookupError, ValueError):
        return response.replace(encoding="utf-8")
    return response


def without_traps(response: Response) -> Response:
    """Cut a page before a tag that would stall the parser of every selector (120,000 attributes: 50 s)."""
    if len(response.body) < TRAP_BYTES or not isinstance(response, HtmlResponse):
        return response
    end = ordinary_until(response.text)
    if end == len(response.text):
        return response
    return response.replace(body=response.text[:end], encoding="utf-8", flags=[*response.flags, TRAP])


def text_of(response: Response) -> str:
    """The decoded body; "" of a binary one."""
    return response.text if isinstance(response, TextResponse) else ""


def selector_of(response: Response) -> Callable[[], Selector] | None:
    """Called for a selector of the page's markup, whatever its content type says; None for a page that has none.

    That of HTML and XML is the response's own: what is parsed for a contract, the callback need not parse again.
    """
    if isinstance(response, HtmlResponse | XmlResponse):
        return lambda: response.selector
    text = text_of(response)
    if _SIGN.match(text):
        return lambda: Selector(text=text, type="html")
    return None
