"""A saved sample is read back as it was, and carries no secret."""

from __future__ import annotations

import gzip
import os
import string
import time
import zlib
from pathlib import Path

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.bans import samples
from scraper.bans.samples import (
    SAMPLE_BYTES,
    Folder,
    Sample,
    from_bytes,
    kept_of,
    to_bytes,
    without_secrets,
)

WORDS = st.text(string.ascii_letters + string.digits + "-/;=,.%", min_size=1, max_size=30)
NAMES = st.text(string.ascii_letters + "-", min_size=1, max_size=20).filter(
    lambda name: not name.lower().startswith("sample")
)
PAGE = b"<html><title>Access denied</title></html>"


@given(
    status=st.integers(100, 999),
    headers=st.lists(st.tuples(NAMES, WORDS), max_size=6),
    body=st.binary(max_size=300),
    evidence=st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp", "Zs")), max_size=20),
)
def test_what_is_written_is_read_back(
    status: int, headers: list[tuple[str, str]], body: bytes, evidence: str
) -> None:
    sample = Sample(
        "https://shop.example/p?q=1", status, tuple(headers), body, {"rule": "a", "evidence": evidence}
    )
    assert from_bytes(to_bytes(sample)) == sample


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_what_curl_prints_is_read_and_the_last_of_several_answers_counts(end: bytes) -> None:
    heads = (
        (b"HTTP/1.1 200 Connection established",),
        (b"HTTP/1.1 302 Found", b"Location: /x"),
        (b"HTTP/2 403 ", b"server: cloudflare", b"set-cookie: a=1", b"set-cookie: b=2"),
    )
    printed = b"".join(end.join(head) + end + end for head in heads) + PAGE
    found = from_bytes(printed)
    assert (found.status, found.body, found.url) == (403, PAGE, "")
    assert found.headers == (("server", "cloudflare"), ("set-cookie", "a=1"), ("set-cookie", "b=2"))
    assert from_bytes(PAGE) == Sample("", 0, (), PAGE)
    with_words = printed.replace(
        b"Location: /x" + end + end, b"Location: /x" + end + end + b"<p>moved</p>" + end
    )
    assert with_words != printed
    assert from_bytes(with_words) == found, "the words of a redirect that was followed are no page"
    quoting = b"HTTP/1.1 403 Forbidden" + end + end + b"<pre>HTTP/1.1 200 OK" + end + b"Server: x</pre>"
    assert from_bytes(quoting).status == 403


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1\n\nx", b"HTTP/1.1 200 OK\n<html>no blank line</html>", b"HTTP/1.1 abc\n\n"]
)
def test_a_head_that_is_none_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"status line|no header"):
        from_bytes(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            b"* Connected to shop.example\r\n> GET / HTTP/1.1\r\n> \r\n< HTTP/1.1 403 Forbidden\r\n< \r\nx",
            "curl -v",
        ),
        (b"", "empty"),
        (b"\r\n \n", "empty"),
    ],
)
def test_what_holds_no_answer_is_refused_in_words(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_bytes(data)
    page = b"<html><pre>\n< HTTP/1.1 200 OK\n</pre></html>"
    assert from_bytes(page).body == page, "a page about curl is a page"


def test_no_secret_is_kept_and_what_signatures_look_at_is() -> None:
    sample = Sample(
        "https://user:canary@shop.example/p?api_key=canary&page=2",
        403,
        (
            ("Set-Cookie", "__cf_bm=canary; path=/; HttpOnly"),
            ("Proxy-Authenticate", "Basic realm=canary"),
            ("X-Auth-Token", "canary"),
            ("Location", "https://u:can@ary@shop.example/sorry/index?continue=x&token=canary"),
            ("Cf-Mitigated", "challenge"),
        ),
        b"you sent Proxy-Authorization: Basic canary to http://u:canary@gateway.example:80/ from a@b.example",
        {"evidence": "location: https://u:canary@shop.example/"},
    )
    kept = to_bytes(without_secrets(sample))
    assert b"canary" not in kept
    assert b"ary@" not in kept
    for text in (
        b"__cf_bm=***; path=/",
        b"Cf-Mitigated: challenge",
        b"/sorry/index?continue=x",
        b"page=2",
        b"a@b.example",
    ):
        assert text in kept, text
    assert "credentials masked" in from_bytes(kept).notes["body"]
    honest = Sample(
        "https://shop.example/", 403, (), b"Authorization required: write to a@b.example, http://[::1]:80/@x"
    )
    assert without_secrets(honest) == honest


@pytest.mark.parametrize("glued", [b"http://a:b", b"http://:::", b"authorization: ", b"://" + b"a" * 300])
def test_no_page_makes_the_masks_slow(glued: bytes) -> None:
    body = (glued * SAMPLE_BYTES)[:SAMPLE_BYTES]
    began = time.process_time()
    without_secrets(Sample("", 403, (), body))
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("br", brotli.compress),
        ("zstd", samples.zstd.compress),
    ],
)
def test_a_body_is_kept_decompressed_and_bounded(encoding: str, pack: object) -> None:
    assert callable(pack)
    assert kept_of(pack(PAGE), encoding) == (PAGE, True, f"whole, was {encoding}")
    bomb = pack(b"a" * 60_000_000)
    began = time.process_time()
    body, decoded, said = kept_of(bomb, encoding)
    assert time.process_time() - began < 0.1
    assert (len(body), decoded) == (SAMPLE_BYTES, True)
    assert said.startswith(f"cut: the first {SAMPLE_BYTES} bytes")
    assert kept_of(PAGE, encoding) == (PAGE, False, f"whole, still {encoding}")


def test_one_sample_a_rule_and_again_only_for_its_body(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "blocks", limit=2)
    bare, whole = (
        Sample("https://shop.example/", 403, (), b""),
        Sample("https://shop.example/", 403, (), PAGE),
    )
    assert folder.wants("a", has_body=False)
    path = folder.save("a", bare)
    assert not folder.wants("a", has_body=False)
    assert folder.wants("a", has_body=True)
    assert folder.save("a", whole) == path
    assert not folder.wants("a", has_body=True)
    assert from_bytes(path.read_bytes()).body == PAGE
    other = folder.save("../../B c", whole)
    assert other.parent == path.parent
    assert not folder.wants("third", has_body=True), "of so many rules and no more"
    assert sorted(path.parent.iterdir()) == sorted([path, other]), "no half-written file is left"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "blocks", limit=2)
    (tmp_path / "blocks").mkdir()
    (tmp_path / "blocks" / f".a.txt.{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(OSError, match="space"):
        folder.save("a", Sample("https://shop.example/", 403, (), PAGE))
    assert list((tmp_path / "blocks").iterdir()) == []
    assert folder.wants("a", has_body=True)
