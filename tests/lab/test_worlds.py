"""Worlds: drawn from a number, winnable, heavy, and able to change their rules."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import pytest

from scraper.lab.answers import Answer, Visit
from scraper.lab.defences import SESSION_COOKIE
from scraper.lab.exits import Exit
from scraper.lab.filler import weighed
from scraper.lab.needs import Needs, needs
from scraper.lab.options import LabError, LabOptions
from scraper.lab.process import LabProcess, start
from scraper.lab.shops import Shop
from scraper.lab.worlds import World, world

NUMBERS = range(24)
FAULTS = (ConnectionError, IncompleteRead, TimeoutError, EOFError, zlib.error)


def drawn(number: int, seed: int = 1, pages: int = 4) -> World:
    return world(LabOptions(world=str(number), pages=pages, seed=seed))


def all_shops(drawn_world: World) -> list[Shop]:
    """Every site under its first and its later rules."""
    rules = [(spec.label, r) for spec in drawn_world.sites for r in (spec.rules, spec.later) if r]
    return [r.open(label, drawn_world.options) for label, r in rules]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_drawn_world_has_sites_that_tell_nothing_and_every_one_can_be_won(number: int) -> None:
    here = drawn(number)
    assert 8 <= len(here.sites) <= 12
    assert [spec.label for spec in here.sites] == [f"shop{n}" for n in range(1, len(here.sites) + 1)]
    assert sum(spec.restless for spec in here.sites) == len(here.sites) // 2
    assert len(here.pools) >= 3
    pools = [(spec, spec.make(1)) for spec in here.pools]
    addresses = [exit_.address for _, exits in pools for exit_ in exits]
    assert len(addresses) == len(set(addresses))
    for shop in all_shops(here):
        assert needs(shop, pools) is not None


def test_worlds_differ_by_their_number_and_not_by_the_seed() -> None:
    """The seed changes catalogues and exits, as in the standard world."""

    def rules(here: World) -> list[Any]:
        return [
            here.pools,
            [(s.scheme, s.rules.about, dict(s.rules.own), s.later and s.later.about) for s in here.sites],
        ]

    assert rules(drawn(7)) == rules(drawn(7, seed=2)) != rules(drawn(8))
    assert len({json.dumps(rules(drawn(n)), default=str) for n in NUMBERS}) == len(NUMBERS)


def visits(shop: Shop, exit_: Exit) -> Iterator[Answer]:
    """A listing and its ten products as a patient person asks for them: with cookies, and never too fast."""
    listing = shop.answer(Visit("/", {}, {}, exit_, now=0.0))
    yield listing
    cookies = {SESSION_COOKIE: listing.headers.get("Set-Cookie", "=").split(";")[0].partition("=")[2]}
    for nth, product in enumerate(shop.on_page(1), start=1):
        yield shop.answer(Visit(product.path, {}, cookies, exit_, now=60.0 * nth))


@pytest.mark.parametrize("number", NUMBERS[:12])
def test_what_a_site_says_it_serves_is_what_it_serves(number: int) -> None:
    """The perfect player relies on it."""
    here = drawn(number, pages=1)
    for pool in here.pools:
        exits = pool.make(1)
        for exit_ in exits[:: -(-len(exits) // 8)]:
            for shop in all_shops(here):
                shop.options = replace(shop.options, fault_share=0.0)
                got = {answer.what for answer in visits(shop, exit_)}
                assert (got == {"listing", "product"}) == shop.serves(exit_), (shop.label, exit_, got)


@pytest.mark.parametrize(
    ("label", "pool", "country", "entry"),
    [
        ("open", "datacentre", "", False),
        ("slow", "datacentre", "", False),
        ("captcha", "residential", "", False),
        ("geo", "residential", "de", False),
        ("sticky", "datacentre", "", True),
        ("poison", "residential", "", False),
        ("redirect", "residential", "", False),
    ],
)
def test_what_a_perfect_player_needs_in_the_standard_world(
    label: str, pool: str, country: str, entry: bool
) -> None:
    assert standard_needs(label, pages=4) == Needs(pool, country, entry)


def test_a_quota_is_lived_with_where_the_pool_has_exits_enough() -> None:
    """Six exits, twelve requests each: enough for 44 pages, not for 110."""
    assert standard_needs("quota", pages=4) == Needs("datacentre", "", False)
    assert standard_needs("quota", pages=10) == Needs("residential", "", False)


def standard_needs(label: str, pages: int) -> Needs | None:
    here = world(LabOptions(pages=pages))
    spec = next(spec for spec in here.sites if spec.label == label)
    return needs(spec.rules.open(label, here.options), [(pool, pool.make(1)) for pool in here.pools])


def test_weight_is_real_and_always_the_same() -> None:
    """Pages and refusals have their own; the markup around it stays whole."""
    options = LabOptions(page_kb=50, block_kb=5)
    shop = Shop("shop1", options)
    page = shop.listing(1)
    sizes = [len(weighed(page, options, f"/p/{n}").body) for n in range(40)]
    assert 30 * 1024 <= min(sizes) < 40 * 1024 < 60 * 1024 < max(sizes) <= 72 * 1024
    heavy = weighed(page, options, "/p/1")
    assert heavy == weighed(page, options, "/p/1")
    head, tail = page.body.split("</body>")
    assert heavy.body.startswith(head)
    assert heavy.body.endswith("</body>" + tail)
    assert 3 * 1024 <= len(weighed(replace(page, what="captcha"), options, "/p/1").body) <= 8 * 1024
    assert weighed(page, LabOptions(), "/p/1") is page


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"world": "mars"}, "--world mars: must be standard, walls or a whole number"),
        ({"world": "-1"}, "--world -1: must be standard, walls or a whole number"),
        ({"change_after": 5}, "--change-after 5: the standard world keeps its rules"),
    ],
)
def test_wrong_worlds_are_named_with_the_way_out(options: dict[str, Any], said: str) -> None:
    with pytest.raises(LabError, match=said):
        LabOptions(**options)


@pytest.fixture
def restless(tmp_path: Path) -> Iterator[LabProcess]:
    """World 5, in which half of the sites change after six requests each; its log stays empty."""
    with start(tmp_path, world="5", pages=1, change_after=6) as lab:
        yield lab
    assert (tmp_path / "lab.log").read_text() == ""


def states(lab: LabProcess) -> dict[str, tuple[bool, bool]]:
    """By label: restless, changed."""
    return {told["kind"]: (told["restless"], told["changed"]) for told in lab.truth()["sites"].values()}


def test_half_of_the_sites_change_their_rules_after_so_many_requests(
    restless: LabProcess, client_for: Any
) -> None:
    client = client_for(restless, "mobile", timeout=0.5)
    for site in restless.info["sites"].values():
        for nth in range(7):
            assert not states(restless)[site["host"].partition(".")[0]][1]
            with contextlib.suppress(*FAULTS):
                client.get(f"{site['start_url']}none/{nth}")
    told = states(restless)
    assert all(changed == moves for moves, changed in told.values())
    assert any(changed for _, changed in told.values())


def test_rules_change_when_told_and_the_truth_says_what_is_needed_then(
    restless: LabProcess, client_for: Any
) -> None:
    """World 5: shop11 refuses nobody, then everybody but phones."""
    site, told = restless.info["sites"]["shop11"], restless.truth()["sites"]["shop11.localhost"]
    assert (told["needs"]["pool"], told["needs_later"]["pool"]) == ("datacentre", "mobile")
    client = client_for(restless, "datacentre")
    assert "All products" in client.get(site["start_url"]).text
    assert restless.control({"change": ["shop11"]}) == {"dead": [], "changed": ["shop11.localhost"]}
    assert "All products" not in client.get(site["start_url"]).text
    assert [line["what"] in ("block", "captcha") for line in restless.served()] == [False, True]
    assert all(line["size"] > 1000 for line in restless.served())
    with pytest.raises(LabError, match="no second rules for 'shop99'"):
        restless.control({"change": ["shop99"]})
    assert len(restless.control({"change": ["half"]})["changed"]) >= 6
    assert len(restless.control({"change": ["all"]})["changed"]) == 12
    assert all(changed for _, changed in states(restless).values())


def test_a_world_has_its_own_prices_and_a_second_provider_its_own_credentials(
    restless: LabProcess, client_for: Any
) -> None:
    pools = restless.info["pools"]
    assert pools["residential2"]["usd_per_gb"] < pools["residential"]["usd_per_gb"]
    text = Path(restless.info["proxies"]).read_text()
    assert "[pools.residential2]" in text
    for name in pools:
        told = json.loads(client_for(restless, name).get(restless.info["check_url"]).text)
        assert (told["pool"], name in text) == (name, True)


def test_a_drawn_world_prints_how_to_use_it(tmp_path: Path) -> None:
    """Its sites have other names than those of the standard world."""
    command = [sys.executable, "-m", "scraper.lab", "--world", "2", "--while-stdin", "--dir", str(tmp_path)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "world 2, seed 1" in done.stdout
    assert "-a url=https://shop1.localhost:" in done.stdout


def test_the_standard_world_has_no_second_rules(lab: Any) -> None:
    with pytest.raises(LabError, match="no second rules for 'open'"):
        lab.control({"change": ["open"]})


@pytest.mark.parametrize("pool", ["direct", "datacentre", "residential", "mobile"])
def test_the_echo_says_who_asks(lab: Any, client_for: Any, pool: str) -> None:
    """Address, country and pool of the exit; it is no site and keeps no record."""
    before = len(lab.served())
    user = "customer-lab-country-fr-session-e" if pool in ("residential", "mobile") else "customer-lab"
    told = json.loads(client_for(lab, pool, user).get(lab.info["check_url"]).text)
    assert told["pool"] == pool
    assert told["ip"].startswith("127.")
    assert told["country"] == ("us" if user == "customer-lab" else "fr")
    assert len(lab.served()) == before
