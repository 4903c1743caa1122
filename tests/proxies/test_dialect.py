"""What a gateway is asked for: written in every provider's own way, and read back as the same wish."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.errors import ConfigError
from scraper.proxies import provider_file, sources
from scraper.proxies.dialect import Provider, generic
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.grammar import Grammar, Value, Wish

PROVIDERS = sources.providers()
# Nobody's: what the ten do not use, the host and headers that carry a wish, and a grammar with an opening.
ODD = provider_file.parse(
    {
        "title": "Odd",
        "source": "this test",
        "date": "2026-01-01",
        "host": "{country}.gate.example",
        "headers": {"x-session": "{session}", "x-fixed": "yes"},
        "grammar": {
            "opening": "+",
            "between": ",",
            "parts": [["asn={asn}"], ["at={city}/{region}", "at={city}"], ["t={seconds}"]],
        },
        "values": {
            "city": {"pattern": "[a-z-]+", "allowed": "letters, spaces", "space": "-", "upper": True},
            "region": {"needs": ["city"]},
        },
    },
    "odd",
    "odd.toml",
)
SPEAKING = {name: each for name, each in PROVIDERS.items() if each.fields} | {
    "odd": ODD,
    "generic": generic("-country-{country}", "-session-{session}-sesstime-{minutes}"),
    "oxylabs, strict": PROVIDERS["oxylabs"].strictly(),
    "oxylabs, ports": PROVIDERS["oxylabs"].over_ports(10000, 49999),
    "dataimpulse, ports": PROVIDERS["dataimpulse"].over_ports(10000, 10100),
}
SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)


@st.composite
def wishes(draw: st.DrawFn, provider: Provider) -> Wish:
    """Any wish that the provider can be asked for, with its session."""
    asked = {name for name in provider.targets if draw(st.booleans())}
    while missing := {need for name in asked for need in provider.value(name).needs} - asked:
        asked |= missing
    fixed: dict[str, Any] = {}
    for name in sorted(asked):
        value = provider.value(name)
        texts = st.from_regex(f"(?a:{value.pattern})", fullmatch=True).map(value.plain)
        fixed[name] = draw(texts.filter(value.fits))
    wish = Wish(**fixed, session=provider.session(random.Random(draw(st.integers(0, 99)))))
    if provider.fields & {"minutes", "seconds"}:
        rules = provider.sessions
        minutes = draw(st.integers(rules.shortest, rules.longest or 9999))
        wish = Wish(**fixed, session=wish.session, minutes=minutes)
    return wish


def test_ten_providers_speak_and_a_list_does_not() -> None:
    ten = {name for name, each in PROVIDERS.items() if each.gateway and "session" in each.fields}
    assert len(ten) == 10
    assert set(PROVIDERS) - ten == {"list", "generic"}


@pytest.mark.parametrize("name", SPEAKING)
@given(data=st.data(), user=SECRET, password=SECRET)
def test_what_is_built_reads_back_as_the_same_wish(
    name: str, data: st.DataObject, user: str, password: str
) -> None:
    provider = SPEAKING[name]
    base = Endpoint("http", "gate.example", 823, user, password)
    wish = data.draw(wishes(provider))
    checkable = Wish(wish.country, wish.region, wish.city, wish.asn, wish.isp, wish.zip)
    assert provider.checked(checkable, "pools.home") == checkable
    assert provider.read(provider.build(base, wish), base, provider.connect_headers(wish)) == wish


@pytest.mark.parametrize(
    ("name", "wish", "user", "password"),
    [
        (
            "thordata",
            Wish("us", "texas", "houston", "701", session="a1", minutes=30),
            "U-country-us-state-texas-city-houston-asn-AS701-sessid-a1-sesstime-30",
            "P",
        ),
        ("brightdata", Wish("us", "new york", session="a1"), "U-country-us-state-new_york-session-a1", "P"),
        (
            "oxylabs",
            Wish("us", "us_california", session="a1", minutes=5),
            "U-cc-US-st-us_california-sessid-a1-sesstime-5",
            "P",
        ),
        ("oxylabs, strict", Wish("de", session="a1"), "U-cc-DE-sessid_oneip-a1", "P"),
        (
            "decodo",
            Wish("us", city="new york", session="a1", minutes=10),
            "U-country-us-city-new_york-session-a1-sessionduration-10",
            "P",
        ),
        (
            "iproyal",
            Wish("us", session="a1b2c3d4", minutes=30),
            "U",
            "P_country-us_session-a1b2c3d4_lifetime-30m",
        ),
        (
            "soax",
            Wish("us", city="new york", isp="verizon wireless", session="a1", minutes=5),
            "U-country-us-city-new+york-isp-verizon+wireless-sessionid-a1-sessionlength-300",
            "P",
        ),
        ("netnut", Wish(session="12"), "U-res-any-sid-12", "P"),
        ("netnut", Wish("gb", session="12"), "U-res-uk-sid-12", "P"),
        ("netnut", Wish("us", "texas", "houston", session="12"), "U-res_sc-us_texas_houston-sid-12", "P"),
        ("webshare", Wish("us", session="1234"), "U-us-1234", "P"),
        ("webshare", Wish(city="los angeles"), "U-city_los_angeles-rotate", "P"),
        (
            "dataimpulse",
            Wish("us", "x", "y", "1", session="123", minutes=60),
            "U__cr.us;state.x;city.y;asn.1;sessid.123;sessttl.60",
            "P",
        ),
        ("nodemaven", Wish("us", session="a1", minutes=10), "U-country-us-sid-a1-ttl-10m", "P"),
    ],
)
def test_every_provider_is_asked_in_its_documented_words(
    name: str, wish: Wish, user: str, password: str
) -> None:
    built = SPEAKING[name].build(Endpoint("http", "gate.example", 7, "U", "P"), wish)
    assert (built.user, built.password) == (user, password)


def test_a_port_can_stand_for_the_session() -> None:
    provider = SPEAKING["oxylabs, ports"]
    session = provider.session(random.Random(5))
    built = provider.build(Endpoint("http", "g.example", 7777, "U", "P"), Wish("us", session=session))
    assert (built.port, built.user) == (int(session), "U-cc-US")
    assert 10000 <= built.port <= 49999


def test_host_and_headers_can_carry_a_wish() -> None:
    wish = Wish("de", session="abc", minutes=2)
    built = ODD.build(Endpoint("http", "gate.example", 7, "U"), wish)
    assert (built.host, built.user) == ("de.gate.example", "U+t=120")
    assert ODD.connect_headers(wish) == {"x-session": "abc", "x-fixed": "yes"}
    assert PROVIDERS["soax"].connect_headers(wish) == {"respond-with": "ip,country,region,city,isp,asn"}


@pytest.mark.parametrize("name", SPEAKING)
def test_sessions_keep_to_alphabet_and_length_and_differ(name: str) -> None:
    provider, chance = SPEAKING[name], random.Random(1)
    made = [provider.session(chance) for _ in range(300)]
    assert len(set(made)) == 300 or provider.by_port
    for session in made if not provider.by_port else ():
        assert len(session) == provider.sessions.length
        assert set(session) <= set(provider.sessions.alphabet)
        assert session[0] != "0", "a number with a leading 0 may be read as another"


@pytest.mark.parametrize("name", SPEAKING)
@pytest.mark.parametrize("text", ["canary-example", "U-canary=example", "U_canary=example"])
def test_what_somebody_else_wrote_is_not_read_as_ours_and_never_shown(name: str, text: str) -> None:
    base = Endpoint("http", "g.example", 1, "U", "U")
    with pytest.raises(ValueError, match=r"^not ") as caught:
        SPEAKING[name].read(Endpoint("http", "g.example", 1, text, text), base)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "wish", "says"),
    [
        (
            "iproyal",
            Wish(zip="10001"),
            "iproyal cannot be asked for it; it can for: country, region, city, isp",
        ),
        ("thordata", Wish("us", city="new york"), "letters, digits and _"),
        ("thordata", Wish(asn="701"), "only together with one code in countries"),
        ("thordata", Wish("us", asn="AS701"), "the digits of a network number"),
        ("netnut", Wish("us", city="houston"), "only together with region"),
        ("oxylabs", Wish("us", "california"), "us_california"),
        ("iproyal", Wish("us", city="new_york"), "letters and digits"),
    ],
)
def test_a_wish_that_the_provider_would_not_understand_is_refused(name: str, wish: Wish, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        PROVIDERS[name].checked(wish, "pools.home")


def test_texts_that_run_into_each_other_are_refused() -> None:
    muddled = Provider(
        "own", grammar=Grammar((("-{city}",), ("-{isp}",))), values=(("city", Value("[a-z-]+")),)
    )
    assert muddled.checked(Wish(city="rome"), "w").city == "rome"
    with pytest.raises(ConfigError, match="would read these together as something else"):
        muddled.checked(Wish(city="rome", isp="tim"), "w")


def test_which_fields_make_another_exit_is_the_providers_business() -> None:
    one, other = Wish("us", session="a1", minutes=10), Wish("us", session="a1", minutes=20)
    assert PROVIDERS["oxylabs"].same_exit(one, other)
    assert not PROVIDERS["nodemaven"].same_exit(one, other), "there, every parameter is part of the session"
    assert not PROVIDERS["oxylabs"].same_exit(Wish("us"), Wish("us")), (
        "without a session every exit is another"
    )
