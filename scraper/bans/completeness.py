"""RULE. Whether a compressed body is whole: Scrapy hands over what could be decoded of a cut one, without a word."""

from __future__ import annotations

import sys
import zlib

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# What decoders raise for a body that is not what its Content-Encoding says.
UNDECODABLE_ERRORS = (zlib.error, brotli.error, zstd.ZstdError, OSError, EOFError, ValueError)


def is_whole(encoding: str, body: bytes, decoded_bytes: int) -> bool:
    """Whether ``body`` ends where its encoding says. ``decoded_bytes``: length of what Scrapy made of it.

    A gzip stream says its length in its last four bytes, so the usual page costs nothing; what looks cut, and every
    brotli and zstd body, is decoded once more to be sure.
    """
    name = encoding.strip().lower()
    if name in ("gzip", "x-gzip"):
        told = int.from_bytes(body[-4:], "little") if len(body) >= 18 else -1
        return told == decoded_bytes & 0xFFFFFFFF or _gzip_ends(body)
    if name == "br":
        return _brotli_ends(body)
    if name == "zstd":
        return _zstd_ends(body)
    return True


def _gzip_ends(body: bytes) -> bool:
    rest = body
    while rest:
        stream = zlib.decompressobj(31)
        try:
            stream.decompress(rest)
        except zlib.error:
            return stream.eof
        if not stream.eof:
            return False
        rest = stream.unused_data.lstrip(b"\0")
        if not rest.startswith(b"\x1f\x8b"):
            return True  # something that is not gzip behind a whole stream: the page itself is there
    return True


def _brotli_ends(body: bytes) -> bool:
    stream = brotli.Decompressor()
    try:
        stream.process(body)
    except brotli.error:
        return False
    return bool(stream.is_finished())


def _zstd_ends(body: bytes) -> bool:
    rest = body
    while rest:
        stream = zstd.ZstdDecompressor()
        try:
            stream.decompress(rest)
        except zstd.ZstdError:
            return False
        if not stream.eof:
            return False
        rest = stream.unused_data
    return True
