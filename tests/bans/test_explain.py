"""An explanation says which rule fires, on what, why others did not, and agrees with the verdict of a crawl."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scraper.bans import reactions, rules, signature_file
from scraper.bans.answers import Answer
from scraper.bans.explain import BODY, CONTRACT, HEADERS, explain, is_block, lines
from scraper.verdicts import BLOCKED, GONE, Verdict

TABLE = signature_file.table(
    signature_file.parse(
        """
        [[signature]]
        id = "told_by_header"
        vendor = "acme"
        kind = "challenge"
        strength = "strong"
        headers = { x-acme = "challenge" }
        source = "acme.example: how we say it"
        since = "2026-11"

        [[signature]]
        id = "told_by_text"
        vendor = "acme"
        kind = "denied"
        strength = "gated"
        statuses = ["4xx", 503]
        max_text = 100
        title = ["access denied"]
        text = ["go away"]
        source = "a saved page"
        since = "2026-11"

        [[signature]]
        id = "told_by_status"
        vendor = "other"
        kind = "denied"
        strength = "gated"
        statuses = [999]
        source = "known for it"
        since = "2026-11"
        """
    )
)
LIMITS = reactions.Limits(attempts=6, rate_wait_s=5, rate_wait_max_s=120, fault_wait_s=0.5)
NOW = datetime(2026, 11, 24, tzinfo=UTC)
WALL = b"<html><title>Access denied</title><p>Go <b>away</b></p></html>"
SHOP = b"<html><title>Shop</title><p>Shirts</p></html>"


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer("https://shop.example/p", status, {"content-type": "text/html", **named}, body)


def told(status: int, body: bytes = b"", broken: Verdict | None = None, **headers: str) -> str:
    return "\n".join(lines(explain(answer(status, body, **headers), TABLE, NOW, broken), LIMITS))


@pytest.mark.parametrize(
    ("given", "rule", "phase", "said"),
    [
        (
            answer(200, SHOP),
            "good",
            BODY,
            ["no signature fires", "handed to the callback", "title       shop"],
        ),
        (
            answer(200, WALL, x_acme="challenge"),
            "told_by_header",
            HEADERS,
            [
                "blocked: told_by_header (acme, challenge)",
                "status and headers",
                "header: x-acme: challenge",
                "how we say it",
            ],
        ),
        (
            answer(403, WALL),
            "told_by_text",
            BODY,
            [
                "title: access denied",
                "text: go away",
                "status 403 is one of 503, 4xx",
                "at most 100",
                "another identity",
            ],
        ),
        (answer(999, SHOP), "told_by_status", HEADERS, ["found       status 999", "known for it"]),
        (answer(404, SHOP), "status_404", HEADERS, ["never a block"]),
        (
            answer(429, SHOP),
            "status_429",
            BODY,
            ["'too fast'", "after 5 s (BAN_RATE_LIMIT_WAIT_S", "nobody asks the site"],
        ),
        (answer(429, SHOP, retry_after="0"), "status_429", BODY, ["after 0 s (its Retry-After); 6 tries"]),
        (
            answer(429, SHOP, retry_after="Tue, 24 Nov 2026 01:00:00 GMT"),
            "status_429",
            BODY,
            ["after 120 s (BAN_RETRY_AFTER_MAX_S: its Retry-After asks for 3600 s)"],
        ),
        (answer(302, location="/p/2"), "status_302", BODY, ["what comes from /p/2 is judged", "no page yet"]),
        (answer(204), "status_204", BODY, ["handed to the callback; it says nothing about the exit"]),
        (answer(304), "status_304", BODY, ["not changed", "says nothing about the exit"]),
        (answer(405, SHOP), "site_refused", BODY, ["else given up and listed in failed.jsonl"]),
        (answer(403, SHOP), "status_403", BODY, ["you may not", "only once another exit gets the page"]),
        (answer(200), "empty_page", BODY, ["nothing came", "empty, 0 bytes"]),
        (
            answer(507, SHOP),
            "status_507",
            BODY,
            ["status 507 decides alone", "same identity", "3 tries at most"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_rule_its_reason_and_what_follows(given: Answer, rule: str, phase: str, said: list[str]) -> None:
    found = explain(given, TABLE, NOW)
    assert (found.verdict.rule, found.phase) == (rule, phase)
    assert found.verdict == rules.judge(given, TABLE, NOW), "what a crawl would say"
    text = "\n".join(lines(found, LIMITS))
    for part in said:
        assert part in text


def test_a_verdict_is_not_said_twice_and_only_a_block_is_held_against_an_exit() -> None:
    assert told(200, SHOP).splitlines()[0] == "good"
    assert "counts against the exit" not in told(204) + told(304) + told(302, location="/x")


def test_a_geo_wall_is_tried_from_the_countries_that_may_be_asked_for() -> None:
    found = explain(answer(451, SHOP), TABLE, NOW)
    anywhere, named, asked = ("\n".join(lines(found, LIMITS, places)) for places in (0, 3, 1))
    assert "another identity; 6 tries at most" in anywhere
    assert "from each country that the spider names; 4 tries at most" in named
    assert "from the country that was asked for; 2 tries at most" in asked


def test_what_only_a_crawl_can_tell_counts() -> None:
    absent = Verdict(GONE, "robots_absent", evidence="403")
    found = explain(answer(403, SHOP), TABLE, NOW, decided=absent)
    assert found.verdict == absent
    assert "forbids nothing" in "\n".join(lines(found, LIMITS))


def test_what_also_fires_and_what_nearly_did() -> None:
    both = told(403, WALL, x_acme="challenge")
    assert "also fires  told_by_text (title: access denied; text: go away)" in both
    long = told(200, WALL + b"<p>words</p>" * 100)
    assert long.startswith("good")
    (near,) = [line for line in long.splitlines() if "near miss" in line]
    assert "told_by_text" in near
    assert "200" in near
    assert "at most 100" in near, "every gate that did not hold is named"
    assert "near miss" not in told(200, SHOP)


def test_a_broken_contract_decides_about_good_pages_only() -> None:
    broken = Verdict(BLOCKED, "contract_parse_css", kind="contract", evidence=".price")
    found = explain(answer(200, SHOP), TABLE, NOW, broken)
    assert (found.phase, found.verdict, is_block(found.verdict)) == (CONTRACT, broken, True)
    assert ".price" in told(200, SHOP, broken)
    assert explain(answer(403, WALL), TABLE, NOW, broken).verdict.rule == "told_by_text"


def test_a_page_cannot_write_to_the_terminal() -> None:
    text = told(200, b"<html><title>a\x1b[31m\x07b\xc2\x9bc</title>\x1b]0;x\x07</html>")
    assert "title       a" in text
    assert all(char.isprintable() or char == "\n" for char in text)
