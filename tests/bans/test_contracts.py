"""Content contracts: a page without what a good page holds is a soft block, whatever its status."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsel import Selector

from scraper.bans.contracts import Contracts, callback_name, judge, parse
from scraper.errors import ConfigError

PAGE = "<html><h1>Lamp</h1><p class=price>9.90</p></html>"
CALLBACKS = ("parse", "parse_product", "url_p")


def contracts(table: Any) -> Contracts:
    return parse("shop", table, CALLBACKS.__contains__)


def rule_of(entry: dict[str, Any], text: str = PAGE) -> str | None:
    found = contracts({"parse": entry}).of("parse", "https://shop.example/", 200)
    selector = partial(Selector, text=text) if text.startswith("<") else None
    verdict = judge(found, text.encode(), text, selector)
    return verdict and verdict.rule


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ({"css": "h1"}, None),
        ({"css": ["h1", ".price"]}, None),
        ({"css": ["h1", ".stock"]}, "contract_parse_css"),
        ({"css": "h1, .stock"}, None),
        ({"xpath": "//h1[text()]"}, None),
        ({"xpath": "//h2"}, "contract_parse_xpath"),
        ({"xpath": ["boolean(//h1)", "count(//p)", "string(//p)"]}, None),
        ({"xpath": "count(//h2)"}, "contract_parse_xpath"),
        ({"xpath": "boolean(//h2)"}, "contract_parse_xpath"),
        ({"regex": r"\d+\.\d\d"}, None),
        ({"regex": "EUR"}, "contract_parse_regex"),
        ({"min_bytes": 10}, None),
        ({"min_bytes": 1000}, "contract_parse_min_bytes"),
        ({"json": "offers.0.price"}, "contract_parse_json"),
        ({"css": "h1", "any_of": [{"css": ".grid"}, {"regex": "Lamp"}]}, None),
        ({"css": "h1", "any_of": [{"css": ".grid"}, {"regex": "Sofa"}]}, "contract_parse_any_of"),
        ({"css": "h2", "any_of": [{"css": "h1"}]}, "contract_parse_css"),
    ],
)
def test_every_kind_of_condition(entry: dict[str, Any], rule: str | None) -> None:
    assert rule_of(entry) == rule


@pytest.mark.parametrize(
    ("path", "held"),
    [
        ("offers.0.price", True),
        ("offers.0.stock", False),  # null
        ("offers.2.price", False),
        ("offers.price", False),
        ("offers.*.price", True),
        ("offers.*.stock", True),  # of the second
        ("offers.*.colour", False),
        ("by_id.*.price", True),
        ("none.*", False),  # an empty list holds nothing
        ("count", True),
        ("count.*", False),
    ],
)
def test_json_paths_go_through_objects_and_lists_and_null_is_missing(path: str, held: bool) -> None:
    text = '{"offers": [{"price": 0, "stock": null}, {"stock": 3}], "by_id": {"a": {"price": 1}}, "none": [], "count": 0}'
    assert rule_of({"json": path}, text) == (None if held else "contract_parse_json")


def test_json_deeper_than_python_bears_is_not_what_was_asked_for() -> None:
    assert rule_of({"json": "a"}, "[" * 200_000) == "contract_parse_json"


def test_markup_is_missing_from_a_page_that_is_not_markup() -> None:
    assert rule_of({"css": "h1"}, "plain text") == "contract_parse_css"


def test_a_page_falls_under_every_contract_of_its_callback_and_its_address() -> None:
    table = contracts(
        {
            "parse_product": {"css": "h1"},
            "/p/*": {"css": ".price"},
            "/größe/*": {"css": ".size"},
            "/list?*page=*": {"css": ".grid"},
            r"re:^https://api\.": {"json": "items"},
        }
    )

    def asked(callback: str, url: str, status: int = 200) -> list[str]:
        return [contract.name for contract in table.of(callback, url, status)]

    assert asked("parse_product", "https://shop.example/p/1?page=2") == ["parse_product", "url_p"]
    assert asked("parse", "https://shop.example/p/a/b") == ["url_p"]
    assert asked("parse", "https://shop.example/x/p/1") == []
    assert asked("parse", "https://shop.example/gr%C3%B6%C3%9Fe/xl") == ["url_gr_e"]
    assert asked("parse", "https://shop.example/list?sort=a&page=2") == ["url_list_page"]
    assert asked("parse", "https://shop.example/list?sort=a") == asked("parse", "https://shop.example") == []
    assert asked("parse", "https://api.shop.example/p/1") == ["url_p", "url_https_api"]
    assert asked("parse_product", "https://shop.example/p/1", 404) == []
    assert asked("parse_product", "https://shop.example/p/1", 304) == []
    assert asked("parse_product", "https://shop.example/p/1", 204) == [], "which has no body to hold anything"


@given(st.lists(st.text(max_size=80).map(lambda text: "/" + text), unique=True, max_size=20))
def test_the_names_of_rules_are_safe_as_stats_keys_and_each_belongs_to_one_contract(keys: list[str]) -> None:
    table = contracts({"url_p": {"css": "p"}} | {key: {"css": "p"} for key in keys})
    found = [
        *table.by_callback.values(),
        *(contract for _, contract in table.by_path + table.by_path_and_query),
    ]
    names = [contract.name for contract in found]
    assert len(set(names)) == len(keys) + 1
    assert all(re.fullmatch(r"[a-z0-9_]{1,43}", name) for name in names)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"parse": {"cs": "h1"}}, r"'cs'\] = 'h1': is not known; known: css"),
        ({"parse": {"css": "h1["}}, "is not a css selector"),
        ({"parse": {"xpath": "//["}}, "is not a xpath selector"),
        ({"parse": {"regex": "("}}, "is not a regular expression"),
        ({"parse": {"min_bytes": "9"}}, "must be a whole number of bytes"),
        ({"parse": {"min_bytes": True}}, "must be a whole number of bytes"),
        ({"parse": {"min_bytes": 0}}, "must be a whole number of bytes above 0"),
        ({"parse": {"css": []}}, r"\['css'\] = \[\]: is empty, so that every page would hold it"),
        ({"parse": {"css": "h1", "any_of": [{"regex": ()}]}}, "is empty"),
        ({"parse": {"css": [""]}}, "must be a text or a list of texts"),
        ({"parse": {"css": [1]}}, "must be a text or a list of texts"),
        ({"parse": {"css": 1}}, "must be a text or a list of texts"),
        ({"parse": {"json": "$.items[0].price"}}, "items.0.price"),
        ({"parse": {}}, "must be a dict of what the page holds"),
        ({"parse": ".price"}, "must be a dict of what the page holds"),
        ({"parse": {"any_of": []}}, "must be a list of dicts"),
        ({"parse": {"any_of": [{"css": "("}]}}, r"'any_of'\]\[0\]"),
        ({"parse": {"any_of": [{"any_of": [{"css": "p"}]}]}}, "is not known"),
        ({"parse_prodcut": {"css": "h1"}}, "is no callback of spider shop"),
        ({"p/*": {"css": "h1"}}, "begins with / or re:"),
        ({1: {"css": "h1"}}, "begins with / or re:"),
        ({"re:(": {"css": "h1"}}, "is not a regular expression"),
        ([".price"], "must be a dict"),
    ],
)
def test_a_contract_that_cannot_work_stops_the_start(table: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as raised:
        contracts(table)
    assert raised.value.name.startswith("shop.good_page")


def test_a_partial_has_the_name_of_its_function() -> None:
    def parse_page(link: str, response: Any) -> None: ...

    assert callback_name(partial(partial(parse_page, "a"))) == "parse_page"
    assert callback_name(None) == "parse"
