"""A compressed body that ends early is recognised at every length, a whole one never accused."""

from __future__ import annotations

import gzip

import brotli
import pytest
from backports import zstd

from scraper.bans.completeness import is_whole

PAGE = ("<html>" + "".join(f"<p>line {n} of a page</p>" for n in range(400)) + "</html>").encode()
PACK = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("encoding", PACK)
def test_a_whole_body_is_whole(encoding: str) -> None:
    assert is_whole(encoding, PACK[encoding](PAGE), len(PAGE))


@pytest.mark.parametrize("encoding", PACK)
def test_a_body_cut_anywhere_is_not(encoding: str) -> None:
    body = PACK[encoding](PAGE)
    for length in {*range(1, len(body), 97), len(body) - 1, len(body) - 8}:
        assert not is_whole(encoding, body[:length], len(PAGE) // 2), length


def test_gzip_in_several_members_or_with_bytes_behind_it_is_whole() -> None:
    twice = gzip.compress(PAGE) + gzip.compress(PAGE)
    assert is_whole("gzip", twice, 2 * len(PAGE))
    assert is_whole("x-gzip", gzip.compress(PAGE) + b"\0\0\0", len(PAGE))
    assert not is_whole("gzip", twice[:-20], len(PAGE))


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_of_very_many_streams_is_read_once(encoding: str) -> None:
    """2 MB of them took 10 s, when what follows each was copied."""
    body = PACK[encoding](b"") * (2_000_000 // len(PACK[encoding](b"")))
    assert is_whole(encoding, body, 1)
    assert not is_whole(encoding, body[:-3], 1)


def test_an_unknown_encoding_is_not_judged() -> None:
    assert is_whole("identity", b"", 0)
