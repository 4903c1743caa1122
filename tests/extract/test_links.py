"""Outgoing links: complete, each once, and bounded."""

from __future__ import annotations

import time

from scraper.extract import document, links

PAGE = "http://example.com/a/b"


def found(html: str, url: str = PAGE) -> list[str]:
    root = document.parse(html).root
    return [link.url for link in links.outgoing(root, links.base_url(root, url))]


def test_links_are_absolute_and_each_once_in_their_order() -> None:
    html = "<a href=d>1</a><area href=/c><a href='d#x'>2</a><a href='#top'>3</a><a>4</a><iframe src=//example.org/f></iframe><a href=http://EXAMPLE.com/a/d>5"
    assert found(html) == ["http://example.com/a/d", "http://example.com/c", "http://example.org/f"]


def test_links_start_from_a_good_base() -> None:
    assert found("<base target=x><base href=/z/><a href=c>") == ["http://example.com/z/c"]
    assert found("<base href='http://[::1'><a href=c>") == ["http://example.com/a/c"]
    assert found("<base href='javascript:x'><a href=c>") == ["http://example.com/a/c"]


def test_bad_links_do_not_cost_the_rest() -> None:
    """Texts that make urljoin, urlsplit or the port raise, before a good one."""
    bad = ["http://[::1", "http://[x]/", "http://a:99999999/", "http://a:b/", "//[", "http://\u2100.example/", "http://\x00/",
           "\\\\\\", "http:///", "///", "%", "http://%zz%/", "javascript:'", "\ufffe", "http://ex ample/", "http://" + "a" * 300]  # fmt: skip
    assert (
        found("".join(f'<a href="{href}">x</a>' for href in bad) + "<a href=/good>")[-1]
        == "http://example.com/good"
    )


def test_a_link_says_whether_it_wants_to_be_followed() -> None:
    root = document.parse("<a href=/1 rel='Nofollow noopener'><a href=/2 rel=next><a href=/3>").root
    assert [link.nofollow for link in links.outgoing(root, PAGE)] == [True, False, False]


def test_a_page_of_200_000_links_costs_a_bounded_time_and_number() -> None:
    """Good links end at the limit; bad ones do not go on for ever either."""
    began = time.process_time()
    good = found("".join(f"<a href=/{n}>" for n in range(200_000)))
    bad = found("".join(f"<a href='http://[{n}'>" for n in range(200_000)) + "<a href=/good>")
    assert time.process_time() - began < 8
    assert (len(good), len(bad)) == (links.MAX_LINKS, 0)


def test_the_limit_counts_distinct_links() -> None:
    root = document.parse("".join(f"<a href=/{n % 3}#{n}>" for n in range(100))).root
    assert len(links.outgoing(root, PAGE, limit=3)) == 3
    assert len(links.outgoing(root, PAGE, limit=2)) == 2
