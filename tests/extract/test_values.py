"""Dates and prices as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scraper.extract.values import iso_date, price


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024-03-05", "2024-03-05"),
        ("2024/3/5", "2024-03-05"),
        ("2024.03.05", "2024-03-05"),
        (" 2024-03-05T10:20:30Z ", "2024-03-05T10:20:30+00:00"),
        ("2024-03-05T10:20:30.123456+02:00", "2024-03-05T10:20:30+02:00"),
        ("2024-03-05 10:20:30 +0200", "2024-03-05T10:20:30+02:00"),
        ("2024-03-05T10:20-05", "2024-03-05T10:20:00-05:00"),
        ("2024-03-05 9:05", "2024-03-05T09:05:00"),
        ("2024-03-05 10:20 UTC", "2024-03-05T10:20:00+00:00"),
        ("2024-03-05, 10 o'clock", "2024-03-05"),
        ("Tue, 05 Mar 2024 10:20:30 GMT", "2024-03-05T10:20:30+00:00"),
        ("Tue, 05 Mar 2024 10:20:30 -0800", "2024-03-05T10:20:30-08:00"),
        ("March 5, 2024", "2024-03-05"),
        ("Sept. 5th 2024", "2024-09-05"),
        ("Tuesday, March 5, 2024 10:20 AM", "2024-03-05"),
        ("5 March 2024", "2024-03-05"),
        ("5. Mar 2024", "2024-03-05"),
    ],
)
def test_a_date_becomes_iso_8601(text: str, date: str) -> None:
    assert iso_date(text) == date


@pytest.mark.parametrize(
    "text",
    [None, "", "yesterday", "2024", "05/03/2024", "2024-13-01", "2024-02-30", "0001-01-01T00:00:00Z", "1900-01-01",
     "9999-12-31", "2024-03-05T25:00:00Z", "PT10M", "18 augustus 2023", "Marchember 5, 2024", "1709633000000", "x" * 500],
)  # fmt: skip
def test_what_is_no_date_or_not_clear_is_none(text: str | None) -> None:
    assert iso_date(text) is None


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("£51.77", 51.77, "GBP"),
        ("$1,234.56", 1234.56, "USD"),
        ("1.234,56 €", 1234.56, "EUR"),
        ("1 234,50 zł", 1234.5, "PLN"),
        ("CHF 1'200", 1200.0, "CHF"),
        ("1.234 €", 1234.0, "EUR"),
        ("12,345,678 JPY", 12345678.0, "JPY"),
        ("EUR 0,5", 0.5, "EUR"),
        ("from 9.99 usd", 9.99, "USD"),
        ("R$ 10", 10.0, "BRL"),
        ("19", 19.0, None),
        ("Price: 19.", 19.0, None),
        ("free, in €", None, None),
        ("", None, None),
        (None, None, None),
        ("9" * 400, None, None),
    ],
)
def test_a_price_becomes_amount_and_currency(
    text: str | None, amount: float | None, currency: str | None
) -> None:
    assert price(text) == (amount, currency)


@settings(deadline=None)
@given(st.text())
def test_no_text_raises(text: str) -> None:
    iso_date(text)
    price(text)
    iso_date(f"2024-03-05{text}")
    price(f"1{text}")
