"""RULE. An answer becomes a verdict: first its status and headers, then its body.

Three questions, not two: was it a block, was it the page, or does it say nothing about the exit? A 404 is never a ban.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from scraper.bans.signatures import Signature, matches_body, matches_headers, window_of
from scraper.verdicts import BLOCKED, FAULT, GONE, GOOD, RATE_LIMITED, SITE_ERROR, Verdict

_EVIDENCE_CHARS = 120
_REFUSED = frozenset({400, 401, 402, 405, 406, 410, 411, 412, 414, 415, 416, 422, 426, 428, 431})


def judge_headers(
    url: str,
    status: int,
    headers: Mapping[str, str],
    signatures: Sequence[Signature],
    now: datetime,
) -> Verdict | None:
    """Return what status and headers alone decide, or None when the body is needed. ``headers`` by lower-case name."""
    location = headers.get("location", "") if 300 <= status < 400 else ""
    for signature in signatures:
        if signature.needs_body or not matches_headers(signature, status, headers, location):
            continue
        if location and any(text in url for text in signature.location):
            continue  # it was asked for, not sent there
        return _blocked(signature, location or f"{status} {dict(signature.headers)}", headers, now)
    if status in (404, 410):
        return Verdict(GONE, f"status_{status}")
    return None


def judge_body(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    signatures: Sequence[Signature],
    now: datetime,
) -> Verdict:
    """Return the verdict of an answer whose headers decided nothing. ``body``: decompressed bytes."""
    window = window_of(body)
    location = headers.get("location", "")
    for signature in signatures:
        if (
            signature.needs_body
            and matches_body(signature, body, window)
            and matches_headers(signature, status, headers, location)
        ):
            return _blocked(signature, signature.body[0].decode(errors="replace"), headers, now)
    return _by_status(status, headers, body, now)


def _by_status(status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> Verdict:
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
    if status in (403, 999):
        return Verdict(BLOCKED, rule, kind="denied")
    if status == 408:
        return Verdict(FAULT, rule, kind="transient")
    if status in _REFUSED:
        return Verdict(SITE_ERROR, "site_refused", kind="refused", evidence=str(status))
    if status >= 400:
        return Verdict(SITE_ERROR, rule)
    if not body and status == 200:
        return Verdict(BLOCKED, "empty_page", kind="empty")
    return Verdict(GOOD, "good")


def retry_after_s(value: str, now: datetime) -> float | None:
    """Seconds that a Retry-After header (seconds or an HTTP date) asks to wait; None where it says nothing usable."""
    text = value.strip()
    if text.isdigit():
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


def _blocked(signature: Signature, evidence: str, headers: Mapping[str, str], now: datetime) -> Verdict:
    return Verdict(
        RATE_LIMITED if signature.kind == "rate" else BLOCKED,
        signature.id,
        signature.vendor,
        signature.kind,
        evidence[:_EVIDENCE_CHARS],
        retry_after_s(headers.get("retry-after", ""), now) if signature.kind == "rate" else None,
    )
