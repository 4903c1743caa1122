"""Answers become verdicts: every signature fires on its own mark, and honest pages are left alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scraper.bans import signatures
from scraper.bans.rules import judge_body, judge_headers, retry_after_s, unproven_end
from scraper.bans.signatures import Signature
from scraper.verdicts import BLOCKED, FAULT, GONE, GOOD, RATE_LIMITED, SITE_ERROR, Verdict

TABLE = signatures.load()
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
URL = "https://shop.example/p/1"
HTML = {"content-type": "text/html"}


def judge(
    status: int, headers: dict[str, str] | None = None, body: bytes = b"<html>x</html>", url: str = URL
) -> Verdict:
    given = {**HTML, **(headers or {})}
    return judge_headers(url, status, given, TABLE, NOW) or judge_body(status, given, body, TABLE, NOW)


@pytest.mark.parametrize("signature", TABLE, ids=lambda signature: signature.id)
def test_a_page_around_the_mark_fires_its_signature(signature: Signature) -> None:
    status = min(signature.statuses or {302 if signature.location else 200})
    headers = {name: text or "1" for name, text in signature.headers}
    if signature.location:
        headers["location"] = (
            f"https://x.example{signature.location[0]}"
            if signature.location[0][0] == "/"
            else f"https://www.{signature.location[0]}"
        )
    body = b"<html><body>" + b" ".join(signature.body) + b"</body></html>"
    verdict = judge(status, headers, body)
    assert verdict.rule == signature.id
    assert verdict.outcome == (RATE_LIMITED if signature.kind == "rate" else BLOCKED)
    assert (verdict.vendor, verdict.kind) == (signature.vendor, signature.kind)
    assert verdict.evidence


@pytest.mark.parametrize(
    "signature", [s for s in TABLE if s.gated and s.body], ids=lambda signature: signature.id
)
def test_a_gated_mark_on_a_long_ordinary_page_is_not_a_block(signature: Signature) -> None:
    body = (
        b"<html><body><p>An article about "
        + b" ".join(signature.body)
        + b"</p>"
        + b"<p>words</p>" * 4000
        + b"</body></html>"
    )
    assert judge(200, {}, body).outcome == GOOD


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (
            {"server": "cloudflare", "cf-ray": "8a"},
            b"<html><form><div class='cf-turnstile'></div></form></html>",
        ),
        ({"x-datadome": "protected"}, b"<html>a shop</html>"),
        ({"x-iinfo": "1", "x-cdn": "Imperva"}, b"<html>a shop</html>" * 2000),
        ({}, b"<html><form><div class='g-recaptcha'></div><input name='email'></form></html>"),
        ({}, b"<html><h1>How captcha-delivery.com works</h1></html>"),
    ],
)
def test_presence_of_a_vendor_is_not_a_block(headers: dict[str, str], body: bytes) -> None:
    assert judge(200, headers, body).outcome == GOOD


@pytest.mark.parametrize(
    ("status", "headers", "outcome", "rule"),
    [
        (404, {}, GONE, "status_404"),
        (410, {}, GONE, "status_410"),
        (429, {}, RATE_LIMITED, "status_429"),
        (503, {"retry-after": "2"}, RATE_LIMITED, "status_503_retry_after"),
        (503, {}, SITE_ERROR, "status_503"),
        (500, {}, SITE_ERROR, "status_500"),
        (403, {}, BLOCKED, "status_403"),
        (451, {}, BLOCKED, "status_451"),
        (999, {}, BLOCKED, "status_999"),
        (408, {}, FAULT, "status_408"),
        (401, {}, SITE_ERROR, "site_refused"),
        (200, {}, GOOD, "good"),
    ],
)
def test_status_without_a_signature(status: int, headers: dict[str, str], outcome: str, rule: str) -> None:
    verdict = judge(status, headers)
    assert (verdict.outcome, verdict.rule) == (outcome, rule)


def test_an_empty_page_with_status_200_is_a_block() -> None:
    assert judge(200, {}, b"").rule == "empty_page"


def test_a_redirect_to_a_block_page_is_a_block_unless_it_was_asked_for() -> None:
    assert judge_headers(URL, 302, {"location": "/blocked?from=x"}, TABLE, NOW).rule == "redirect_to_block"
    for elsewhere in (
        "/p/2",
        "/p/blocked-drain-kit",
        "/captcha-solving-guide",
        "/login?next=/blocked",
        "http://[::1",
    ):
        assert judge_headers(URL, 302, {"location": elsewhere}, TABLE, NOW) is None
    assert (
        judge_headers("https://x.example/blocked", 302, {"location": "/blocked?page=2"}, TABLE, NOW) is None
    )


def test_a_mark_behind_the_windows_is_not_looked_for() -> None:
    page = b"<html>" + b"a" * 30_000 + b"_cf_chl_opt" + b"a" * 30_000 + b"</html>"
    assert judge(200, {}, page).outcome == GOOD
    assert judge(200, {}, page[:1000] + b"_cf_chl_opt" + page[1000:]).rule == "cloudflare_challenge_page"


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("7", 7.0),
        ("Tue, 24 Nov 2026 12:00:30 GMT", 30.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-3", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(text: str, wait_s: float | None) -> None:
    assert retry_after_s(text, NOW) == wait_s


def test_only_an_html_page_without_length_chunks_and_end_may_have_been_cut() -> None:
    cut = b"<!doctype html><html><body>half a pag"
    assert unproven_end(HTML, cut)
    assert not unproven_end({**HTML, "content-length": "37"}, cut)
    assert not unproven_end({**HTML, "transfer-encoding": "chunked"}, cut)
    assert not unproven_end({"content-type": "application/json"}, b'{"html": "<html"')
    assert not unproven_end(HTML, cut + b"</HTML>\n")


@pytest.mark.parametrize(
    "text",
    [
        '[[signature]]\nid="a"\nvendor="v"\nkind="denied"\nstrength="strong"\n',
        '[[signature]]\nid="a"\nvendor="v"\nkind="denied"\nstrength="gated"\nbody=["x"]\n',
        '[[signature]]\nid="a"\nvendor="v"\nkind="d"\nstrength="strong"\nbody=["x"]\n[[signature]]\nid="a"\nvendor="v"\nkind="d"\nstrength="strong"\nbody=["x"]\n',
    ],
)
def test_a_signature_that_cannot_work_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="signature a"):
        signatures.parse(text)
