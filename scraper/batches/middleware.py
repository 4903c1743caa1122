"""ADAPTER. Which page an item came from: a spider middleware notes it, an item processor hands it on.

Scrapy calls ``process_item(item)`` with the item alone. The last place that has both item and response is
the end of the spider middlewares, so `OriginMiddleware` (the one nearest to the engine) notes each item
that passes, with its page and its ordinal among the page's items; items from start() get the origin
"start". `OriginProcessor` (setting ITEM_PROCESSOR) is the first to see the item after that: it takes the
note back and sets `ORIGIN`, a context variable, for the pipelines.

Why so: an item may be of a kind that takes no attribute and no weak reference (dict, slots), and may not be
changed, so the note is kept beside it, by identity, with the item itself so that the identity stays its
own. Taking it back at once, before any pipeline, leaves nothing behind when a pipeline drops an item or
returns another one. A context variable that is set per response instead would leak into the pages that are
requested from it. Only what an errback yields after a failed download passes no spider middleware: such
items have the origin "none", no address, and a key by order of arrival.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from scrapy import Request
from scrapy.pipelines import ItemPipelineManager

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response


@dataclass(frozen=True, slots=True)
class Origin:
    """``page``: request fingerprint in hex, or "start" or "none"; ``ordinal`` from 0; ``url`` of the
    response.
    """

    page: str
    ordinal: int
    url: str | None


ORIGIN: ContextVar[Origin] = ContextVar("ORIGIN")


class OriginMiddleware:
    """Notes where each item came from."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._notes: dict[
            int, tuple[Any, deque[Origin]]
        ] = {}  # id of the item -> itself, once per time it was yielded
        self._homeless = 0

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler)

    async def process_start(self, start: AsyncIterator[Any]) -> AsyncIterator[Any]:
        ordinal = 0
        async for output in start:
            if output is not None and not isinstance(output, Request):
                self._note(output, Origin("start", ordinal, None))
                ordinal += 1
            yield output

    async def process_spider_output(
        self, response: Response, result: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        ordinal = 0
        async for output in result:
            if output is not None and not isinstance(output, Request):
                assert response.request is not None
                assert self._crawler.request_fingerprinter is not None
                page = self._crawler.request_fingerprinter.fingerprint(response.request).hex()
                self._note(output, Origin(page, ordinal, response.url))
                ordinal += 1
            yield output

    def take(self, item: Any) -> Origin:
        """Where the item came from; the note is gone then."""
        note = self._notes.get(id(item))
        if note is None:
            self._homeless += 1
            return Origin("none", self._homeless - 1, None)
        origin = note[1].popleft()
        if not note[1]:
            del self._notes[id(item)]
        return origin

    def _note(self, item: Any, origin: Origin) -> None:
        self._notes.setdefault(id(item), (item, deque()))[1].append(origin)


class OriginProcessor(ItemPipelineManager):
    """Scrapy's own item processor, which also says where the item came from."""

    async def process_item_async(self, item: Any) -> Any:
        assert self.crawler is not None
        middleware = self.crawler.get_spider_middleware(OriginMiddleware)
        if middleware is not None:
            ORIGIN.set(middleware.take(item))
        return await super().process_item_async(item)
