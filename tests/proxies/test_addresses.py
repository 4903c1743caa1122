"""Private targets are recognised however they are written."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.proxies.addresses import is_private_address, is_private_host


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "shop.localhost", "LOCALHOST.", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
        "0", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "[::1]", "::1",
        "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1%eth0]", "[fd00::1]",
    ],
)  # fmt: skip
def test_private_hosts_are_refused(host: str) -> None:
    assert is_private_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "8.8.8.8",
        "1.1.1.1",
        "[2606:4700::1111]",
        "localhost.example.com",
        "10.example",
        "0x.example",
    ],
)
def test_public_hosts_are_not(host: str) -> None:
    assert not is_private_host(host)


@given(st.ip_addresses(v=4))
def test_every_old_spelling_of_an_ipv4_address_is_judged_like_the_address(
    address: ipaddress.IPv4Address,
) -> None:
    number = int(address)
    a, rest = number >> 24, number & 0xFFFFFF
    for text in (str(number), hex(number), f"{a}.{rest}", f"0{a:o}.{rest}" if a else f"0.{rest}"):
        assert is_private_host(text) == is_private_address(str(address))
