"""With proxies that do not work nothing reaches the target, and the run says so."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scraper.lab import process as lab_process
from scraper.proxies.addresses import is_private_address
from tests.crawls.gateway_for_tests import HTTP11, OWN, Gateway, Site, options, refusal, wait_for

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


# --- the matrix: every way on, by every handler; the site sees who comes from our own address --------------------------

HANDLERS = pytest.mark.parametrize("handler", ["", HTTP11], ids=["ours", "http11"])
MODULES = ["-s", "SPIDER_MODULES=spiders_of_proxies"]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway("home", folder=str(tmp_path)).running() as running:
        yield running


@HANDLERS
def test_with_every_proxy_dead_no_handler_goes_by_itself(
    crawl: Callable[..., Any], shop: Site, tmp_path: Path, handler: str
) -> None:
    dead = f'[pools.dc]\nkind = "list"\nusd_per_gb = 0.5\nproxies = ["http://127.0.0.1:{dead_port()}"]'
    urls = "\n".join(f"{base}p/{n}" for n in range(20) for base in (shop.url, shop.tls_url))
    run = crawl("site", "-a", f"urls={urls}", *options(tmp_path, dead, handler=handler)).wait(60)
    assert shop.visits == []
    assert run.outcome in ("failed_blocked", "failed_error"), run.out


@HANDLERS
def test_robots_redirects_cookies_and_retries_all_go_through_the_gateway(
    crawl: Callable[..., Any], gateway: Gateway, shop: Site, tmp_path: Path, handler: str
) -> None:
    """The gateway itself fails, too: it refuses tunnels, and closes without a word."""

    def answer(asked: Any) -> bytes | None:
        n = len(gateway.asked)
        refuses = n % 5 == 0 and not asked.target.startswith("http")
        return refusal(502, "Exit node not found") if refuses else b"" if n % 9 == 0 else None

    gateway.answer = answer
    ways = ["hop", "cookie", "refresh", "broken", "busy", "refused", *(f"p/{n}" for n in range(20))]
    urls = "\n".join([*(shop.url + way for way in ways), shop.tls_url + "hop_back", shop.url + "private"])
    made = options(tmp_path, gateway.pool(), handler=handler, ca_file=shop.ca_file)
    run = crawl("site", "-a", f"urls={urls}", *made).wait()
    paths = shop.paths()
    assert shop.own() == []
    wanted = {"/robots.txt", "/after_hop", "/after_cookie", "/after_refresh", "/after_hop_back"}
    assert wanted <= set(paths), run.err[-3000:]
    assert [paths.count(f"/{way}") > 1 for way in ("broken", "busy", "refused")] == [True] * 3
    assert {"http", "https"} == {visit.scheme for visit in shop.visits}
    cookies = [visit for visit in shop.visits if "cookie" in visit.path]
    assert [visit.cookie for visit in cookies if visit.path == "/after_cookie"][-1] == "seen=1", cookies
    assert "/private" not in paths, "robots.txt was obeyed"


@pytest.mark.parametrize("handler", ["OursRaises", "Http11Raises"])
def test_a_handler_that_raises_is_not_gone_around(
    crawl: Callable[..., Any], gateway: Gateway, shop: Site, tmp_path: Path, handler: str
) -> None:
    urls = "\n".join(f"{base}p/{n}" for n in range(10) for base in (shop.url, shop.tls_url))
    made = options(tmp_path, gateway.pool(), handler=f"gateway_for_tests.{handler}", ca_file=shop.ca_file)
    run = crawl("site", "-a", f"urls={urls}", *made, env=HERE).wait()
    assert "a mistake in the handler" in run.err
    assert len(shop.visits) >= 10, run.err[-2000:]
    assert shop.own() == []


@HANDLERS
def test_a_file_of_pools_emptied_in_mid_run_sends_nothing_by_our_own_address(
    crawl: Callable[..., Any], gateway: Gateway, shop: Site, tmp_path: Path, handler: str
) -> None:
    shop.page_s = 0.1
    urls = "\n".join(f"{shop.url}p/{n}" for n in range(150))
    made = options(tmp_path, gateway.pool(), handler=handler)
    run = crawl("site", "-a", f"urls={urls}", *made, "-s", "PROXIES_RELOAD_S=0.1")
    wait_for(lambda: len(shop.visits) > 10)
    (tmp_path / "proxies.toml").write_text("")
    run.wait()
    assert shop.own() == []
    assert "has no pool" in run.err
    assert len(run.rows()) == 150, "a file that is wrong is not taken; the run goes on with the pools it has"


# --- what a request asks for ----------------------------------------------------------------------------------------

DIRECT = '[pools.own]\nkind = "direct"\non_request = true\n'


def asks(crawl: Callable[..., Any], made: list[str], meta: dict[str, Any], *urls: str) -> Any:
    words = ["-a", "urls=" + "\n".join(urls), "-a", f"meta={json.dumps(meta)}", *made, *MODULES]
    return crawl("asks", *words, "-s", "ROBOTSTXT_OBEY=0", env=HERE).wait()


@HANDLERS
def test_only_a_request_that_names_a_direct_pool_on_request_goes_by_our_own_address(
    crawl: Callable[..., Any], gateway: Gateway, shop: Site, tmp_path: Path, handler: str
) -> None:
    made = options(tmp_path, DIRECT, gateway.pool(), handler=handler)
    gateway.answer = lambda asked: refusal(407, "Proxy Authentication Required")
    run = asks(crawl, made, {}, *(f"{shop.url}p/{n}" for n in range(4)))
    assert shop.visits == [], "that the gateway refuses is no reason"
    assert run.exit_code != 0
    gateway.answer = lambda asked: None
    run = asks(crawl, made, {}, *(f"{shop.url}p/{n}" for n in range(4)))
    assert {visit.is_own for visit in shop.visits} == {False}
    run = asks(crawl, made, {"proxy_pool": "own"}, f"{shop.url}p/own")
    assert [visit.address for visit in shop.visits if visit.path == "/p/own"] == [OWN]
    assert [row["pool"] for row in run.rows()] == ["own"]


def test_a_sticky_key_is_one_identity_and_a_fresh_request_one_of_its_own(
    crawl: Callable[..., Any], gateway: Gateway, shop: Site, tmp_path: Path
) -> None:
    made, urls = options(tmp_path, gateway.pool()), [f"{shop.url}p/{n}" for n in range(12)]
    sticky = asks(crawl, made, {"proxy_sticky": "basket"}, *urls)
    assert len({row["identity"] for row in sticky.rows()}) == 1
    assert len({visit.address for visit in shop.visits}) == 1
    assert len(sticky.rows()) == 12
    gateway.asked.clear()
    fresh = asks(crawl, made, {"proxy_fresh": True}, *urls)
    assert len({row["identity"] for row in fresh.rows()}) == 12
    assert len({asked.user for asked in gateway.asked}) == 12


def test_a_redirect_goes_on_as_its_own_identity_whoever_waits_for_one(
    crawl: Callable[..., Any], gateway: Gateway, shop: Site, tmp_path: Path
) -> None:
    urls = "\n".join(f"{shop.url}{way}{n}" for n in range(15) for way in ("cookie", "p/a", "p/b"))
    crawl("site", "-a", f"urls={urls}", *options(tmp_path, gateway.pool())).wait()
    after = {visit.path: visit.cookie for visit in shop.visits if visit.path.startswith("/after_cookie")}
    assert len(after) == 15
    assert [path for path, cookie in after.items() if f"{path.removeprefix('/after_')}=1" not in cookie] == []


def test_a_country_that_is_asked_for_is_asked_of_the_gateway_and_one_that_no_pool_has_is_refused(
    crawl: Callable[..., Any], gateway: Gateway, shop: Site, tmp_path: Path
) -> None:
    made = options(tmp_path, gateway.pool())
    asks(crawl, made, {"proxy_country": "DE"}, f"{shop.url}p/1", f"{shop.url}p/2")
    assert all("-country-de" in asked.user for asked in gateway.asked)
    n_before = len(shop.visits)
    refused = asks(crawl, made, {"proxy_country": "jp"}, f"{shop.url}p/3")
    assert (len(shop.visits), refused.exit_code != 0) == (n_before, True)
    assert "no pool can be asked for jp" in (refused.run_dir / "failed.jsonl").read_text()
