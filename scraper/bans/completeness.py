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


PIECE_BYTES = (
    4096  # decoded at a time: what follows a stream's end is copied, and a body may be thousands of streams
)


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
    view, at = memoryview(body), 0
    while at < len(body):
        stream = zlib.decompressobj(31)
        try:
            while not stream.eof and at < len(body):
                piece = view[at : at + PIECE_BYTES]
                stream.decompress(piece)
                at += len(piece) - len(stream.unused_data)
        except zlib.error:
            return stream.eof
        if not stream.eof:
            return False
        while at < len(body) and not view[at]:
            at += 1  # padding
        if bytes(view[at : at + 2]) != b"\x1f\x8b":
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
    view, at = memoryview(body), 0
    while at < len(body):
        stream = zstd.ZstdDecompressor()
        try:
            while not stream.eof and at < len(body):
                piece = view[at : at + PIECE_BYTES]
                stream.decompress(piece)
                at += len(piece) - len(stream.unused_data)
        except zstd.ZstdError:
            return False
        if not stream.eof:
            return False
    return True
