"""Crawlee for Python with its proxy configuration, plain or tiered; started by environments.py.

Its own retries, session pool and HTTP client. It knows no delay for each host: all hosts together get the rate that ours have
at most. It does not ask for robots.txt, which it would do past the proxies. A page without its price raises, as its
documentation advises, so that Crawlee tries again.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from crawlee import ConcurrencySettings, Request
from crawlee.crawlers import ParselCrawler, ParselCrawlingContext
from crawlee.http_clients import ImpitHttpClient
from crawlee.proxy_configuration import ProxyConfiguration
from crawlee.storage_clients import MemoryStorageClient

PER_HOST_A_MINUTE = 20 * 60  # one request each 0.05 s


def record(url: str, selector: Any) -> dict[str, Any]:
    """The fields of a product page. Raises ValueError when it lacks what people come for."""
    sku, shown = selector.css("[itemprop=sku]::text").get(), selector.css(".price::text").get("").strip()
    if sku is None or not shown:
        raise ValueError("no product on this page")
    price, _, currency = shown.partition(" ")
    return {
        "site": urlsplit(url).hostname,
        "sku": sku,
        "title": selector.css("h1::text").get(),
        "price": float(price),
        "currency": currency,
        "in_stock": selector.css(".stock::text").get() == "In stock",
        "rating": float(selector.css(".rating::attr(data-rating)").get("nan")),
        "brand": selector.css("[itemprop=brand]::text").get(),
        "description": selector.css(".description p::text").get(),
    }


async def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    tiers = list(job["proxies"].values())
    if job["mode"] == "tiered":
        proxies = ProxyConfiguration(tiered_proxy_urls=tiers)
    else:
        proxies = ProxyConfiguration(proxy_urls=[url for tier in tiers for url in tier])
    crawler = ParselCrawler(
        proxy_configuration=proxies,
        http_client=ImpitHttpClient(verify=False, timeout=4),  # it cannot be told of an authority
        storage_client=MemoryStorageClient(),
        concurrency_settings=ConcurrencySettings(
            max_concurrency=32, max_tasks_per_minute=PER_HOST_A_MINUTE * len(job["urls"])
        ),
    )
    with Path(job["out"]).open("w", encoding="utf-8") as out:

        @crawler.router.default_handler
        async def listing(context: ParselCrawlingContext) -> None:
            url, page = context.request.url, context.selector
            links = page.css(".grid a[href*='/p/']::attr(href)").getall()
            if not links:
                raise ValueError("no listing on this page")
            found = [Request.from_url(urljoin(url, link), label="product") for link in links]
            found += [
                Request.from_url(urljoin(url, link)) for link in page.css("a[rel=next]::attr(href)").getall()
            ]
            await context.add_requests(found)

        @crawler.router.handler("product")
        async def product(context: ParselCrawlingContext) -> None:
            out.write(json.dumps(record(context.request.url, context.selector)) + "\n")

        await crawler.run(job["urls"])


if __name__ == "__main__":
    asyncio.run(main())
