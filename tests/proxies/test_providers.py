"""The providers' files: complete, dated, documented, and refused where they are wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from scraper.errors import ConfigError
from scraper.proxies import provider_file, sources
from scraper.proxies.dialect import Provider

PROVIDERS = sources.providers()
NAMED = {name: each for name, each in PROVIDERS.items() if name not in ("list", "generic")}
DOCS = (Path(__file__).parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")
OWN: dict[str, Any] = {
    "title": "Own",
    "source": "its documentation",
    "date": "2026-01-01",
    "gateway": "http://gate.example:1",
    "grammar": {"parts": [["-c-{country}"], ["-s-{session}"]]},
}


@pytest.mark.parametrize("name", NAMED)
def test_a_file_says_where_its_facts_are_from_and_what_is_not_known(name: str) -> None:
    provider = NAMED[name]
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", provider.date)
    assert provider.source
    assert provider.unknown
    tiers = provider.price.tiers
    assert [usd for _, usd in tiers] == sorted((usd for _, usd in tiers), reverse=True), "dearest first"
    assert [size for size, _ in tiers] == sorted(size for size, _ in tiers)
    assert not tiers or re.fullmatch(r"20\d\d-\d\d-\d\d", provider.price.date), (
        "a price without a date is a rumour"
    )
    assert tiers or any("price" in text for text in provider.unknown)
    assert provider.refusals or any("error table" in text for text in provider.unknown)


@pytest.mark.parametrize("name", NAMED)
def test_the_document_tells_the_same(name: str) -> None:
    provider = NAMED[name]
    (row,) = re.findall(rf"^\| {provider.title} \| `{name}` \|.*$", DOCS, re.MULTILINE)
    assert provider.gateway.removeprefix("http://") in row
    assert provider.place in row
    for usual in provider.targets:
        assert usual in row
    if provider.price.tiers:
        for size, usd in provider.price.tiers:
            assert f"{usd:.2f} from {size:g}" in DOCS, (name, size)
        assert provider.price.date in DOCS


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gatway": "x"}, "own.toml.gatway: is not a key of this file; did you mean gateway? known: "),
        ({"title": 1}, "own.toml: Expected `str`, got `int`"),
        ({"place": "username"}, "must be one of user, password"),
        ({"schemes": ["socks4"]}, "must be one of http, https, socks5, socks5h"),
        ({"gateway": "gate.example"}, "lacks a host or a port"),
        ({"grammar": {"part": []}}, "did you mean parts"),
        ({"grammar": {"parts": [["-c-{contry}"]]}}, "did you mean country"),
        ({"grammar": {"parts": [["-c-{country"]]}}, "write fields as"),
        ({"grammar": {"parts": ["-c-{country}"]}}, "Expected `array`, got `str`"),
        ({"headers": {"x-a": "{sesion}"}}, "did you mean session"),
        ({"values": {"town": {}}}, "known: asn, city, country"),
        ({"values": {"city": {"pattern": "["}}}, "is no regular expression"),
        ({"session": {"lenght": 8}}, "did you mean length"),
        ({"session": {"alphabet": "a"}}, "needs 2 characters"),
        ({"session": {"key": ["sid"]}}, "must be one of country"),
        ({"errors": [{"kind": "ban"}]}, "must be one of config, forbidden, account"),
        ({"errors": [{"kind": "account", "code": 407}]}, "known: kind, own, status, words"),
        ({"price": {"tiers": [["1", 2]]}}, "Expected `float`"),
        ({"account": "{user.name}"}, "write fields as"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_allowed(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        provider_file.parse({**OWN, **changes}, "own", "own.toml")
    assert "own.toml" in str(caught.value)


def test_a_file_without_its_source_is_refused() -> None:
    with pytest.raises(ConfigError, match="missing required field `source`"):
        provider_file.parse({"title": "Own", "date": "2026-01-01"}, "own", "own.toml")


def test_the_example_of_the_document_is_a_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adding a provider needs no code: the two files of docs/providers.md, as they stand there, make a pool."""
    monkeypatch.setenv("OWN_PASSWORD", "canary-example")
    provider, pools = re.findall(r"^```toml\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)[-2:]
    (tmp_path / "my-provider.toml").write_text(provider, encoding="utf-8")
    (tmp_path / "proxies.toml").write_text(pools, encoding="utf-8")
    (pool,) = sources.load(str(tmp_path / "proxies.toml"))
    assert isinstance(pool.provider, Provider)
    assert pool.provider.name == "./my-provider.toml"
    assert pool.provider.refusals
    assert "canary-example" not in repr(pool)
