"""Content contracts: a page without what a good page holds is a soft block, whatever its status."""

from __future__ import annotations

from typing import Any

import pytest
from parsel import Selector

from scraper.bans.contracts import judge, parse
from scraper.errors import ConfigError

PAGE = "<html><h1>Lamp</h1><p class=price>9.90</p></html>"


def verdict_of(entry: dict[str, Any], text: str = PAGE) -> str | None:
    contract = parse("shop", {"parse": entry})["parse"]
    verdict = judge(contract, text.encode(), text, Selector(text=text) if text.startswith("<") else None)
    return verdict and verdict.rule


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ({"css": "h1"}, None),
        ({"css": ["h1", ".price"]}, None),
        ({"css": ["h1", ".stock"]}, "contract_css"),
        ({"css": "h1, .stock"}, None),
        ({"xpath": "//h1[text()]"}, None),
        ({"xpath": "//h2"}, "contract_xpath"),
        ({"regex": r"\d+\.\d\d"}, None),
        ({"regex": "EUR"}, "contract_regex"),
        ({"min_bytes": 10}, None),
        ({"min_bytes": 1000}, "contract_min_bytes"),
        ({"json": "offers.0.price"}, "contract_json"),
    ],
)
def test_every_kind_of_condition(entry: dict[str, Any], rule: str | None) -> None:
    assert verdict_of(entry) == rule


def test_json_paths_go_through_objects_and_lists_and_null_is_missing() -> None:
    text = '{"offers": [{"price": 0, "stock": null}]}'
    assert verdict_of({"json": "offers.0.price"}, text) is None
    assert verdict_of({"json": "offers.0.stock"}, text) == "contract_json"
    assert verdict_of({"json": "offers.1.price"}, text) == "contract_json"


def test_markup_is_missing_from_a_page_that_is_not_markup() -> None:
    assert verdict_of({"css": "h1"}, "plain text") == "contract_css"


@pytest.mark.parametrize(
    "entry",
    [
        {"cs": "h1"},
        {"css": "h1["},
        {"xpath": "//["},
        {"regex": "("},
        {"min_bytes": "9"},
        {"css": [""]},
        {"css": [1]},
    ],
)
def test_a_contract_that_cannot_work_stops_the_start(entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="good_page"):
        parse("shop", {"parse": entry})
