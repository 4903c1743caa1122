"""Pools: what proxies.toml may say, and the endpoint that comes of it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from scraper.errors import ConfigError
from scraper.proxies import sources
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.grammar import Wish, usual
from scraper.proxies.pools import Pool, endpoint_for, headers_for, parse

PROVIDERS = sources.providers()
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
HOME: dict[str, Any] = {
    "provider": "oxylabs",
    "username": "me",
    "password": "canary-example",
    "usd_per_gb": 4.0,
    "countries": ["us", "de"],
}


def gateway(**changes: Any) -> dict[str, Any]:
    return {"pools": {"home": {**GATEWAY, **changes}}}


def home(**changes: Any) -> Pool:
    """The pool of HOME with ``changes``; None takes a key away."""
    entry = {key: value for key, value in {**HOME, **changes}.items() if value is not None}
    (pool,) = parse({"pools": {"home": entry}}, "proxies.toml", PROVIDERS)
    return pool


def user(pool: Pool, country: str = "", session: str = "s1") -> str:
    endpoint = endpoint_for(pool, country, session)
    assert endpoint is not None
    return endpoint.user


def test_a_gateway_username_carries_country_and_session() -> None:
    (pool,) = parse(gateway(), "proxies.toml")
    endpoint = endpoint_for(pool, "de", "abc12345")
    assert endpoint == Endpoint(
        "http", "gate.example", 7777, "customer-me-country-de-session-abc12345-sesstime-10", "example"
    )
    assert user(pool) == "customer-me-session-s1-sesstime-10"
    assert pool.countries == ("us", "de")
    assert parse(gateway(provider="generic"), "proxies.toml") == (pool,)


def test_pools_come_cheapest_first_and_a_direct_pool_has_no_endpoint() -> None:
    table = {
        "pools": {
            "dear": GATEWAY,
            "cheap": {"provider": "list", "usd_per_gb": 0.5, "proxies": ["http://10.0.0.1:80"]},
            "own": {"kind": "direct"},
        }
    }
    pools = parse(table, "proxies.toml")
    assert [pool.name for pool in pools] == ["own", "cheap", "dear"]
    assert endpoint_for(pools[0], "", "s") is None
    assert endpoint_for(pools[1], "de", "s", 5) == Endpoint("http", "10.0.0.1", 80)
    assert pools[1].kind == "list"


def test_a_provider_brings_gateway_grammar_price_and_times() -> None:
    pool = home()
    assert endpoint_for(pool, "de", "abc") == Endpoint(
        "http", "pr.oxylabs.io", 7777, "customer-me-cc-DE-sessid-abc-sesstime-10", "canary-example"
    )
    assert (pool.kind, pool.usd_per_gb, pool.session_s, pool.idle_s) == ("gateway", 4.0, 600.0, 60.0)
    thordata = home(provider="thordata", usd_per_gb=None)
    assert (thordata.usd_per_gb, thordata.idle_s) == (2.0, 90.0), (
        "its dearest tier, where the pool names none"
    )
    iproyal = endpoint_for(home(provider="iproyal"), "de", "abcd1234")
    assert iproyal is not None
    assert (iproyal.user, iproyal.password) == (
        "me",
        "canary-example_country-de_session-abcd1234_lifetime-10m",
    )
    assert headers_for(home(provider="soax", username=None, package="12"), "de", "a") == {
        "respond-with": "ip,country,region,city,isp,asn"
    }


def test_a_user_name_may_be_written_with_or_without_what_the_provider_puts_before_it() -> None:
    assert user(home(username="customer-me")) == user(home(username="me"))
    parts = home(provider="brightdata", username=None, customer="c1", zone="residential")
    assert user(parts, "us", "a1") == "brd-customer-c1-zone-residential-country-us-session-a1"


def test_a_pool_can_be_fixed_to_a_place() -> None:
    pool = home(countries=["us"], region="us_california")
    assert user(pool) == "customer-me-cc-US-st-us_california-sessid-s1-sesstime-10", "its country with it"
    decodo = home(provider="decodo", countries=["us"], city="New York")
    assert user(decodo) == "user-me-country-us-city-new_york-session-s1-sessionduration-10"


def test_a_strict_pool_asks_for_no_other_exit() -> None:
    assert user(home(strict=True), "us") == "customer-me-cc-US-sessid_oneip-s1"
    assert user(home(strict=False), "us") == "customer-me-cc-US-sessid-s1-sesstime-10"


def test_sessions_can_be_ports() -> None:
    pool = home(session_ports=[10000, 10099])
    assert endpoint_for(pool, "us", "10007") == Endpoint(
        "http", "pr.oxylabs.io", 10007, "customer-me-cc-US", "canary-example"
    )
    generic = parse(gateway(session_part="", session_ports=[20001, 20010]), "proxies.toml")[0]
    assert endpoint_for(generic, "de", "20003") == Endpoint(
        "http", "gate.example", 20003, "customer-me-country-de", "example"
    )


def test_a_list_pool_may_name_whose_refusals_it_will_hear() -> None:
    entry = {"kind": "list", "provider": "webshare", "usd_per_gb": 1, "proxies": ["http://10.0.0.1:80"]}
    (pool,) = parse({"pools": {"dc": entry}}, "proxies.toml", PROVIDERS)
    assert pool.provider.refusals == PROVIDERS["webshare"].refusals
    assert endpoint_for(pool, "", "s") == Endpoint("http", "10.0.0.1", 80)


def test_the_same_text_makes_an_equal_pool_so_that_a_reload_sees_what_changed() -> None:
    assert home() == home()
    assert home() != home(threads=10)
    assert home() != home(password="other-example")
    assert home(threads=100).threads == 100
    assert home(on_request=True).on_request


def test_no_repr_shows_a_secret() -> None:
    for pool in (home(), *parse(gateway(password="canary-example"), "proxies.toml")):
        assert "canary-example" not in repr(pool)
        assert "canary-example" not in repr(endpoint_for(pool, "", "s"))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"kind": "gatway"}, "did you mean gateway"),
        ({"usd_per_gb": "3"}, "usd_per_gb"),
        ({"usd_per_gb": -1}, "usd_per_gb"),
        ({"usd_per_gb": True}, "usd_per_gb"),
        ({"usd_per_gb": float("nan")}, "usd_per_gb"),
        ({"countries": ["usa"]}, "countries"),
        ({"countries": "us"}, "countries"),
        ({"countries": ["us", "XX"]}, "pools.home.countries: 'xx' is no country code (ISO 3166-1)"),
        ({"countries": ["us", "uk"]}, "pools.home.countries: 'uk' is written gb"),
        ({"countries": ["eu"]}, "'eu' is no country code"),
        ({"country_part": "-c"}, "{country}"),
        ({"country_part": "-c-{country}-{x}"}, "may hold {country}"),
        ({"session_part": "-s"}, "{session}"),
        ({"session_part": "-s-{session}-{ttl}"}, "{minutes}"),
        ({"session_minutes": 0}, "session_minutes"),
        ({"session_minutes": True}, "session_minutes"),
        ({"session_ports": [10, 1]}, "[first, last]"),
        ({"gateway": "ftp://gate.example:1"}, "ftp"),
        ({"gateway": "http://gate.example"}, "port"),
        ({"gateway": "http://gate.example:99999"}, "gateway"),
        ({"gateway": "http://user:example@gate.example:1"}, "credentials"),
        ({"intercepts": "yes"}, "intercepts"),
        ({"threads": -1}, "threads"),
        ({"on_request": 1}, "on_request"),
        (
            {"usd_per_bg": 1},
            "pools.home.usd_per_bg: is not a key of this pool; did you mean usd_per_gb? known: ",
        ),
        ({"provider": "list"}, "does not go with provider list"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_the_way_out(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(names)):
        parse(gateway(**changes), "proxies.toml")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"provider": "oxylab"}, "did you mean oxylabs? must be one of brightdata, "),
        ({"provider": "nobody"}, "or a file of yours, like ./my-provider.toml"),
        ({"session_minutes": 2000}, "must be whole minutes, 1 to 1440, for oxylabs"),
        ({"provider": "thordata", "session_minutes": 91}, "1 to 90, for thordata"),
        ({"strict": True, "session_minutes": 30}, "minutes, 1 to 10, for oxylabs with strict = true"),
        (
            {"session_ports": [10000, 10009], "session_minutes": 11},
            "1 to 10, for oxylabs with session_ports",
        ),
        ({"session_ports": [9000, 10009]}, "[first, last] between 10000 and 49999 for oxylabs"),
        ({"provider": "thordata", "session_ports": [1, 2]}, "thordata is not known to give ports"),
        ({"strict": True, "session_ports": [10000, 10009]}, "leave out session_ports"),
        (
            {"provider": "thordata", "strict": True},
            "pools.home.strict = True: thordata has no `strict` (oxylabs has); leave it out",
        ),
        ({"countries": ["us", "de"], "city": "berlin"}, "one country only, beside city"),
        ({"countries": ["us"], "region": "texas"}, "us_california"),
        ({"zip": "10001"}, "known: city, countries"),
        ({"session_part": "-x-{session}"}, "known: city, countries"),
        ({"username": None}, "username: is missing; the user for oxylabs is customer-{username}"),
        (
            {"password": None},
            'password: is missing; write password = "${OXYLABS_PASSWORD}" or password_file = "..."',
        ),
        ({"password": ""}, "password: is empty; write"),
        (
            {"usd_per_gb": None},
            "usd_per_gb: no price is known for oxylabs: write what you pay, as usd_per_gb = 4.0",
        ),
        (
            {"provider": "thordata", "gateway": "socks5://gate.example:1"},
            "gateway = 'socks5://...': thordata does not take socks5; it takes http, socks5h",
        ),
        ({"provider": "netnut", "countries": ["us"], "city": "houston"}, "only together with region"),
    ],
)
def test_a_wrong_value_for_a_provider_is_refused_with_the_allowed_ones(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        home(**changes)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "table", [{}, {"pools": {}}, {"pool": {}}, {"pools": {"a": 1}}, {"pools": {"a": {}}}]
)
def test_a_file_without_a_usable_pool_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse(table, "proxies.toml")


def test_a_misspelt_key_is_named_without_its_value() -> None:
    with pytest.raises(
        ConfigError, match="pasword: is not a key of this pool; did you mean password"
    ) as caught:
        parse(gateway(pasword="canary-example"), "proxies.toml")
    assert "canary-example" not in repr(caught.value)
    assert "not shown" not in str(caught.value), "which would read as if the value were wrong"


def test_a_code_that_is_no_countrys_may_stand_in_the_file_of_the_provider_that_knows_it() -> None:
    value = replace(usual("country"), alias=(("eu", "eu"), ("gb", "uk")))
    own = replace(PROVIDERS["oxylabs"], values=(("country", value),))
    entry = {**HOME, "countries": ["eu", "uk", "gb", "XK"]}
    (pool,) = parse({"pools": {"home": entry}}, "proxies.toml", {"oxylabs": own})
    assert pool.countries == ("eu", "gb", "xk")
    assert user(pool, "gb") == "customer-me-cc-uk-sessid-s1-sesstime-10"


@pytest.mark.parametrize("lines", [["http://a.example:1", "http://u:canary-example@b"], "canary-example", 7])
def test_an_error_in_a_list_names_its_line_and_not_its_secret(lines: Any) -> None:
    table = {"pools": {"dc": {"kind": "list", "usd_per_gb": 1, "proxies": lines}}}
    with pytest.raises(
        ConfigError, match="line 2" if isinstance(lines, list) else "must be a list"
    ) as caught:
        parse(table, "proxies.toml")
    assert "canary-example" not in str(caught.value)


def test_what_a_gateway_pool_asks_for_is_one_wish() -> None:
    assert home(countries=["us"], city="boston").target == Wish("us", city="boston", minutes=10)
    assert home(provider="netnut").target == Wish(), "no time is sent where the provider takes none"
    assert home(provider="netnut", countries=["uk", "de"]).countries == ("gb", "de")
