"""Pools: what proxies.toml may say, and the endpoint that comes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.errors import ConfigError
from scraper.proxies.endpoints import Endpoint, parse_endpoint
from scraper.proxies.pools import endpoint_for, parse

GATEWAY: dict[str, Any] = {
    "kind": "gateway",
    "gateway": "http://gate.example:7777",
    "username": "customer-me",
    "country_part": "-country-{country}",
    "session_part": "-session-{session}-sesstime-{minutes}",
    "session_minutes": 10,
    "password": "example",
    "usd_per_gb": 3,
    "countries": ["US", "de"],
}


def gateway(**changes: Any) -> dict[str, Any]:
    return {"pools": {"home": {**GATEWAY, **changes}}}


def test_a_gateway_username_carries_country_and_session() -> None:
    (pool,) = parse(gateway(), "proxies.toml")
    endpoint = endpoint_for(pool, "de", "abc12345")
    assert endpoint == Endpoint(
        "http", "gate.example", 7777, "customer-me-country-de-session-abc12345-sesstime-10", "example"
    )
    assert endpoint_for(pool, "", "s1").user == "customer-me-session-s1-sesstime-10"
    assert pool.countries == ("us", "de")


def test_pools_come_cheapest_first_and_a_direct_pool_has_no_endpoint() -> None:
    table = {
        "pools": {
            "dear": GATEWAY,
            "cheap": {"kind": "list", "usd_per_gb": 0.5, "proxies": ["http://10.0.0.1:80"]},
            "own": {"kind": "direct"},
        }
    }
    pools = parse(table, "proxies.toml")
    assert [pool.name for pool in pools] == ["own", "cheap", "dear"]
    assert endpoint_for(pools[0], "", "s") is None
    assert endpoint_for(pools[1], "de", "s", 5) == Endpoint("http", "10.0.0.1", 80)


def test_no_repr_shows_a_secret() -> None:
    (pool,) = parse(gateway(password="canary-example"), "proxies.toml")
    assert "canary-example" not in repr(pool)
    assert "canary-example" not in repr(endpoint_for(pool, "", "s"))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"kind": "gatway"}, "gatway"),
        ({"usd_per_gb": "3"}, "usd_per_gb"),
        ({"usd_per_gb": -1}, "usd_per_gb"),
        ({"usd_per_gb": True}, "usd_per_gb"),
        ({"countries": ["usa"]}, "countries"),
        ({"countries": "us"}, "countries"),
        ({"country_part": "-c"}, "{country}"),
        ({"session_part": "-s"}, "{session}"),
        ({"session_part": "-s-{session}-{ttl}"}, "{minutes}"),
        ({"session_minutes": 0}, "session_minutes"),
        ({"gateway": "socks5://gate.example:1"}, "socks5"),
        ({"gateway": "http://gate.example"}, "port"),
        ({"gateway": "http://gate.example:99999"}, "gateway"),
        ({"gateway": "http://user:example@gate.example:1"}, "credentials"),
        ({"intercepts": "yes"}, "intercepts"),
        ({"usd_per_bg": 1}, "usd_per_gb"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_the_way_out(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=names.replace("{", r"\{")):
        parse(gateway(**changes), "proxies.toml")


@pytest.mark.parametrize(
    "table", [{}, {"pools": {}}, {"pool": {}}, {"pools": {"a": 1}}, {"pools": {"a": {}}}]
)
def test_a_file_without_a_usable_pool_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse(table, "proxies.toml")


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@given(user=TEXT, password=TEXT, port=st.integers(1, 65535))
def test_credentials_survive_the_url_whatever_they_hold(user: str, password: str, port: int) -> None:
    from urllib.parse import quote

    line = f"http://{quote(user, safe='')}:{quote(password, safe='')}@proxy.example:{port}"
    assert parse_endpoint(line, "list") == Endpoint("http", "proxy.example", port, user, password)


@pytest.mark.parametrize(
    "line",
    [
        "gate.example:9000:user:canary-example",
        "http://user:canary/example@gate.example:1",
        "http://user:canary#example@gate.example:1",
        "http://user:canary?example@gate.example:1",
        "http://canary-example@gate.example",
        "http://user:canary-example@gate.example:99999",
        "socks5://user:canary-example@gate.example:1",
        "http://user:canary-example@[gate:1",
        "http://user:canary-example@gate\u2100.example:1",
    ],
)
def test_no_error_about_a_proxy_shows_its_secret(line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_endpoint(line, "proxies.toml: pools.dc, proxy 1")
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_misspelt_key_is_named_without_its_value() -> None:
    with pytest.raises(ConfigError, match="did you mean password") as caught:
        parse(gateway(pasword="canary-example"), "proxies.toml")
    assert "canary-example" not in str(caught.value)


def test_an_error_in_a_proxy_line_names_its_number_and_not_its_secret() -> None:
    table = {
        "pools": {
            "dc": {
                "kind": "list",
                "usd_per_gb": 1,
                "proxies": ["http://a.example:1", "http://u:canary-example@b"],
            }
        }
    }
    with pytest.raises(ConfigError, match="proxy 2") as caught:
        parse(table, "proxies.toml")
    assert "canary-example" not in str(caught.value)
