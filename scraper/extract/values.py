"""RULE. Dates and prices as people write them, to ISO 8601 and numbers. What is not clear is None, never a guess."""

from __future__ import annotations

import re
from datetime import date, datetime
from email.utils import parsedate_to_datetime

_YEARS = range(1970, 2101)  # others are defaults and typing errors: 0001-01-01, 1900-01-01, 9999-12-31
_MONTHS = {name: n // 2 + 1 for n, name in enumerate(
    ["january", "jan", "february", "feb", "march", "mar", "april", "apr", "may", "may", "june", "jun", "july", "jul",
     "august", "aug", "september", "sep", "october", "oct", "november", "nov", "december", "dec"])} | {"sept": 9}  # fmt: skip
_NUMERIC = re.compile(
    r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})"
    r"(?:[T ]+(\d{1,2}:\d{2}(?::\d{2})?)(?:[.,]\d+)?\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?)?"
)
_MONTH_FIRST = re.compile(
    r"(?:[a-z]+,\s+)?([a-z]{3,9})\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})\b", re.IGNORECASE
)
_DAY_FIRST = re.compile(
    r"(?:[a-z]+,?\s+)?(\d{1,2})(?:st|nd|rd|th)?\.?\s+([a-z]{3,9})\.?,?\s+(\d{4})$", re.IGNORECASE
)

_CURRENCIES = {"€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₽": "RUB", "₩": "KRW", "₺": "TRY", "₴": "UAH", "zł": "PLN",
               "Kč": "CZK", "R$": "BRL", "$": "USD"}  # fmt: skip
_CURRENCY = re.compile("|".join(re.escape(sign) for sign in sorted(_CURRENCIES, key=len, reverse=True)))
_ISO_4217 = re.compile(
    r"\b(?:USD|EUR|GBP|JPY|CNY|INR|AUD|CAD|CHF|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|RUB|TRY|KRW|ZAR|NZD|SGD|HKD)\b"
)
_AMOUNT = re.compile(r"\d(?:[\d.,'’\u00a0\u202f ]*\d)?")


def iso_date(text: str | None) -> str | None:
    """Return ``YYYY-MM-DD``, or ``YYYY-MM-DDTHH:MM:SS`` with its offset if one was given, or None.

    Reads ISO 8601 in its usual spellings, RFC 5322 (``Tue, 05 Mar 2024 10:00:00 GMT``) and English dates with the
    month in letters. ``05/03/2024`` is None: nobody can tell the day from the month. Years 1970 to 2100.
    """
    text = (text or "").strip()
    if not 8 <= len(text) <= 64:
        return None
    try:
        if match := _NUMERIC.match(text):
            return _numeric(*match.groups())
        if match := _MONTH_FIRST.match(text):
            return _day(int(match[3]), _MONTHS[match[1].lower()], int(match[2]))
        if match := _DAY_FIRST.match(text):
            return _day(int(match[3]), _MONTHS[match[2].lower()], int(match[1]))
        moment = parsedate_to_datetime(text)
        return moment.isoformat(timespec="seconds") if moment.year in _YEARS else None
    except (ValueError, KeyError, OverflowError):
        return None


def price(text: str | None) -> tuple[float | None, str | None]:
    """Return amount and ISO 4217 currency of ``£1,234.50``, ``1.234,50 €``, ``CHF 1'200``; None for what is missing.

    ``$`` is USD. The last separator with one or two digits behind it is the decimal one; groups of three are thousands.
    """
    text = text or ""
    amount = _AMOUNT.search(text)
    if amount is None:
        return None, None
    code = _ISO_4217.search(text.upper())
    sign = _CURRENCY.search(text)
    currency = code[0] if code else _CURRENCIES[sign[0]] if sign else None
    digits = re.sub(r"[^\d.,]", "", amount[0])
    whole, decimals = digits, ""
    if match := re.search(r"[.,](\d{1,2})$", digits):
        whole, decimals = digits[: match.start()], match[1]
    whole = re.sub(r"[.,]", "", whole)
    return (float(f"{whole}.{decimals or 0}"), currency) if len(whole) <= 15 else (None, currency)


def _numeric(year: str, month: str, day: str, clock: str | None, offset: str | None) -> str | None:
    plain = _day(int(year), int(month), int(day))
    if plain is None or clock is None:
        return plain
    zone = "+00:00" if offset in ("Z", "UTC", "GMT") else offset or ""
    if zone and ":" not in zone:
        zone = f"{zone[:3]}:{zone[3:] or '00'}"
    return datetime.fromisoformat(
        f"{plain}T{clock.zfill(5) if clock.count(':') == 1 else clock.zfill(8)}{zone}"
    ).isoformat()


def _day(year: int, month: int, day: int) -> str | None:
    return date(year, month, day).isoformat() if year in _YEARS else None
