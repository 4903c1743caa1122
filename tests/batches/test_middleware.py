from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from scrapy import Request
from scrapy.http import Response
from scrapy.utils.test import get_crawler

from scraper.batches.middleware import Origin, OriginMiddleware


async def stream(*outputs: Any) -> AsyncIterator[Any]:
    for output in outputs:
        yield output


async def through(middleware: OriginMiddleware, url: str, *outputs: Any) -> list[Any]:
    response = Response(url, request=Request(url))
    return [output async for output in middleware.process_spider_output(response, stream(*outputs))]


def middleware() -> OriginMiddleware:
    crawler = get_crawler()
    crawler._apply_settings()
    return OriginMiddleware.from_crawler(crawler)


def test_outputs_pass_unchanged_and_items_are_numbered_per_page() -> None:
    """Requests and None are not counted; two pages number their items each from 0; the same page gives the same key."""
    made = middleware()
    request, one, two, other = Request("http://x/next"), {"n": 1}, {"n": 2}, {"n": 3}

    async def go() -> None:
        assert await through(made, "http://x/a", request, one, None, two) == [request, one, None, two]
        await through(made, "http://x/b", other)

    asyncio.run(go())
    first = made.take(one)
    assert (first.ordinal, first.url) == (0, "http://x/a")
    assert made.take(two) == Origin(first.page, 1, "http://x/a")
    assert made.take(other).page != first.page
    asyncio.run(through(made, "http://x/a", one))
    assert made.take(one) == first


def test_the_same_object_twice_is_two_items() -> None:
    """A spider that yields one dict again and again loses no origin, and nothing stays behind."""
    made = middleware()
    same = {"n": 1}
    asyncio.run(through(made, "http://x/a", same, same, same))
    assert [made.take(same).ordinal for _ in range(3)] == [0, 1, 2]
    assert made._notes == {}


def test_start_items_and_the_homeless() -> None:
    """Items from start() say so; what passed no middleware is numbered by arrival."""
    made = middleware()
    item = {"n": 1}

    async def go() -> list[Any]:
        return [output async for output in made.process_start(stream(Request("http://x/"), item))]

    assert len(asyncio.run(go())) == 2
    assert made.take(item) == Origin("start", 0, None)
    assert [made.take({}), made.take({})] == [Origin("none", 0, None), Origin("none", 1, None)]
