"""JSON-LD and microdata: what is right is kept, what is broken costs only itself."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from scraper.extract import document, structured


def json_ld(*scripts: str, kind: str = "application/ld+json") -> list[dict[str, Any]]:
    html = "".join(f'<script type="{kind}">{script}</script>' for script in scripts)
    return structured.json_ld(document.parse(html).root)


def microdata(html: str) -> list[dict[str, Any]]:
    return structured.microdata(document.parse(html).root, "http://example.com/a/")


@pytest.mark.parametrize(
    "script",
    [
        '{"a": 1}',
        '\n<!--\n{"a": 1}\n-->\n',
        '//<![CDATA[\n{"a": 1}\n//]]>',
        '/* <![CDATA[ */ {"a": 1} /* ]]> */',
        '{"a": 1,}',
        '{"a": 1};',
        '\ufeff{"a": 1}',
        '[[{"a": 1}], null, 3, {}]',
        '{"@context": "x", "@graph": [{"a": 1}, "x"]}',
    ],
)
def test_objects_are_read_from_what_people_write(script: str) -> None:
    assert json_ld(script) == [{"a": 1}]


@pytest.mark.parametrize(
    "script",
    [
        "",
        "{",
        '{"a": }',
        "null",
        '"text"',
        "[" * 100_000,
        '{"a":' * 50_000,
        "1" * 10_000,
        "<p>",
        "var x = {}",
    ],
)
def test_a_broken_script_does_not_cost_the_others(script: str) -> None:
    assert json_ld(script, '{"a": 1}') == [{"a": 1}]


def test_line_breaks_in_texts_and_no_numbers_are_read() -> None:
    """A raw line break in a text is kept; NaN and Infinity, which no sink takes, become null."""
    assert json_ld('{"a": "x\ny", "b": NaN, "c": -Infinity}') == [{"a": "x\ny", "b": None, "c": None}]


def test_other_scripts_are_not_read() -> None:
    assert json_ld('{"a": 1}', kind="application/json") == []


def test_json_ld_is_bounded_in_size_number_and_depth() -> None:
    """A megabyte of objects is not stored beside each page."""
    deep = json_ld('{"a":' * 100 + "1" + "}" * 100)
    assert json.dumps(deep).count("{") == structured.MAX_DEPTH
    assert len(json_ld(json.dumps([{"a": 1}] * 1_000))) == structured.MAX_OBJECTS
    assert json_ld(json.dumps([{"a": "x" * structured.MAX_CHARS}]), '{"a": 1}') == []


def test_items_hold_their_properties_and_nested_items() -> None:
    html = """<div itemscope itemtype="https://schema.org/Product"><h1 itemprop="name"> A  <b>lamp</b></h1>
    <meta itemprop="sku" content="7"><a itemprop="url" href="lamp#x">x</a><time itemprop="date" datetime="2024-03-05">5 March</time>
    <p itemprop="offers" itemscope itemtype="http://schema.org/Offer"><data itemprop="price" value="3.50">3,50</data></p>
    <i itemprop="color tint">red</i><i itemprop="color">blue</i></div><i itemprop="lost">x</i>"""
    assert microdata(html) == [
        {
            "@type": "Product",
            "name": "A lamp",
            "sku": "7",
            "url": "http://example.com/a/lamp",
            "date": "2024-03-05",
            "offers": {"@type": "Offer", "price": "3.50"},
            "color": ["red", "blue"],
            "tint": "red",
        }
    ]


def test_an_item_without_properties_is_none() -> None:
    assert microdata("<p itemscope itemtype=https://schema.org/WebPage>x") == []


def test_hostile_microdata_costs_a_bounded_time() -> None:
    """Items nested as deep as the parser goes, and a property around a megabyte of text, again and again."""
    began = time.process_time()
    microdata("<p itemscope><b itemprop=a>" * 100_000)
    microdata("<div itemscope>" + "<div itemprop=a>x" * 1_900 + "text " * 200_000)
    assert time.process_time() - began < 6
