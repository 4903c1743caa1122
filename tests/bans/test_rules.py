"""Answers become verdicts. What each signature fires on stands in tests/bans/<vendor>/ (test_cases.py)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scraper.bans import rules, signature_file
from scraper.bans.answers import Answer
from scraper.bans.rules import judge_headers, retry_after_s, unproven_end
from scraper.verdicts import BLOCKED, FAULT, GONE, GOOD, RATE_LIMITED, SITE_ERROR, Verdict

TABLE = signature_file.load()
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
URL = "https://shop.example/p/1"
HTML = {"content-type": "text/html"}


def judge(
    status: int, headers: dict[str, str] | None = None, body: bytes = b"<html>x</html>", url: str = URL
) -> Verdict:
    return rules.judge(Answer(url, status, {**HTML, **(headers or {})}, body), TABLE, NOW)


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
        (999, {}, BLOCKED, "linkedin_999"),
        (408, {}, FAULT, "status_408"),
        (401, {}, SITE_ERROR, "site_refused"),
        (418, {}, BLOCKED, "status_418"),
        (200, {}, GOOD, "good"),
    ],
)
def test_status_without_a_signature(status: int, headers: dict[str, str], outcome: str, rule: str) -> None:
    verdict = judge(status, headers)
    assert (verdict.outcome, verdict.rule) == (outcome, rule)


@pytest.mark.parametrize(("status", "proven"), [(403, False), (418, False), (451, True), (999, True)])
def test_a_bare_403_waits_for_another_exit_before_it_counts(status: int, proven: bool) -> None:
    verdict = judge(status)
    assert (verdict.outcome, verdict.proven) == (BLOCKED, proven)


@pytest.mark.parametrize("body", [b"", b" \r\n\t ", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("status", [200, 202, 203])
def test_a_page_of_nothing_is_a_block(status: int, body: bytes) -> None:
    assert judge(status, {}, body).rule == "empty_page"


@pytest.mark.parametrize("status", [201, 204, 205, 206, 304])
def test_an_answer_that_has_no_page_is_none(status: int) -> None:
    assert judge(status, {}, b"").outcome == GOOD


def test_a_redirect_to_a_block_page_is_a_block_unless_it_was_asked_for() -> None:
    def sent(location: str, url: str = URL) -> Verdict | None:
        return judge_headers(Answer(url, 302, {"location": location}), TABLE, NOW)

    found = sent("/blocked?from=x")
    assert found is not None
    assert found.rule == "redirect_to_block"
    assert sent("/en-us/blocked") is not None
    for elsewhere in (
        "/p/2",
        "/p/blocked-drain-kit",
        "/captcha-solving-guide",
        "/login?next=/blocked",
        "/wiki/CAPTCHA",
        "/2024/05/captcha/",
        "/brands/blocked",
        "http://[::1",
    ):
        assert sent(elsewhere) is None
    assert sent("/blocked?page=2", "https://x.example/blocked") is None


@pytest.mark.parametrize(
    "page",
    [
        b'<meta http-equiv="refresh" content="0; url=/captcha?next=%2Fp%2F1">',
        b"<META HTTP-EQUIV='Refresh' CONTENT=\"0;URL='https://x.example/blocked?u=1'\">",
        b"<script>window.location.href = '/captcha?next=1'</script>",
        b'<script>location.replace("/blocked?x")</script>',
        b'<meta content="0; url=/captcha" http-equiv="refresh">',
        b'<meta http-equiv="refresh" content="0;/captcha?x">',
    ],
)
def test_a_page_that_only_sends_a_browser_to_a_block_page_is_one(page: bytes) -> None:
    assert judge(200, {}, b"<html><head>" + page + b"</head></html>").rule == "redirect_to_block"
    article = b"<html><body>" + b"<p>Words of an article.</p>" * 200 + b"</body></html>"
    assert judge(200, {}, page + article).outcome == GOOD


def test_a_mark_behind_the_windows_of_a_page_that_was_served_is_not_looked_for() -> None:
    mark = b"<script>window._cf_chl_opt={}</script>"
    filler = b"<!--" + b"a" * 60_000 + b"-->"
    assert judge(200, {}, b"<html>" + filler + mark + filler + b"</html>").outcome == GOOD
    assert judge(200, {}, b"<html>" + mark + filler + b"</html>").rule == "cloudflare_challenge_page"
    assert judge(403, {}, b"<html>" + filler + mark + filler + b"</html>").rule == "cloudflare_challenge_page"


def test_words_are_found_through_markup_entities_and_line_breaks() -> None:
    page = b"<html><body><h1>Access&nbsp;Denied</h1>You don't have <b>permission\r\n to</b> access it.<p>Reference&#32;&#35;18.1</body></html>"
    assert judge(403, {}, page).rule == "akamai_denied"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16le", "utf-16be", "utf-32le"])
def test_a_page_in_a_wide_encoding_is_read(encoding: str) -> None:
    page = "<html><title>Wait</title><script>window._cf_chl_opt={}</script></html>".encode(encoding)
    answer = Answer(URL, 200, HTML, page, encoding)
    assert rules.judge(answer, TABLE, NOW).rule == "cloudflare_challenge_page"
    assert answer.title == "wait"


@pytest.mark.parametrize("hidden", ["<svg class=logo />", "<!-->", "<!--->", "<svg><title>x</title></svg>"])
def test_what_does_not_hide_words_in_a_browser_does_not_hide_them_here(hidden: str) -> None:
    page = f"<html><body>{hidden}<h1>Access Denied</h1>You don't have permission to access it. Reference #18.1</body>"
    assert judge(403, {}, page.encode()).rule == "akamai_denied"


@pytest.mark.parametrize(
    "page",
    [
        b'<html><meta http-equiv="refresh" content=' + b" " * 200_000,
        b"<html><p>&#" + b"1" * 200_000 + b";",
        b"<html>" + b"<script" * 60_000,
        b"<html>" + b"<!--" * 100_000,
        b"<html>" + b"<" * 400_000,
        b"\n" * 400_000 + b"<html>captcha",
    ],
    ids=["spaces", "digits", "scripts", "comments", "brackets", "lines"],
)
def test_no_page_stalls_or_breaks_the_reader(page: bytes) -> None:
    """Each took minutes, or raised, with a reader that goes back over what it has seen."""
    for status in (200, 403):
        answer = Answer(URL, status, HTML, page)
        rules.judge(answer, TABLE, NOW)
        assert answer.n_fields == 0
        assert answer.sent_to == ""


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("7", 7.0),
        ("Tue, 24 Nov 2026 12:00:30 GMT", 30.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("\xb2", None),
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
