"""A site's own wishes are obeyed: robots.txt with its Crawl-delay, and Retry-After."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

SLACK_S = 0.05  # by which an answer's way to the server may differ from the one before


def test_robots_txt_is_obeyed_with_its_crawl_delay(
    crawl: Callable[..., Any], target: Any, direct: list[str]
) -> None:
    target.robots = "User-agent: *\nDisallow: /p/1\nCrawl-delay: 0.4\n"
    run = crawl("site", "-a", f"url={target.url}", "-a", "max_pages=16", *direct).wait()
    assert run.exit_code == 0, run.out
    asked = [
        (path, at_s)
        for (_, path), at_s in zip(target.asked, target.times_s, strict=True)
        if path != "/robots.txt"
    ]
    assert not [path for path, _ in asked if path.startswith("/p/1")]
    assert len(asked) >= 4
    assert min(later - sooner for (_, sooner), (_, later) in pairwise(asked)) >= 0.4 - SLACK_S


def test_nobody_asks_a_site_before_its_retry_after_has_passed(
    crawl: Callable[..., Any], target: Any, direct: list[str]
) -> None:
    target.busy = {"/p/3": 2}
    run = crawl("site", "-a", f"url={target.url}", *direct, "-s", "CONCURRENT_REQUESTS_PER_DOMAIN=1").wait()
    assert (run.exit_code, len(run.rows())) == (0, 31), run.out
    refused = next(n for n, (_, path) in enumerate(target.asked) if path == "/p/3")
    assert target.times_s[refused + 1] - target.times_s[refused] >= 2 - SLACK_S
    assert run.report["verdicts"]["rate_limited"] == 1
