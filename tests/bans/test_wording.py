"""A signature in words: what it asks for, and how it fared on an answer, half a match included."""

from __future__ import annotations

import pytest

from scraper.bans import signature_file
from scraper.bans.answers import Answer
from scraper.bans.signatures import Signature
from scraper.bans.wording import fared, marks_of, named, shown
from scraper.errors import ConfigError

TABLE = signature_file.load()
MIXED = Signature(
    id="mixed",
    vendor="acme",
    kind="denied",
    strength="gated",
    source="acme.example",
    since="2026-11",
    statuses=frozenset({403, *range(500, 600)}),
    max_fields=0,
    headers=(("server", "acme"), ("x-id", ""), ("x-page", "!yes")),
    title=("denied", "refused"),
    text=("go away", "ray id"),
    unless=("shop",),
)


def told(status: int, body: bytes, **headers: str) -> str:
    return "\n".join(fared(MIXED, Answer("https://a.example/", status, headers, body)))


def test_every_mark_and_gate_is_shown() -> None:
    text = "\n".join(shown(MIXED))
    for part in ("header: server: acme", "x-id: any value", "x-page: not yes", "title: denied or refused", "text: ray id",
                 "status 403, 5xx", "at most 0 fields", "does not hold shop", "acme.example (since 2026-11)"):  # fmt: skip
        assert part in text
    for entry in TABLE:
        assert marks_of(entry) or entry.statuses, entry.id
        assert all(line.strip() for line in shown(entry))


def test_half_a_match_is_told_with_what_is_missing_and_which_gates_fail() -> None:
    page = b"<html><title>Denied</title>Go away from the shop <input name=q></html>"
    lines = told(200, page, **{"content-type": "text/html"}).splitlines()
    assert lines[0].split() == ["rule", "mixed", "does", "not", "hold"]
    text = "\n".join(lines)
    found, missing = text.partition("missing")[0], text.partition("missing")[2].partition("holds")[0]
    assert "title: denied" in found
    assert "text: go away" in found
    assert "server: acme" in missing, "a header is missing, and the body is looked at all the same"
    assert "text: ray id" in missing
    fails = text.partition("fails")[2]
    for part in ("status 200 is none of 403, 5xx", "fields to fill in: 1, at most 0", "the body holds shop"):
        assert part in fails


def test_what_holds_is_said_to_hold_and_nothing_at_all_is_all_missing() -> None:
    page = b"<html><title>Denied</title>Go away. Ray ID 1</html>"
    whole = told(403, page, server="acme", **{"x-id": "1", "x-page": "no", "content-type": "text/html"})
    assert "mixed holds" in whole
    assert "missing" not in whole
    assert "found" not in told(403, b"<html><p>x</p></html>")


def test_an_unknown_signature_is_named_with_the_nearest() -> None:
    assert named(TABLE, "akamai_denied", "--rule").vendor == "akamai"
    with pytest.raises(ConfigError, match="did you mean akamai_denied"):
        named(TABLE, "akamai_denid", "--rule")
