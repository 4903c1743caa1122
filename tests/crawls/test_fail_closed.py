"""With proxies that do not work nothing reaches the target, and the run says so."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scraper.lab import process as lab_process
from scraper.proxies.addresses import is_private_address

HERE = {"PYTHONPATH": str(Path(__file__).parent)}


def dead_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def proxies(folder: Path, *lines: str) -> list[str]:
    path = folder / "proxies.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return ["-s", f"PROXIES_FILE={path}", "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", "DOWNLOAD_DELAY=0"]


DEAD_LIST = (
    '[pools.dc]\nkind = "list"\nusd_per_gb = 0.5\nproxies = ["http://127.0.0.1:{}", "http://127.0.0.1:{}"]'
)
DEAD_GATEWAY = '[pools.home]\nkind = "gateway"\ngateway = "http://127.0.0.1:{}"\nsession_part = "-{{session}}"\nusd_per_gb = 3'


@pytest.mark.parametrize("pages", [1, 200])
def test_with_every_proxy_dead_nothing_reaches_the_target(
    crawl: Callable[..., Any], target: Any, tmp_path: Path, pages: int
) -> None:
    options = proxies(tmp_path, DEAD_LIST.format(dead_port(), dead_port()), DEAD_GATEWAY.format(dead_port()))
    urls = "\n".join(f"{target.url}p/{n}" for n in range(pages))
    began = time.monotonic()
    run = crawl("site", "-a", f"urls={urls}", *options).wait(60)
    assert time.monotonic() - began < 60
    assert target.asked == []
    assert (run.outcome, run.exit_code) in (("failed_blocked", 11), ("failed_error", 14)), run.out
    assert "proxies.toml" in run.out or "pool" in run.out, run.out


def test_a_gateway_that_takes_no_password_ends_the_run_with_its_reason(
    crawl: Callable[..., Any], tmp_path: Path
) -> None:
    with lab_process.start(tmp_path / "lab", pages=1) as lab:
        (tmp_path / "lab" / "residential.password").write_text("example")
        text = (tmp_path / "lab" / "proxies.toml").read_text()
        start = text.index("[pools.residential]")
        (tmp_path / "lab" / "home.toml").write_text(text[start : text.index("[pools.mobile]")])
        url = lab.info["sites"]["captcha"]["start_url"]
        run = crawl(
            "site", "-a", f"url={url}", "-s", f"PROXIES_FILE={tmp_path}/lab/home.toml", "-s", "ALLOW_PRIVATE_ADDRESSES=1",
            "-s", f"TLS_CA_FILE={tmp_path}/lab/ca.pem", "-s", "PROXY_DEAD_AFTER=1000",
        ).wait(60)  # fmt: skip
        assert lab.served() == []
    assert run.outcome in ("failed_blocked", "failed_error"), run.out
    assert run.report["faults"]["gateway_config"] > 0
    assert "407" in run.err


def test_pools_that_die_in_mid_run_leave_no_direct_request(crawl: Callable[..., Any], tmp_path: Path) -> None:
    with lab_process.start(tmp_path / "lab", pages=4) as lab:
        url = lab.info["sites"]["open"]["start_url"]
        run = crawl(
            "shop", "-a", f"url={url}", "-s", f"PROXIES_FILE={tmp_path}/lab/proxies.toml",
            "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", "DOWNLOAD_DELAY=0.1", "-s", "BAN_FAULT_WAIT_S=0.1",
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while len(lab.served()) < 10 and time.monotonic() < deadline:
            time.sleep(0.1)
        lab.control({"kill": ["datacentre", "residential", "mobile"]})
        run.wait(90)
        assert not [line for line in lab.served() if line["pool"] == "direct"]
    assert run.exit_code != 0, run.out
    assert run.outcome.startswith("failed"), run.out


def test_a_private_target_is_refused_unless_asked_for(
    crawl: Callable[..., Any], target: Any, direct: list[str]
) -> None:
    run = crawl("site", "-a", f"url={target.url}", *direct, "-s", "ALLOW_PRIVATE_ADDRESSES=0").wait()
    assert target.asked == []
    assert run.exit_code != 0
    assert "ALLOW_PRIVATE_ADDRESSES" in run.err


def test_an_exit_that_opens_tls_gets_no_page_stored(crawl: Callable[..., Any], tmp_path: Path) -> None:
    """The lab's authority stands for the one of a proxy that opens TLS: nobody told the run to trust it."""
    with lab_process.start(tmp_path / "lab", pages=1) as lab:
        url = lab.info["sites"]["captcha"]["start_url"]
        run = crawl(
            "shop", "-a", f"url={url}", "-s", f"PROXIES_FILE={tmp_path}/lab/proxies.toml",
            "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", "BAN_FAULT_WAIT_S=0.05",
        ).wait()  # fmt: skip
    assert (run.outcome, run.rows()) == ("failed_error", []), run.out
    assert run.report["faults"]["certificate_refused"] >= 6


def test_a_request_may_not_bring_a_proxy_of_its_own(
    crawl: Callable[..., Any], target: Any, direct: list[str]
) -> None:
    """It would go past the pools, their budget and their meter."""
    run = crawl(
        "own_proxy", "-a", f"url={target.url}", *direct, "-s", "SPIDER_MODULES=spiders_for_tests", env=HERE
    ).wait()
    assert {path for _, path in target.asked} <= {"/robots.txt"}
    assert "proxy_pool" in run.err
    assert run.exit_code != 0


def test_a_name_that_resolves_to_a_private_address_is_refused(
    crawl: Callable[..., Any], target: Any, direct: list[str]
) -> None:
    name = socket.gethostname()
    try:
        if not is_private_address(socket.gethostbyname(name)):
            pytest.skip(f"{name} resolves to a public address")
    except OSError:
        pytest.skip(f"{name} does not resolve")
    url = target.url.replace("127.0.0.1", name)
    run = crawl("site", "-a", f"url={url}", *direct, "-s", "ALLOW_PRIVATE_ADDRESSES=0").wait()
    assert target.asked == []
    assert "target_refused" in (run.run_dir / "failed.jsonl").read_text(encoding="utf-8"), run.err


def test_connections_and_cookies_end_with_their_identity(crawl: Callable[..., Any], tmp_path: Path) -> None:
    with lab_process.start(tmp_path / "lab", pages=2) as lab:
        urls = ",".join(
            lab.info["sites"][label]["start_url"] for label in ("sticky", "quota", "redirect", "captcha")
        )
        run = crawl(
            "counts_lines", "-a", f"urls={urls}", "-s", f"PROXIES_FILE={tmp_path}/lab/proxies.toml", "-s", "ALLOW_PRIVATE_ADDRESSES=1",
            "-s", f"TLS_CA_FILE={tmp_path}/lab/ca.pem", "-s", "DOWNLOAD_DELAY=0.02",
            "-s", "SPIDER_MODULES=spiders_for_tests", env=HERE,
        ).wait()  # fmt: skip
    (counted,) = [json.loads(line) for line in run.err.splitlines() if line.startswith('{"lines"')]
    assert counted["retired"] >= 5
    assert counted["lines"] <= counted["live"]
    assert counted["jars"] <= counted["live"]
