"""Sitemaps: found in robots.txt, read in every form, and bounded."""

from __future__ import annotations

import gzip
import time

import pytest

from scraper.extract import sitemaps
from scraper.extract.sitemaps import Entry

AT = "https://example.com/sitemap.xml"
NS = "xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'"
A, B = "https://example.com/a", "https://example.com/b?c=d&e=f"
URLSET = f"""<?xml version="1.0" encoding="UTF-8"?><!-- made --><urlset {NS} xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
<url><loc> {A} </loc><lastmod>2024-01-01</lastmod><image:image><image:loc>https://example.com/i.jpg</image:loc></image:image></url>
<url><loc>{B.replace("&", "&amp;")}</loc></url><url><loc>{A}#again</loc></url><url><priority>1</priority></url></urlset>"""


@pytest.mark.parametrize(
    "body",
    [
        URLSET.encode(),
        b"\xef\xbb\xbf\n" + URLSET.encode(),
        URLSET.replace("UTF-8", "UTF-16").encode("utf-16"),
        gzip.compress(URLSET.encode()),
        URLSET.replace(NS, "").encode(),
        URLSET.replace("</urlset>", "").encode(),
        f"{A}\r\n\r\n# no address\n{B}\n/relative\n{A}\n".encode(),
        gzip.compress(f"{A}\n{B}\n".encode()),
    ],
    ids=["xml", "bom", "utf-16", "gzip", "no-namespace", "unfinished", "text", "text-gzip"],
)
def test_pages_are_read_from_every_form(body: bytes) -> None:
    assert list(dict.fromkeys(sitemaps.entries(body, AT))) == [Entry(A, False), Entry(B, False)]


def test_an_index_names_further_sitemaps() -> None:
    index = f"<sitemapindex {NS}><sitemap><loc>https://example.com/1.xml.gz</loc></sitemap><sitemap><loc>/2.xml</loc></sitemap></sitemapindex>"
    assert list(sitemaps.entries(index.encode(), AT)) == [
        Entry("https://example.com/1.xml.gz", True),
        Entry("https://example.com/2.xml", True),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"<html><body>404</body></html>",
        b"\x1f\x8b",
        b"\x1f\x8bnot gzip",
        b"\x00" * 100,
        b"{}",
        b"<urlset/>",
    ],
)
def test_what_is_no_sitemap_is_empty(body: bytes) -> None:
    assert list(sitemaps.entries(body, AT)) == []


def test_a_cut_file_gives_what_it_holds() -> None:
    body = gzip.compress(URLSET.encode())
    assert Entry(A, False) in sitemaps.entries(body[:-20], AT)


def test_entities_are_neither_expanded_nor_loaded(tmp_path) -> None:
    """A billion laughs stays small, and a file of ours is not read into an address."""
    secret = tmp_path / "secret"
    secret.write_text("https://example.com/secret", "utf-8")
    levels = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 12))
    bomb = f"<!DOCTYPE x [<!ENTITY l0 'https://example.com/'>{levels}<!ENTITY f SYSTEM 'file://{secret}'>]>"
    began = time.process_time()
    body = f"{bomb}<urlset><url><loc>&l11;</loc></url><url><loc>&f;</loc></url><url><loc>{A}</loc></url></urlset>"
    found = [entry.url for entry in sitemaps.entries(body.encode(), AT)]
    assert time.process_time() - began < 2
    assert found[-1] == A
    assert not any("secret" in page for page in found)


def test_a_bare_ampersand_does_not_spoil_the_other_addresses() -> None:
    """Hand-made sitemaps have one; an XML parser then drops every ``&amp;`` that follows."""
    locs = (f"{A}?b=1&c=2", f"{A}?b&amp;c", f"<![CDATA[{A}?d&e]]>", f"{A}?&#x26;&copy=1")
    body = "".join(f"<url><loc>{loc}</loc></url>" for loc in locs)
    assert [entry.url for entry in sitemaps.entries(f"<urlset>{body}</urlset>".encode(), AT)] == [
        f"{A}?b=1&c=2",
        f"{A}?b&c",
        f"{A}?d&e",
        f"{A}?&&copy=1",
    ]


def test_prefixes_and_comments_are_understood() -> None:
    old = f"<!-- <s:url><s:loc>{B}</s:loc></s:url> -->"
    body = f"<s:urlset>{old}<s:url><i:image><i:loc>/i</i:loc></i:image><s:loc>{A}</s:loc></s:url></s:urlset>"
    assert [entry.url for entry in sitemaps.entries(body.encode(), AT)] == [A]


def test_a_sitemap_is_bounded_in_size() -> None:
    """A gzip bomb of 1 GB ends at the limit, and a list of 200,000 pages too."""
    began = time.process_time()
    part = gzip.compress(b" " * 50_000_000)
    assert len(sitemaps.unpack(part)) == 50_000_000
    assert len(sitemaps.unpack(gzip.compress(b"<urlset>" + b" " * 60_000_000))) == sitemaps.MAX_BYTES
    many = "".join(f"<url><loc>https://example.com/{n}</loc></url>" for n in range(60_000))
    assert sum(1 for _ in sitemaps.entries(f"<urlset>{many}</urlset>".encode(), AT)) == sitemaps.MAX_URLS
    for part in (b"<url>", b"<url ", b"<url", b"<!--", b"<url><loc>", b"<url><loc ", b"<"):
        assert list(sitemaps.entries(b"<urlset>" + part * 200_000, AT)) == []
    assert time.process_time() - began < 8


def test_robots_txt_names_sitemaps() -> None:
    robots = (
        "User-agent: *\nDisallow: /x\nSitemap: https://example.com/1.xml\n  sitemap : /2.xml # ours\n"
        "SITEMAP:https://example.com/1.xml\nSitemap:\nSitemap: file:///etc/passwd\nSitemap: http://[::1\n#Sitemap: /3.xml\n"
    )
    assert sitemaps.in_robots(robots.encode(), "https://example.com/robots.txt") == [
        "https://example.com/1.xml",
        "https://example.com/2.xml",
    ]


def test_robots_txt_is_bounded() -> None:
    body = b"".join(b"Sitemap: /%d.xml\n" % n for n in range(1_000))
    assert len(sitemaps.in_robots(body, AT)) == sitemaps.MAX_ROBOTS_SITEMAPS
    assert sitemaps.in_robots(b"#" * 600_000 + b"\nSitemap: /late.xml\n", AT) == []
