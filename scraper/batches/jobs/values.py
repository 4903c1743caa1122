"""RULE. Steps that read one value out of a text as people write it: a price, a date.

The text stays; what was read goes beside it, in columns of one type.
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import re
import zoneinfo
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from scraper.batches.steps import Place, Row, RowStep, need
from scraper.errors import ConfigError

_LONGEST = (
    100  # characters of a text that may be a date: what is longer is none, and costs 10 ms to find that out
)
_CACHED = 10_000  # texts with their dates, about 2 MB
# Two moments that have nothing in common: a text that means the same at both means it at any.
_ONE_MOMENT = datetime(2024, 7, 19, 3, 7, 11, tzinfo=UTC)
_OTHER_MOMENT = datetime(2021, 2, 3, 16, 42, 53, tzinfo=UTC)
_YEAR = re.compile(
    r"(?<!\d)(?:19|20)\d\d(?!\d)"
)  # what has one is most often a whole date, and read once instead of twice
_COMPLETE = {"REQUIRE_PARTS": ["day", "month", "year"], "PARSERS": ["absolute-time"]}
_NOTHING: Mapping[str, Any] = {}


class Price(RowStep):
    """``price`` "1.299,00 €" -> ``price_amount`` 1299.0 and ``price_currency`` "€", for each of ``fields`` that the row has; both
    None if there is no number in it. ``decimal``: "." or "," where a site's "1.299" leaves it open; ``currency``: for
    prices that name none.
    """

    def __init__(
        self, place: Place, *, fields: Iterable[str] = ("price",), decimal: str = "", currency: str = ""
    ) -> None:
        if decimal not in ("", ".", ","):
            raise ConfigError(
                "BATCH_STEPS", decimal, 'price: decimal is ".", "," or "" for what it looks like'
            )
        self._fields, self._decimal, self._currency = tuple(fields), decimal or None, currency or None
        self.preload = need("price", "price_parser", "prices")

    def open(self) -> None:
        from price_parser import Price as Parser

        self._parse = Parser.fromstring

    def run(self, row: Row) -> Row:
        for name in self._fields:
            if name in row:
                row[f"{name}_amount"], row[f"{name}_currency"] = self._read(row[name])
        return row

    def _read(self, value: Any) -> tuple[float | None, str | None]:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value), self._currency
        if not isinstance(value, str):
            return None, None
        found = self._parse(value, decimal_separator=self._decimal)
        amount = None if found.amount is None else float(found.amount)
        return amount, None if amount is None else found.currency or self._currency


class Date(RowStep):
    """``published`` "5. März 2024" -> ``published_at``, a time in UTC, for each of ``fields`` that the row has; None if it is no date.

    ISO 8601 and the form of mail and RSS are read at once; anything else by dateparser, once per text. What counts from now ("3
    days ago", "Monday") counts from when the page was scraped. ``languages``: the only ones to think of, which makes it
    righter and faster; ``order``: "DMY", "MDY"... for "05/04/2024"; ``timezone``: of dates that name none.
    """

    def __init__(
        self,
        place: Place,
        *,
        fields: Iterable[str] = ("date",),
        languages: Iterable[str] = (),
        order: str = "",
        timezone: str = "UTC",
    ) -> None:
        if order and sorted(order) != ["D", "M", "Y"]:
            raise ConfigError("BATCH_STEPS", order, "date: order is the letters D, M and Y in some order")
        try:
            self._zone: tzinfo = zoneinfo.ZoneInfo(timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigError(
                "BATCH_STEPS", timezone, 'date: is no time zone, such as "Europe/Berlin"'
            ) from error
        self._fields, self._languages = tuple(fields), list(languages) or None
        self._settings = {"TIMEZONE": timezone, "TO_TIMEZONE": "UTC", "RETURN_AS_TIMEZONE_AWARE": True}
        self._settings |= {"PREFER_DAY_OF_MONTH": "first", "PREFER_MONTH_OF_YEAR": "first"}
        if order:
            self._settings["DATE_ORDER"] = order
        self.preload = need("date", "dateparser", "dates")

    def open(self) -> None:
        """ConfigError if dateparser does not know one of the languages."""
        from dateparser.date import DateDataParser

        self._parser = DateDataParser
        self._fixed = functools.lru_cache(_CACHED)(self._read_fixed)
        try:
            self._read_at("1 May 2024", _ONE_MOMENT)
        except ValueError as error:
            raise ConfigError("BATCH_STEPS", self._languages, f"date: {error}") from error

    def run(self, row: Row) -> Row:
        for name in self._fields:
            if name in row:
                row[f"{name}_at"] = self._read(row[name], row.get("_scraped_at"))
        return row

    def _read(self, value: Any, scraped_at: Any) -> datetime | None:
        if isinstance(value, datetime):
            return self._in_utc(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(int(value))  # seconds or milliseconds since 1970
        if not isinstance(value, str) or not (text := value.strip()) or len(text) > _LONGEST:
            return None
        with contextlib.suppress(ValueError, OverflowError):
            if len(text) >= len("2024-01-31"):
                return self._in_utc(datetime.fromisoformat(text))
        with contextlib.suppress(ValueError, OverflowError, TypeError):
            if text[3:4] == "," and text[-5:-4] in "+- ":
                return self._in_utc(email.utils.parsedate_to_datetime(text))
        is_fixed, found = self._fixed(text)
        if is_fixed or not isinstance(scraped_at, datetime):
            return found
        return self._read_at(text, scraped_at)

    def _read_fixed(self, text: str) -> tuple[bool, datetime | None]:
        """(whether it means the same at any moment, what it means then, else None)."""
        if _YEAR.search(text) and (found := self._read_at(text, _ONE_MOMENT, _COMPLETE)):
            return True, found
        one, other = self._read_at(text, _ONE_MOMENT), self._read_at(text, _OTHER_MOMENT)
        return one == other, one if one == other else None

    def _read_at(self, text: str, now: datetime, more: Mapping[str, Any] = _NOTHING) -> datetime | None:
        base = now.astimezone(self._zone).replace(tzinfo=None)
        settings = {**self._settings, "RELATIVE_BASE": base, **more}
        try:
            found: datetime | None = (
                self._parser(languages=self._languages, settings=settings).get_date_data(text).date_obj
            )
        except OverflowError:  # "99999 years ago"
            return None
        return found

    def _in_utc(self, moment: datetime) -> datetime:
        return (moment if moment.tzinfo else moment.replace(tzinfo=self._zone)).astimezone(UTC)
