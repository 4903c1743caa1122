"""Reading proxies.toml: secrets come from the environment or a file, and errors say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from scraper.errors import ConfigError
from scraper.proxies.pools import endpoint_for
from scraper.proxies.sources import load, providers


def write(folder: Path, text: str) -> str:
    path = folder / "proxies.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_list_file_may_hold_comments_and_lies_beside_the_toml(tmp_path: Path) -> None:
    (tmp_path / "dc.txt").write_text(
        "# ours\nhttp://u:example@a.example:1\n\nb.example:2\n", encoding="utf-8"
    )
    (pool,) = load(write(tmp_path, '[pools.dc]\nkind = "list"\nfile = "dc.txt"\nusd_per_gb = 0.5\n'))
    assert [endpoint.host for endpoint in pool.endpoints] == ["a.example", "b.example"]


def test_an_error_in_a_list_file_names_the_file_and_its_line(tmp_path: Path) -> None:
    (tmp_path / "dc.txt").write_text(
        "# ours\nhttp://a.example:1\nhttp://canary-example@b\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=r"dc.txt, line 3") as caught:
        load(write(tmp_path, '[pools.dc]\nkind = "list"\nfile = "dc.txt"\nusd_per_gb = 0.5\n'))
    assert "canary" not in str(caught.value)


def test_a_variable_is_read_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DC_PASSWORD", "example")
    (pool,) = load(
        write(
            tmp_path,
            '[pools.dc]\nkind = "list"\nproxies = ["http://u:${DC_PASSWORD}@a.example:1"]\nusd_per_gb = 1\n',
        )
    )
    assert pool.endpoints[0].password == "example"


GATEWAY = '[pools.home]\nkind = "gateway"\ngateway = "http://g.example:1"\nusername = "u"\nsession_part = "-{session}"\nusd_per_gb = 1\n'


def test_a_password_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "home.password").write_text("example\n", encoding="utf-8")
    (pool,) = load(write(tmp_path, GATEWAY + 'password_file = "home.password"\n'))
    assert pool.endpoints[0].password == "example"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GATEWAY + 'password = "example"\n', "may not stand in this file"),
        (
            '[pools.dc]\nkind = "list"\nproxies = ["http://u:example@a.example:1"]\nusd_per_gb = 1\n',
            "may not stand in this file",
        ),
        (GATEWAY + 'password = "${NO_SUCH_VARIABLE}"\n', "NO_SUCH_VARIABLE"),
        (GATEWAY + 'password_file = "missing"\n', "missing"),
        ('[pools.dc]\nkind = "list"\nfile = "missing.txt"\nusd_per_gb = 1\n', "missing.txt.*cannot be read"),
        ("[pools.home\n", "is not TOML"),
        ("", "has no pool"),
    ],
)
def test_what_is_wrong_is_named_with_the_way_out(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(write(tmp_path, text))


def test_a_missing_file_stops_the_start_and_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PROXIES_FILE"):
        load(str(tmp_path / "proxies.toml"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "proxies.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load(str(tmp_path / "proxies.toml"))


HOME = """
[pools.home]
provider = "{}"
username = "me"
password = "${{HOME_PASSWORD}}"
usd_per_gb = 1
"""
OWN = """
title = "Own"
source = "its documentation"
date = "2026-01-01"
gateway = "http://gate.example:1"
{}
"""


def test_a_pool_may_name_one_of_the_providers_that_come_with_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME_PASSWORD", "example")
    (pool,) = load(write(tmp_path, HOME.format("decodo")))
    assert pool.provider is providers()["decodo"], "its file is read once"


def test_adding_a_provider_needs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME_PASSWORD", "example")
    parts = '[grammar]\nparts = [["_{session}"]]\n'
    (tmp_path / "own.toml").write_text(OWN.format(parts), encoding="utf-8")
    (pool,) = load(write(tmp_path, HOME.format("./own.toml")))
    endpoint = endpoint_for(pool, "", "abc")
    assert endpoint is not None
    assert (endpoint.host, endpoint.user) == ("gate.example", "me_abc")


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ("", "session_ports"),
        ("[grammar]\nprts = 1\n", "own.toml: grammar.prts"),
        ("[grammar\n", "is not TOML"),
        (None, "cannot be read"),
    ],
)
def test_a_providers_file_that_is_wrong_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str | None, says: str
) -> None:
    monkeypatch.setenv("HOME_PASSWORD", "canary-example")
    if own is not None:
        (tmp_path / "own.toml").write_text(OWN.format(own), encoding="utf-8")
    with pytest.raises(ConfigError, match=says) as caught:
        load(write(tmp_path, HOME.format("./own.toml")))
    assert "canary" not in str(caught.value)
