"""What a run learns about pools and sites is there for the next one, and only what pages have shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scraper.lab import process as lab_process
from scraper.proxies import state


def test_a_second_run_knows_which_pool_is_blocked_and_an_open_robots_txt_speaks_for_none(
    crawl: Callable[..., Any], tmp_path: Path
) -> None:
    with lab_process.start(tmp_path / "lab", pages=2) as lab:
        url = lab.info["sites"]["captcha"]["start_url"]
        options = [
            "shop", "-a", f"url={url}", "-s", f"PROXIES_FILE={tmp_path}/lab/proxies.toml", "-s", f"TLS_CA_FILE={tmp_path}/lab/ca.pem",
            "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", "DOWNLOAD_DELAY=0.02", "-s", f"PROXY_STATE_FILE={tmp_path}/kept.sqlite",
        ]  # fmt: skip
        first = crawl(*options).wait()
        kept = {
            row.name: row for row in state.load(tmp_path / "kept.sqlite", time.time()) if row.kind == "pool"
        }
        second = crawl(*options).wait()
    assert (len(first.rows()), len(second.rows())) == (20, 20)
    assert kept["residential"].good > 15
    assert kept["datacentre"].good == 0, "robots.txt is open to everybody there, the pages are not"
    assert kept["datacentre"].bad > 0.9  # less what faded since
    blocks = [run.report["verdicts"].get("blocked", 0) for run in (first, second)]
    assert blocks[1] <= min(blocks[0], 2), blocks
