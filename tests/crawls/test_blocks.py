"""Whatever form a block has, it reaches no callback, no store and no cache; the page is then got through another exit."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest

from scraper.lab.process import LabProcess, start

SPIDERS = {"PYTHONPATH": str(Path(__file__).parent)}
# site of the lab's world "walls" -> how the rule begins that knows its wall
RULES = {
    "gzip": "imperva",
    "br": "anubis",
    "zstd": "amazon",
    "moved": "redirect_to_",
    "detour": "perimeterx",
    "status202": "aws_waf",
    "status405": "aws_waf",
    "status999": "linkedin_999",
    "json": "datadome",
    "json2": "perimeterx",
    "refresh": "akamai",
    "refresh2": "",  # a captcha that may be known by several marks
    "empty": "empty_page",
    "mitigated-http": "cloudflare_challenge",
    "mitigated-https": "cloudflare_challenge",
}
REFUSALS = ("block", "captcha")  # words of the lab's truth
OURS = (b"sells nothing", b"User-agent:")  # what the shops' own pages say, and their robots.txt

# Bytes at the gateway of a block that its headers show. One segment: the most that the loopback device carries at once
# (MTU 65,536 less the heads of IP and TCP with their options).
SEGMENT = 65_483
HEADERS = {"http": 1_500, "https": 6_000}  # with TLS: the tunnel's own answer and the handshake
BLOCKS = 10


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProcess]:
    folder = tmp_path_factory.mktemp("walls")
    with start(folder, pages=1, world="walls", datacentre_exits=BLOCKS + 2) as running:
        yield running
    assert (folder / "lab.log").read_text() == ""


def options(lab: LabProcess, proxies: Path | str = "", **settings: Any) -> list[str]:
    """A crawl of the lab at full speed that asks the cheapest pool first, at every site."""
    given = {
        "PROXIES_FILE": proxies or lab.info["proxies"],
        "PROXY_STRATEGY": "ladder",
        "ALLOW_PRIVATE_ADDRESSES": 1,
        "TLS_CA_FILE": lab.info["ca"],
        "DOWNLOAD_DELAY": 0,
        "BAN_FAULT_WAIT_S": 0.01,
        "SPIDER_MODULES": "spiders_of_blocks",
        **settings,
    }
    return [word for name, value in given.items() for word in ("-s", f"{name}={value}")]


@pytest.mark.timeout(150)
def test_no_form_of_a_block_reaches_a_callback_a_store_or_the_cache(
    crawl: Callable[..., Any], lab: LabProcess, tmp_path: Path
) -> None:
    urls = ",".join(lab.info["sites"][label]["start_url"] for label in RULES)
    cache = {
        "HTTPCACHE_ENABLED": 1,
        "HTTPCACHE_DIR": tmp_path / "cache",
        "HTTPCACHE_POLICY": "scrapy.extensions.httpcache.DummyPolicy",  # keeps whatever it is given
    }
    run = crawl("sees", "-a", f"urls={urls}", *options(lab, **cache), env=SPIDERS).wait(120)
    assert run.exit_code == 0, run.out + run.err[-3000:]
    truth, served = lab.truth()["sites"], lab.served()
    counted = {site["site"]: site for site in run.report["sites"]}
    seen = run.rows()
    for label, rule in RULES.items():
        host = f"{label}.localhost"
        products = truth[host]["products"].values()
        wanted = {product["path"]: product["title"] for product in products} | {"/": "All products, page 1"}
        found = [row for row in seen if row["site"] == host]
        assert len(found) == len(wanted), (label, found)
        for row in found:  # each page once, and it is the shop's own
            assert row["title"] == f"{wanted[row['path']]} | {label.title()} Shop", label
            assert escape(wanted[row["path"]], quote=False) in row["text"] or row["path"] == "/"

        lines = [line for line in served if line["site"] == host]
        refused = [line for line in lines if line["what"] in REFUSALS]
        assert {line["pool"] for line in refused} == {"datacentre"}, label
        assert {line["pool"] for line in lines if line["what"] == "product"} == {"residential"}, label
        assert not ({line["exit"] for line in refused} & {x["exit"] for x in lines if x["what"] == "product"})
        assert counted[host]["blocked"] == len(refused), label  # every one was known, and nothing else
        assert counted[host]["good"] == len(wanted), label
        assert any(known.startswith(rule) for known in run.report["blocks"]), (label, rule)
    kept = [path.read_bytes() for path in (tmp_path / "cache").rglob("response_body")]
    assert len(kept) >= len(seen)
    assert [body for body in kept if not any(mark in body for mark in OURS)] == []


@pytest.mark.skipif(sys.platform != "linux", reason="what was sent and not taken is counted by Linux only")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_block_in_the_headers_costs_the_gateway_its_headers_and_one_segment(
    crawl: Callable[..., Any], lab: LabProcess, tmp_path: Path, scheme: str
) -> None:
    site = lab.info["sites"][f"mitigated-{scheme}"]["start_url"].rstrip("/")
    products = lab.truth()["sites"][f"mitigated-{scheme}.localhost"]["products"].values()
    proxies = tmp_path / "proxies.toml"
    proxies.write_text(
        f'[pools.datacentre]\nkind = "list"\nfile = "{lab.info["pools"]["datacentre"]["file"]}"\nusd_per_gb = 1\n'
    )
    before, n_served = lab.truth()["pools"]["datacentre"], len(lab.served())
    urls = ",".join(site + product["path"] for product in list(products)[:BLOCKS])
    run = crawl(
        "sees",
        "-a",
        f"urls={urls}",
        *options(lab, proxies, BAN_MAX_ATTEMPTS=1, ROBOTSTXT_OBEY=0),
        env=SPIDERS,
    ).wait()
    assert run.report["given_up"] == {"cloudflare_challenge": BLOCKS}, run.err[-2000:]
    pages = lab.served()[n_served:]
    assert Counter(page["what"] for page in pages) == {"block": BLOCKS}
    assert min(page["size"] for page in pages) > 4 * SEGMENT
    down = settled(lab)["bytes_down"] - before["bytes_down"]
    assert down <= BLOCKS * (HEADERS[scheme] + SEGMENT), f"{down / BLOCKS:.0f} bytes for each"


def settled(lab: LabProcess) -> dict[str, Any]:
    """The books of the datacentre list, once the last reset has come through."""
    books = {}
    while books != (books := lab.truth()["pools"]["datacentre"]):
        time.sleep(0.2)
    return books
