"""A proxy line and lists of very many: the short way reads as the long one does, and nothing shows a secret."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scraper.errors import ConfigError
from scraper.proxies.endpoints import SCHEMES, Endpoint, EndpointList, parse_endpoint

PIECES = st.lists(
    st.sampled_from(
        ["http", "HTTPS", "socks5", "socks5h", "ftp", "://", ":", "@", "/", "user", "p%40w", "%", "a.b-c_d", "1.2.3.4",
         "[::1]", "[", "8080", "0", "080", "65535", "65536", "99999", "٣", "é", "\t", " ", "?", "#", "", "=", "%0A", "K"]
    ),
    max_size=9,
).map("".join)  # fmt: skip
TEXT = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=12
)


@given(line=PIECES)
@example(line="http://user:example@proxy.example:65536")
@example(line="HTTP://User:example@Proxy.Example:80/")
@example(line="user:example@proxy.example:8080")
def test_a_list_reads_a_line_as_parse_endpoint_does(line: str) -> None:
    line = line.strip()
    if not line or line.startswith("#"):
        assert not len(EndpointList.parse([line], "list"))
        return
    assert outcome(lambda: EndpointList.parse([line], "list")[0]) == outcome(
        lambda: parse_endpoint(line, "list, line 1")
    )


def outcome(read: Callable[[], Endpoint]) -> Endpoint | str:
    try:
        return read()
    except ConfigError as error:
        return str(error)


@given(
    scheme=st.sampled_from(SCHEMES),
    user=TEXT,
    password=TEXT,
    host=st.sampled_from(["proxy.example", "10.0.0.1", "::1"]),
    port=st.integers(1, 65535),
)
def test_what_is_written_as_a_line_comes_back(
    scheme: str, user: str, password: str, host: str, port: int
) -> None:
    shown = f"[{host}]" if ":" in host else host
    line = f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{shown}:{port}"
    endpoint = Endpoint(scheme, host, port, user, password)
    assert parse_endpoint(line, "list") == endpoint
    assert list(EndpointList.parse([line], "list")) == [endpoint] == list(EndpointList([endpoint]))


LINES = ["# ours", "", "a.example:1", " b.example:2 ", "http://A.example:1/", "socks5h://u:p%40w@c.example:3"]


def test_comments_and_blank_lines_are_none_and_a_proxy_stands_once() -> None:
    endpoints = EndpointList.parse(LINES, "list")
    assert list(endpoints) == [
        Endpoint("http", "a.example", 1),
        Endpoint("http", "b.example", 2),
        Endpoint("socks5h", "c.example", 3, "u", "p@w"),
    ]
    assert endpoints.duplicates == 1


def test_a_list_is_a_sequence_and_equal_by_what_it_holds() -> None:
    endpoints = EndpointList.parse(LINES, "list")
    assert endpoints == EndpointList.parse(LINES[2:], "reloaded")
    assert hash(endpoints) == hash(EndpointList.parse(LINES[2:], "reloaded"))
    assert endpoints != EndpointList.parse(LINES[3:4], "list")
    assert endpoints != EndpointList.parse(reversed(LINES), "list")
    assert endpoints[-1] == endpoints[2]
    assert endpoints[-3] == endpoints[0]
    assert list(endpoints[1:]) == list(endpoints)[1:]
    assert list(reversed(endpoints)) == list(endpoints)[::-1]
    for index in (3, -4):
        with pytest.raises(IndexError):
            endpoints[index]
    assert not EndpointList()


def test_a_list_shows_no_proxy() -> None:
    assert repr(EndpointList.parse(LINES, "list")) == "<EndpointList of 3>"
    assert "example" not in repr(Endpoint("http", "host", 1, "user-example", "example"))


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("gate.test:9000:user:canary", "host:port:user:password"),
        ("http://user:canary/x@gate.test:1", "is not scheme"),
        ("http://canary/x@gate.test:1", "a host or a port"),
        ("http://user:canary@gate.test:1/x", "no path"),
        ("http://user:canary#x@gate.test:1", "%23"),
        ("http://user:canary?x@gate.test:1", "%3F"),
        ("http://canary@gate.test", "port"),
        ("http://canary@gate.test:0", "port"),
        ("http://user:canary@gate.test:99999", "is not scheme"),
        ("http://user:canary@[gate:1", "is not scheme"),
        ("http://user:canary@gate\u2100.test:1", "is not scheme"),
        ("http://user:canary%0A@gate.test:1", "control character"),
        ("socks4://user:canary@gate.test:1", "'socks4'.*http, https, socks5, socks5h"),
        ("canary:x@y://gate.test:1", "not shown.*http, https, socks5, socks5h"),
    ],
)
def test_an_error_names_the_line_by_its_number_and_shows_nothing_of_it(line: str, names: str) -> None:
    with pytest.raises(ConfigError, match=names) as caught:
        EndpointList.parse(["# ours", "a.example:1", line], "pools.dc")
    assert str(caught.value).startswith("pools.dc, line 3 = ")
    assert "canary" not in repr(caught.value)
    assert "gate" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_list_takes_well_below_100_bytes_for_each() -> None:
    lines = (f"http://user{n}:example{n}@10.{n >> 8 & 255}.{n & 255}.1:8080" for n in range(20_000))
    tracemalloc.start()
    endpoints = EndpointList.parse(lines, "list")
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(endpoints) == 20_000
    assert used / len(endpoints) < 80
