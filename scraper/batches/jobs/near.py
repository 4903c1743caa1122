"""RULE. When two texts are nearly the same: shingles, and the bands of a MinHash signature (which rensa makes).

Two texts whose sets of shingles have the share s in common agree in a band with the probability s^8, and so meet in
one of the 16 with 1 - (1 - s^8)^16: 6 % of the pairs with s = 0.5 do, 95 % of those with 0.8, 99.4 % with 0.85, 99.99 % with
0.9. Those that meet are compared, 128 values with 128, which tells s within 0.03.
"""

from __future__ import annotations

import operator
import re
from array import array
from collections.abc import Iterator

import xxhash

VALUES = 128  # of a signature
BANDS = 16
_BAND_BYTES = VALUES // BANDS * 4
SHINGLE = 4  # words; two texts that differ in one word of a hundred have 92 % of these in common
LEAST_THRESHOLD = 0.8  # below, too many of the pairs sought never meet

_ALONE = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # written without blanks: Thai to Han
_WORD = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+")


def words_of(text: str) -> list[str]:
    """Its words in lower case, in scripts without blanks its characters."""
    return _WORD.findall(text.lower())


def shingles(words: list[str]) -> list[str]:
    """Every run of SHINGLE words."""
    return [" ".join(run) for run in zip(*(words[at:] for at in range(SHINGLE)), strict=False)]


def signature_of(values: list[int]) -> bytes:
    """128 numbers of 32 bits as 512 bytes."""
    return array("I", values).tobytes()


def bands(signature: bytes) -> Iterator[int]:
    """The 16 keys under which a text is found, as SQLite's integers (64 bits with a sign)."""
    for number in range(BANDS):
        part = signature[number * _BAND_BYTES : (number + 1) * _BAND_BYTES]
        yield xxhash.xxh3_64_intdigest(part, seed=number) - (1 << 63)


def likeness(one: bytes, other: bytes) -> float:
    """The share of shingles that both texts have, of those that either has: what the signatures tell of it, 0 to 1."""
    equal: int = sum(map(operator.eq, array("I", one), array("I", other)))
    return equal / VALUES
