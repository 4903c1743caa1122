"""Addresses: typed by people, found in pages, and told apart."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapy import Request

from scraper.extract import urls


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("example.com", "https://example.com/"),
        (" Example.COM/A?b#c ", "https://example.com/A?b"),
        ("www.example.com:8080/x", "https://www.example.com:8080/x"),
        ("http://example.com:80", "http://example.com/"),
        ("HTTPS://example.com:443/", "https://example.com/"),
        ("localhost", "http://localhost/"),
        ("localhost:8000/a", "http://localhost:8000/a"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/"),
        ("[::1]:8000/a", "http://[::1]:8000/a"),
        ("http://intern/a", "http://intern/a"),
        ("bücher.example/ä b", "https://xn--bcher-kva.example/%C3%A4%20b"),
    ],
)
def test_what_a_person_types_becomes_an_address(text: str, url: str) -> None:
    assert urls.typed(text) == url


@pytest.mark.parametrize(
    "text",
    ["", " ", "shop", "y", "ftp://example.com/", "file:///etc/passwd", "javascript:alert(1)", "mailto:a@example.com",
     "data:text/html,x", "https://", "https:///x", "http://a b/", "https://example.com:0/", "https://example.com:99999/",
     "https://user:example@example.com/", "user@example.com", "http://[::1", "http://-a.example/", "not an address",
     "https://example.com/" + "a" * 5000],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is "):
        urls.typed(text)


@pytest.mark.parametrize(
    ("url", "one_form"),
    [
        ("http://EXAMPLE.com", "http://example.com/"),
        ("http://example.com/a/./b/../c", "http://example.com/a/c"),
        ("http://example.com/../../a", "http://example.com/a"),
        ("http://example.com/a?b=1&utm_source=x&c=2", "http://example.com/a?b=1&c=2"),
        ("http://example.com/a?utm_source=x", "http://example.com/a"),
        ("http://example.com/a?UTM_Campaign=x&fbclid=1&gclid=2", "http://example.com/a"),
        ("http://example.com/a?b=utm_source", "http://example.com/a?b=utm_source"),
        ("http://example.com/a?outm_source=1", "http://example.com/a?outm_source=1"),
        ("http://example.com/a?b&&c=", "http://example.com/a?b&&c="),
        ("http://example.com/a?z=1&a=2", "http://example.com/a?z=1&a=2"),
        ("http://example.com/index.html", "http://example.com/index.html"),
        ("http://example.com/a//b/", "http://example.com/a//b/"),
        ("http://example.com/a;b=c?d=e;f", "http://example.com/a;b=c?d=e;f"),
        ("http://example.com\\a", "http://example.com/a"),
        ("http://example.com/%7Ea/%2f", "http://example.com/%7Ea/%2f"),
        ("http://example.com./", "http://example.com./"),
    ],
)
def test_a_page_has_one_form(url: str, one_form: str) -> None:
    assert urls.canonical(url) == one_form


@pytest.mark.parametrize(
    "url",
    ["", "/a", "//example.com/", "ftp://example.com/", "http://", "http:///a", "http://%00/", "http://[::1", "http://a:b/",
     "http://a:-1/", "http://a:65536/", "http://a@b/", "http://a_b c/", "http://../", "http://" + "a." * 200 + "b/", "http://a,b/"],
)  # fmt: skip
def test_an_address_that_cannot_be_fetched_has_none(url: str) -> None:
    assert urls.canonical(url) is None


@settings(deadline=None)
@given(
    st.one_of(
        st.text(),
        st.text().map(lambda text: f"http://example.com/{text}"),
        st.text().map(lambda text: f"http://{text}/a?b"),
    )
)
def test_the_one_form_is_final_and_what_scrapy_asks_for(text: str) -> None:
    """No text raises; the canonical form of a canonical form is itself, and Scrapy's Request does not change it."""
    url = urls.canonical(text)
    if url is not None:
        assert urls.canonical(url) == url
        assert Request(url).url == url


@settings(deadline=None)
@given(st.text(), st.sampled_from(["http://example.com/a/b", "https://[::1]:8/", "http://x"]))
def test_no_link_raises(href: str, base: str) -> None:
    assert urls.absolute(base, href) is None or urls.site(urls.absolute(base, href) or "")


@pytest.mark.parametrize(
    ("href", "url"),
    [
        ("c?d#e", "http://example.com/a/c?d"),
        ("../c", "http://example.com/c"),
        ("//example.org", "http://example.org/"),
        ("?p=2", "http://example.com/a/b?p=2"),
        ("", "http://example.com/a/b"),
        (" \n/c\td ", "http://example.com/cd"),
        ("\\c", "http://example.com/c"),
        ("https:\\\\example.org\\a", "https://example.org/a"),
        ("JavaScript:void(0)", None),
        ("mailto:a@example.com", None),
        ("tel:+1", None),
        ("data:text/html,x", None),
        ("file:///etc/passwd", None),
        ("http://[::1", None),
    ],
)
def test_a_link_is_read_from_where_it_stands(href: str, url: str | None) -> None:
    assert urls.absolute("http://example.com/a/b", href) == url


@pytest.mark.parametrize(
    ("url", "plain", "with_subdomains"),
    [
        ("http://example.com/x", True, True),
        ("https://www.example.com/x", True, True),
        ("https://example.com:443/x", True, True),
        ("http://shop.example.com/", False, True),
        ("http://example.com:8080/", False, False),
        ("http://notexample.com/", False, False),
        ("http://example.com.evil.example/", False, False),
        ("http://com/", False, False),
    ],
)
def test_a_site_is_a_host_and_its_www_twin(url: str, plain: bool, with_subdomains: bool) -> None:
    sites = frozenset({urls.site("https://www.example.com/")})
    assert urls.is_on(url, sites, subdomains=False) is plain
    assert urls.is_on(url, sites, subdomains=True) is with_subdomains
