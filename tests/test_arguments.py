"""Spider arguments: typed, checked, and never silently ignored."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from typing import Literal

import pytest

from scraper.arguments import arg, describe, parse
from scraper.errors import ArgumentError, ConfigError


@dataclass(frozen=True)
class Args:
    url: str = arg("", "where to start", group="start")
    urls: list[str] = arg([], "where to start", group="start")  # arg is field()
    max_pages: int = arg(100, "pages at most", at_least=0)
    price_eur: float | None = arg(None, "price at most", at_least=0, at_most=1e6)
    subdomains: bool = arg(False, "below the host too")
    order: Literal["new", "cheap"] = arg("new", "which first")
    tags: list[str] = arg(["a", "b"], "what to look for")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("url", " as it is ", " as it is "),
        ("max_pages", "0", 0),
        ("max_pages", " 7 ", 7),
        ("max_pages", "10_000", 10_000),
        ("price_eur", "9.5", 9.5),
        ("price_eur", "1000000", 1e6),
        ("price_eur", "", None),
        ("subdomains", "1", True),
        ("subdomains", "Yes", True),
        ("subdomains", "off", False),
        ("order", "cheap", "cheap"),
        ("urls", "a, b ,c", ["a", "b", "c"]),
        ("urls", "a,1\n b,2 \n\n", ["a,1", "b,2"]),
        ("urls", '["a,1", "b"]', ["a,1", "b"]),
        ("urls", "only", ["only"]),
    ],
)
def test_a_text_becomes_the_declared_type(name: str, text: str, value: object) -> None:
    assert getattr(parse(Args, {name: text}), name) == value


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("max_pages", "ten", "must be a whole number of at least 0"),
        ("max_pages", "1.5", "must be a whole number of at least 0"),
        ("max_pages", "", "must be a whole number of at least 0"),
        ("max_pages", "-1", "must be a whole number of at least 0"),
        ("max_pages", "9" * 5000, "must be a whole number of at least 0"),
        ("price_eur", "1000000.01", "must be a number from 0 to 1000000.0, or empty"),
        ("price_eur", "nan", "must be a number from 0 to 1000000.0, or empty"),
        ("subdomains", "maybe", "must be yes or no (1, 0, true, false, on, off)"),
        ("subdomains", "", "must be yes or no (1, 0, true, false, on, off)"),
        ("order", "old", "must be one of new, cheap"),
        ("urls", "", "must be a list"),
        ("urls", " , ,", "must be a list"),
        ("urls", '["a", 1]', "must be a list"),
        ("urls", '["a"', "must be a list"),
        ("urls", "[" * 100_000, "must be a list"),
    ],
)
def test_a_wrong_value_names_the_argument_the_value_and_the_type(
    name: str, text: str, wanted: str | None
) -> None:
    if wanted is None:
        assert parse(Args, {name: text})
        return
    with pytest.raises(ArgumentError) as raised:
        parse(Args, {name: text})
    assert isinstance(raised.value, ConfigError)
    assert (raised.value.name, raised.value.value) == (name, text)
    assert raised.value.way_out == wanted
    assert str(raised.value).startswith(f"{name} = ")


@pytest.mark.parametrize(
    ("name", "near"),
    [("max_page", "max_pages"), ("max-pages", "max_pages"), ("URL", "url"), ("subdomain", "subdomains")],
)
def test_an_unknown_argument_gets_the_nearest_name(name: str, near: str) -> None:
    with pytest.raises(
        ArgumentError, match=rf"no such argument; did you mean {near}\? it has url, urls, max_pages, "
    ):
        parse(Args, {name: "1"})


def test_an_unknown_argument_like_none_gets_the_list_only() -> None:
    with pytest.raises(ArgumentError, match="no such argument; it has url, "):
        parse(Args, {"zzzz": "1"})


def test_of_a_group_only_one_can_be_given() -> None:
    with pytest.raises(ArgumentError, match="was given beside url; give one of url, urls"):
        parse(Args, {"url": "a", "urls": "b"})


def test_scrapyds_own_argument_is_accepted() -> None:
    """Scrapyd passes ``_job`` to every spider; it is no argument of the spider."""
    assert parse(Args, {"_job": "4f2c"}) == Args()


def test_defaults_are_kept_apart() -> None:
    """The default list of one spider is not the list of the next, and arguments cannot be changed."""
    first, second = parse(Args, {}), parse(Args, {})
    first.tags.append("c")
    assert second.tags == ["a", "b"]
    with pytest.raises(FrozenInstanceError):
        first.url = "x"


def test_arguments_that_would_not_be_seen_are_an_error() -> None:
    """A class without its own @dataclass would lose its fields without a word."""

    class Forgotten(Args):
        depth: int = arg(1, "lost")

    with pytest.raises(TypeError, match="Forgotten needs @dataclass"):
        parse(Forgotten, {"depth": "2"})


def test_arguments_can_be_listed() -> None:
    rows = {name: rest for name, *rest in describe(Args)}
    assert list(rows)[:3] == ["url", "urls", "max_pages"]
    assert rows["max_pages"] == ["a whole number of at least 0", "100", "pages at most"]
    assert rows["tags"] == ["a list", "a,b", "what to look for"]
    assert rows["price_eur"][1] == ""
