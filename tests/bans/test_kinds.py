"""What good pages of a kind share is learnt; pages that look like one soft block are suspected, honest ones are not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.bans.kinds import KINDS, SHAPES, Kinds, Suspicion, shape_of, words_of

Page = Callable[[int], str]
WORDS = [
    "oak",
    "elm",
    "ash",
    "pine",
    "lamp",
    "chair",
    "table",
    "sofa",
    "rug",
    "vase",
    "clock",
    "mirror",
    "red",
    "blue",
    "green",
    "grey",
    "soft",
    "warm",
    "tall",
    "old",
]
HEAD = "".join(
    f"<link rel=stylesheet href=/{word}.css><script src=/{word}.js></script>" for word in WORDS[:8]
)


def layout(title: str, body: str) -> str:
    return f"<!doctype html><html><head>{HEAD}<title>{title} | Shop</title></head><body><nav>Home</nav>{body}</body></html>"


def product(number: int) -> str:
    """Like its neighbours, but for its name and its text."""
    words = Random(number).choices(WORDS, k=80)
    return layout(" ".join(words[:4]), f"<h1>{' '.join(words[:4])}</h1><p>{' '.join(words)}</p>")


def wall(number: int) -> str:
    """In the site's own make, with a token and the address of the page that was asked for."""
    token = Random(number).randbytes(8).hex()
    return layout(
        "Sign in",
        f"<h1>Welcome back</h1><a href='/login?to=/p/{number}'>Sign in</a> to see this. Ray {token}",
    )


def listing(number: int) -> str:
    cards = (
        "".join(f"<p>{Random(number).choice(WORDS)} {n}</p>" for n in range(20))
        if number < 12
        else "No products"
    )
    return layout(f"All products, page {number}", cards)


def found(*pages: Page, count: int = 100, url: str = "https://shop.example/p/{}") -> list[Suspicion]:
    """What is suspected of ``count`` addresses whose pages take turns; a page told twice weighs twice."""
    kinds = Kinds()
    for number in range(count):
        page = pages[number % len(pages)](number)
        kinds.add("shop.example", "parse", url.format(number), page.encode())
    return kinds.suspicions()


def test_equal_pages_among_others_that_differ_are_suspected_with_their_addresses() -> None:
    (suspicion,) = found(product, product, product, wall)
    assert suspicion == Suspicion(
        "equal", "shop.example", "parse", "/p/*", 25, 100, "Sign in | Shop",
        ("https://shop.example/p/3", "https://shop.example/p/7", "https://shop.example/p/11"),
    )  # fmt: skip
    assert suspicion.said.startswith(
        "25 of 100 pages of parse /p/* at shop.example are one and the same apart from numbers"
    )


def test_a_redirect_of_many_addresses_to_one_page_is_the_same_page() -> None:
    assert [one.word for one in found(product, lambda number: layout("Home", "<h1>Welcome</h1>"))] == [
        "equal"
    ]


def test_a_kind_that_is_all_one_page_is_suspected() -> None:
    (suspicion,) = found(wall, count=60)
    assert (suspicion.word, suspicion.pages, suspicion.of) == ("all_equal", 60, 60)
    assert suspicion.examples[0] == "https://shop.example/p/0"
    (shell,) = found(lambda number: layout("App", "<div id=root></div>"))
    assert shell.word == "all_equal"


def test_one_title_where_titles_used_to_differ_is_suspected() -> None:
    def later(number: int) -> str:
        if number < 20:
            return product(number)
        return layout("Please wait", f"<p>{Random(number).choice(WORDS)} {Random(-number).choice(WORDS)}</p>")

    for count in (60, 300):
        (suspicion,) = found(later, count=count)
        assert (suspicion.word, suspicion.title) == ("same_title", "Please wait | Shop")
        assert (suspicion.pages, suspicion.of) == (count - 20, count)
        assert len(suspicion.examples) == 3


def test_pages_of_another_size_and_another_make_are_suspected() -> None:
    def other(number: int) -> str:
        return f"<html><title>{Random(number).choice(WORDS)} {number}</title><p>{Random(number).choice(WORDS)}</p></html>"

    (suspicion,) = found(product, product, product, product, other)
    assert (suspicion.word, suspicion.pages) == ("unlike", 17), "the first pages are learnt from"
    assert suspicion.said.startswith("at least 17 of 100 pages")


@pytest.mark.parametrize(
    ("pages", "url"),
    [
        ([product], "https://shop.example/p/{}"),
        ([listing], "https://shop.example/?page={}"),
        ([listing], "https://shop.example/all/{}"),
        ([lambda number: "[]"], "https://shop.example/api/{}"),
        ([lambda number: "ok"], "https://shop.example/ping/{}"),
        ([lambda number: '{"error": "none"}'], "https://shop.example/api/{}"),
        ([lambda number: "<?xml version='1.0'?><rss></rss>"], "https://shop.example/feed/{}"),
        ([wall], "https://shop.example/login"),
        ([product, lambda number: product(number % 20)], "https://shop.example/p/{}"),
        ([lambda number: layout("Shop", f"<p>{product(number)}</p>")], "https://shop.example/p/{}"),
        ([lambda number: product(number) + "<p>review</p>" * (900 if number % 4 else 0)], "https://shop.example/p/{}"),
        ([lambda number: layout("App", f"<div id=root></div><script>{product(number) * (1 + number % 3)}</script>")], "https://shop.example/p/{}"),
        ([lambda number: f"<html><meta http-equiv=refresh content='0;url=/new/{number}'>"], "https://shop.example/p/{}"),
    ],
    ids=["products", "listing with empty pages", "the same by path", "empty json", "ok", "json", "feed", "one address often",
         "products under two addresses", "one title everywhere", "many reviews", "shells with data", "meta refresh"],
)  # fmt: skip
def test_honest_pages_are_not_suspected(pages: list[Page], url: str) -> None:
    assert found(*pages, url=url) == []


def test_sorted_views_of_one_page_are_duplicates_and_no_suspicion() -> None:
    """Where the paths of a kind differ, ten addresses with one path count as one."""
    kinds = Kinds()
    for number in range(20):
        for view in range(10):
            kinds.add(
                "shop.example",
                "parse",
                f"https://shop.example/p/{number}?sort={view}",
                product(number).encode(),
            )
    assert kinds.suspicions() == []


def test_four_equal_pages_are_not_suspected_and_one_in_a_thousand_neither() -> None:
    assert found(*[product] * 24, wall) == []
    assert found(*[product] * 999, wall, count=6_000) == []


@pytest.mark.parametrize(
    ("url", "shape"),
    [
        ("/", "/"),
        ("", ""),
        ("/p/blue-lamp", "/p/*"),
        ("/p/17.html", "/p/*.html"),
        ("/shop/lamps-2/blue?id=3&colour=red&id=4", "/shop/*/*?colour&id"),
        ("/wiki/Special:Search?q", "/wiki/*?q"),
        ("/a/averylongsectionname/b/", "/a/*/b/"),
        ("/" + "a/" * 50, "/a/a/a/a/a/"),
    ],
)
def test_addresses_of_one_kind_have_one_shape(url: str, shape: str) -> None:
    path, _, query = url.partition("?")
    assert shape_of(path, query) == shape


@given(st.binary(max_size=300))
def test_any_page_can_be_learnt_from(body: bytes) -> None:
    kinds = Kinds()
    for number in range(30):
        kinds.add("a", "parse", f"http://a/{number}", b"<html><title>" + body)
    kinds.suspicions()
    words_of(body)


def test_what_is_remembered_is_bounded_and_what_was_found_is_kept() -> None:
    kinds = Kinds()
    for number in range(40):
        kinds.add("wall.example", "parse", f"http://wall.example/p/{number}", wall(number).encode())
    for number in range(3 * KINDS):
        kinds.add(f"{number}.example", "parse", "http://x/p", product(number).encode())
    for number in range(3 * SHAPES):
        section = "".join(chr(97 + number // n % 10) for n in (1, 10))
        kinds.add("one.example", "parse", f"http://x/{section}/x", product(number).encode())
    for number in range(5_000):
        page = product(number % 700) if number % 2 else product(number)
        kinds.add("big.example", "parse", f"http://x/p/{number}", page.encode())
    assert len(kinds._kinds) == KINDS
    assert sum(key[0] == "one.example" for key in kinds._kinds) <= SHAPES + 1
    big = kinds._kinds["big.example", "parse", "/p/*"]
    sizes = [len(big.titles), len(big.clusters), len(big.sizes), len(big.core), len(big.window)]
    assert max(sizes) <= 200, sizes
    assert sum(map(sys.getsizeof, big.titles)) < 30_000
    assert [one.site for one in kinds.suspicions()] == ["wall.example"]
