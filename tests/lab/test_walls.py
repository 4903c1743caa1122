"""The world "walls": each site refuses servers in its own form, and a reset takes back what the client never got."""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from scraper.lab import walls
from scraper.lab.answers import Visit
from scraper.lab.exits import direct_exit
from scraper.lab.options import LabOptions
from scraper.lab.process import LabProcess, start

STATUSES = {"gzip": 200, "br": 200, "zstd": 200, "moved": 302, "detour": 302, "status202": 202, "status405": 405,
            "status999": 999, "json": 403, "json2": 403, "refresh": 200, "refresh2": 200, "empty": 200,
            "mitigated-http": 403, "mitigated-https": 403}  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProcess]:
    folder = tmp_path_factory.mktemp("walls")
    with start(folder, pages=1, world="walls") as running:
        yield running
    assert (folder / "lab.log").read_text() == ""


@pytest.mark.parametrize(("label", "status"), STATUSES.items())
def test_a_server_meets_the_wall_and_a_home_the_page(
    lab: LabProcess, client_for: Any, label: str, status: int
) -> None:
    url = lab.info["sites"][label]["start_url"]
    refused = client_for(lab, "datacentre").get(url, accept="gzip, br, zstd")
    assert refused.status == status
    if label in ("gzip", "br", "zstd"):
        assert refused.headers["Content-Encoding"] == label
    assert "All products" not in refused.text
    if location := refused.headers["Location"]:
        assert client_for(lab, "datacentre").get(url.rstrip("/") + location).status == 200
    page = client_for(lab, "residential", "customer-lab-session-one").get(url)
    assert page.status == 200
    assert "All products" in page.text


def test_the_hostile_site_never_serves_half_of_its_products() -> None:
    shop = walls.HostileShop("hostile", LabOptions(pages=2))
    found: dict[str, set[str]] = {}
    for product in shop.products:
        visits = [Visit(product.path, {}, {}, direct_exit(), 0.0) for _ in range(40)]
        found[product.path] = {shop.answer(visit).what for visit in visits}
    never = [what for what in found.values() if "product" not in what]
    assert len(never) == len(shop.products) / 2
    assert set().union(*found.values()) >= {"block", "captcha", "rate", "fault", "product"}
    again = walls.HostileShop("hostile", LabOptions(pages=2))
    path = Random(1).choice(shop.products).path
    assert {again.answer(Visit(path, {}, {}, direct_exit(), 0.0)).what for _ in range(40)} == found[path]


@pytest.mark.skipif(sys.platform != "linux", reason="counted by Linux only")
def test_what_a_client_that_resets_never_got_is_not_on_its_bill(lab: LabProcess, client_for: Any) -> None:
    client = client_for(lab, "datacentre")
    url = lab.info["sites"]["mitigated-http"]["start_url"]
    before = lab.truth()["pools"]["datacentre"]["bytes_down"]
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, _, port = client.proxy.partition(":")
        sock.connect((host, int(port)))
        sock.sendall(f"GET {url} HTTP/1.1\r\n{client.authorization()}\r\n\r\n".encode())
        got = len(sock.recv(1000))
        time.sleep(0.3)  # the kernel takes what it has room for
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    time.sleep(0.3)
    size = lab.served()[-1]["size"]
    down = lab.truth()["pools"]["datacentre"]["bytes_down"] - before
    assert size > 200_000
    assert got <= down <= 40_000
