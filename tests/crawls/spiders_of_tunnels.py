"""The spider of test_secrets.py, for ``-s SPIDER_MODULES=``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import scrapy

from scraper import names


class EachPool(scrapy.Spider):
    """Asks for every address through every pool."""

    name = "each_pool"

    def __init__(self, urls: str, pools: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.urls, self.pools = urls.split(","), pools.split(",")

    async def start(self) -> AsyncIterator[scrapy.Request]:
        for pool in self.pools:
            for url in self.urls:
                yield scrapy.Request(f"{url}?{pool}", meta={names.ASK_POOL: pool})

    def parse(self, response: Any) -> Iterator[Any]:
        yield {"url": response.url}
