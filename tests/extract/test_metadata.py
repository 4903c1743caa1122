"""What a page says about itself."""

from __future__ import annotations

import time

import pytest

from scraper.extract import document, metadata, structured


def test_title_of_the_page_or_what_stands_for_it() -> None:
    def title(html: str) -> str | None:
        root = document.parse(html).root
        return metadata.title(root, metadata.metas(root))

    assert title("<title>\n A  page\n</title><h1>H</h1>") == "A page"
    assert title("<svg><title>icon</title></svg><h1>H <b>1</b></h1>") == "H 1"
    assert title("<title> </title><meta property=og:title content='O G'><h1>H</h1>") == "O G"
    assert title("<p>x") is None
    assert len(title(f"<title>{'x ' * 100_000}") or "") <= metadata.MAX_CHARS


@pytest.mark.parametrize(
    ("html", "header", "language"),
    [
        ("<html lang=de>", "", "de"),
        ("<html lang=EN_us>", "", "en-US"),
        ("<html xml:lang=zh-hant-tw>", "", "zh-Hant-TW"),
        ("<html lang=''><meta property=og:locale content=pt_BR>", "", "pt-BR"),
        ("<html lang='{{ lang }}'><meta http-equiv=Content-Language content='fr, en'>", "", "fr"),
        ("<html>", "es-419", "es-419"),
        ("<html lang=english>", "", None),
        ("", "", None),
    ],
)
def test_language(html: str, header: str, language: str | None) -> None:
    root = document.parse(html).root
    assert metadata.language(root, metadata.metas(root), header) == language


LD = '<script type="application/ld+json">{"@type":"Article","datePublished":"%s","author":%s}</script>'


@pytest.mark.parametrize(
    ("html", "date"),
    [
        ("<meta property=article:published_time content=2024-03-05T10:00:00Z>" + LD % ("2020-01-01", "null"), "2024-03-05T10:00:00+00:00"),
        ("<meta property=article:published_time content=soon>" + LD % ("2024-03-05", "null"), "2024-03-05"),
        (LD % ("0001-01-01", "null") + "<time datetime=2024-03-05>x</time>", "2024-03-05"),
        ("<div itemscope><i itemprop=datePublished content=2024-03-05></i></div>", "2024-03-05"),
        ("<time datetime=2020-01-01></time><article><header><time datetime=2024-03-05></time></header></article>", "2024-03-05"),
        ("<article><time>March 5, 2024</time></article>", "2024-03-05"),
        ("<time>PT10M</time><time datetime=2024-03-05>", "2024-03-05"),
        ("<p>2024-03-05", None),
    ],
)  # fmt: skip
def test_published(html: str, date: str | None) -> None:
    root = document.parse(html).root
    data = structured.json_ld(root) + structured.microdata(root, "http://example.com/")
    assert metadata.published(root, metadata.metas(root), data) == date


@pytest.mark.parametrize(
    ("html", "author"),
    [
        (LD % ("", '"Ann"'), "Ann"),
        (LD % ("", '[{"name":"Ann"},{"name":"Bo"},{"url":"x"}]'), "Ann, Bo"),
        (LD % ("", '"https://example.com/ann"') + "<meta name=author content=' Bo  B '>", "Bo B"),
        (
            "<meta property=article:author content=https://example.com/ann><a rel=author href=/ann>Ann <b>A</b></a>",
            "Ann A",
        ),
        ("<div itemscope><p itemprop=author itemscope><b itemprop=name>Ann</b></p></div>", "Ann"),
        ("<p>by Ann", None),
    ],
)
def test_author(html: str, author: str | None) -> None:
    root = document.parse(html).root
    data = structured.json_ld(root) + structured.microdata(root, "http://example.com/")
    assert metadata.author(root, metadata.metas(root), data) == author


def test_robots_rules_of_page_and_header() -> None:
    assert metadata.robots({"robots": "NoIndex, follow"}) == {"noindex", "follow"}
    assert metadata.robots({}, "nofollow") == {"nofollow"}
    assert metadata.robots({"robots": "none"}) >= {"noindex", "nofollow"}
    assert metadata.robots({}, "otherbot: nofollow") == frozenset()
    assert metadata.robots({}) == frozenset()


def test_opengraph_keeps_the_first_value_under_its_name() -> None:
    root = document.parse(
        "<meta property=og:image content=1><meta property=og:image content=2><meta name=viewport content=x>"
    ).root
    assert metadata.opengraph(metadata.metas(root)) == {"og:image": "1"}


def test_a_page_of_metas_and_times_costs_a_bounded_time() -> None:
    root = document.parse(
        "<meta name=a content=b>" * 50_000 + "<article>" * 500 + "<time>x</time>" * 50_000
    ).root
    began = time.process_time()
    metas = metadata.metas(root)
    assert metadata.published(root, metas, []) is None
    assert metadata.author(root, metas, []) is None
    assert time.process_time() - began < 2
