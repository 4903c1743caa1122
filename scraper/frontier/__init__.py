"""Which page next: pages are leased, and a lease ends only when the page's items are accepted.

contract.py says what a store promises; memory.py is the store of a run without a run directory to resume; scheduler.py
is the Scrapy scheduler on top. The host gate (delay, Crawl-delay, Retry-After, pages in download) lives in the store.
"""
