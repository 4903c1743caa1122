"""Whole crawls through SOCKS5: the pages, the meter, and an end with its reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.proxies.servers import Loop, Site, Socks


def options(folder: Path, proxy: Socks, scheme: str) -> list[str]:
    pools = folder / "proxies.toml"
    (folder / "list.txt").write_text(f"{scheme}://customer:example@127.0.0.1:{proxy.port}\n")
    pools.write_text('[pools.home]\nkind = "list"\nfile = "list.txt"\nusd_per_gb = 3\n')
    return ["-s", f"PROXIES_FILE={pools}", "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", "DOWNLOAD_DELAY=0"]


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_crawl_goes_through_socks5_and_its_bytes_are_counted(
    crawl: Callable[..., Any], tmp_path: Path, scheme: str
) -> None:
    with Loop() as loop:
        site, proxy = loop.start(Site()), loop.start(Socks("customer", "example"))
        urls = ",".join(f"http://site.localhost:{site.port}/bytes/{n}" for n in (1_000, 100_000, 5_000))
        run = crawl("site", "-a", f"urls={urls}", *options(tmp_path, proxy, scheme)).wait()
        assert (run.exit_code, len(run.rows())) == (0, 3), run.out + run.err[-2000:]
        assert proxy.names[0] == "3 site.localhost"
        (pool,) = run.report["pools"]
        assert pool["bytes"] == pytest.approx(sum(proxy.by_host.values()), rel=0.02)
        assert loop.run(proxy.until_closed()) == 0


def test_a_socks5_proxy_that_takes_no_password_ends_the_run_with_its_reason(
    crawl: Callable[..., Any], tmp_path: Path
) -> None:
    with Loop() as loop:
        site, proxy = loop.start(Site()), loop.start(Socks("customer", "another"))
        url = f"http://site.localhost:{site.port}/"
        run = crawl("site", "-a", f"url={url}", *options(tmp_path, proxy, "socks5")).wait()
        assert run.outcome in ("failed_blocked", "failed_error"), run.out
        assert run.report["faults"]["gateway_config"] > 0
        assert site.asked == []
        assert loop.run(proxy.until_closed()) == 0
