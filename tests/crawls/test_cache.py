"""With Scrapy's cache on, pages are asked for only if they changed, and no block page is ever kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_a_second_run_pays_for_no_page_that_has_not_changed(
    crawl: Callable[..., Any], target: Any, direct: list[str], tmp_path: Path
) -> None:
    target.etag = '"v1"'
    options = [*direct, "-s", "HTTPCACHE_ENABLED=1", "-s", f"HTTPCACHE_DIR={tmp_path}/cache"]
    first = crawl("site", "-a", f"url={target.url}", *options).wait()
    second = crawl("site", "-a", f"url={target.url}", *options).wait()
    assert {row["url"] for row in second.rows()} == {row["url"] for row in first.rows()}
    assert len(second.rows()) == 31
    statuses = second.report["stats"]
    assert statuses["httpcache/revalidate"] == 31
    assert second.outcome == "succeeded", second.out


def test_a_block_page_is_not_kept(
    crawl: Callable[..., Any], target: Any, direct: list[str], tmp_path: Path
) -> None:
    target.refused = "127.0.0.1"
    options = [
        *direct,
        "-s",
        "HTTPCACHE_ENABLED=1",
        "-s",
        f"HTTPCACHE_DIR={tmp_path}/cache",
        "-s",
        "BAN_MAX_ATTEMPTS=2",
    ]
    options += [
        "-s",
        "HTTPCACHE_POLICY=scrapy.extensions.httpcache.DummyPolicy",
    ]  # keeps whatever it is given
    crawl("site", "-a", f"url={target.url}p/1", *options).wait()
    target.refused = ""
    second = crawl("site", "-a", f"url={target.url}p/1", *options).wait()
    assert [row["url"] for row in second.rows()] == [f"{target.url}p/1"], second.out
