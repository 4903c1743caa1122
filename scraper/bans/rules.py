"""RULE. An answer becomes a verdict: first its status and headers, then its body.

Three questions, not two: was it a block, was it the page, or does it say nothing about the exit? A 404 is never a ban.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from scraper.bans.answers import EMPTY, Answer
from scraper.bans.signatures import Table, Trace
from scraper.verdicts import BLOCKED, FAULT, GONE, GOOD, RATE_LIMITED, SITE_ERROR, Verdict

_EVIDENCE_CHARS = 120
_REFUSED = frozenset({400, 401, 402, 405, 406, 410, 411, 412, 414, 415, 416, 422, 426, 428, 431})
_NO_PAGE = frozenset(
    {204, 205}
)  # with every 3xx: good answers that show no page, so they say nothing about the exit
_PAGES = frozenset({200, 202, 203})  # statuses that come with a page


def judge(answer: Answer, table: Table, now: datetime) -> Verdict:
    """Return the verdict of an answer that is there as a whole."""
    return judge_headers(answer, table, now) or judge_body(answer, table, now)


def judge_headers(answer: Answer, table: Table, now: datetime) -> Verdict | None:
    """Return what status and headers alone decide, or None when the body is needed."""
    if (trace := table.by_headers(answer)) is not None:
        return _of(trace, answer, now)
    if answer.status in (404, 410):
        return Verdict(GONE, f"status_{answer.status}")
    return None


def judge_body(answer: Answer, table: Table, now: datetime) -> Verdict:
    """Return the verdict of an answer whose headers decided nothing."""
    if answer.body and (trace := table.by_body(answer)) is not None:
        return _of(trace, answer, now)
    return _by_status(answer, now)


def _by_status(answer: Answer, now: datetime) -> Verdict:
    status, headers = answer.status, answer.headers
    rule = f"status_{status}"
    if status == 429:
        return Verdict(
            RATE_LIMITED, rule, kind="rate", retry_after_s=retry_after_s(headers.get("retry-after", ""), now)
        )
    if status == 503 and "retry-after" in headers:
        wait_s = retry_after_s(headers["retry-after"], now)
        return Verdict(RATE_LIMITED, "status_503_retry_after", kind="rate", retry_after_s=wait_s)
    if status == 451:
        return Verdict(BLOCKED, rule, kind="geo")
    if status in (403, 418):  # "you may not", without a word to whom: another exit tells
        return Verdict(BLOCKED, rule, kind="denied", proven=False)
    if status == 408:
        return Verdict(FAULT, rule, kind="transient")
    if status in _REFUSED:
        return Verdict(SITE_ERROR, "site_refused", kind="refused", evidence=str(status))
    if status >= 400:
        return Verdict(SITE_ERROR, rule)
    if status in _PAGES and answer.shape == EMPTY:
        return Verdict(BLOCKED, "empty_page", kind="empty", evidence=f"{len(answer.body)} bytes")
    if status in _NO_PAGE or 300 <= status < 400:
        return Verdict(GOOD, rule, proven=False)
    return Verdict(GOOD, "good")


def retry_after_s(value: str, now: datetime) -> float | None:
    """Seconds that a Retry-After header (seconds or an HTTP date) asks to wait; None where it says nothing usable."""
    text = value.strip()
    if text.isdecimal():  # not isdigit: a superscript two is no number
        return float(text)
    try:
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return max(0.0, (when - now).total_seconds())
    except (ValueError, OverflowError):
        return None


def unproven_end(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether an HTML page could have been cut by a closed connection: no length, not chunked, no ``</html>``."""
    if "content-length" in headers or "chunked" in headers.get("transfer-encoding", "").lower():
        return False
    if "html" not in headers.get("content-type", "").lower():
        return False
    return b"<html" in body[:2048].lower() and b"</html" not in body[-2048:].lower()


def judge_fault(kind: str, message: str) -> Verdict:
    """The verdict of a download that raised: ``kind`` is the word for the error, ``message`` its text."""
    return Verdict(FAULT, kind, kind=kind.removeprefix("gateway_"), evidence=message[:_EVIDENCE_CHARS])


def site_of(url: str) -> str:
    """The host under which a site is known everywhere in this project."""
    return urlsplit(url).hostname or ""


def _of(trace: Trace, answer: Answer, now: datetime) -> Verdict:
    signature = trace.signature
    evidence = "; ".join(trace.found)[:_EVIDENCE_CHARS] or f"status {answer.status}"
    if signature.kind == "refused":
        return Verdict(SITE_ERROR, signature.id, signature.vendor, "refused", evidence)
    if signature.kind == "rate":
        wait_s = retry_after_s(answer.headers.get("retry-after", ""), now)
        return Verdict(RATE_LIMITED, signature.id, signature.vendor, "rate", evidence, wait_s)
    proven = signature.strength != "weak"
    return Verdict(BLOCKED, signature.id, signature.vendor, signature.kind, evidence, proven=proven)
