"""Adapter: no credentials in any line, and an INFO log that a person can read."""

from __future__ import annotations

import logging
from typing import Any

from scraper.runs.redact import redact

_LOUD = ("scrapy.middleware", "scrapy.addons")  # lists of components: forty lines at the start of every run
# They print every head and request with the words of whoever answers, who may repeat our credentials.
_TELLTALES = ("httpcore", "httpcore2", "httpx", "httpx2")
_OVERRIDDEN = "Overridden settings"


class RedactingFilter(logging.Filter):
    """Masks credentials in message and traceback. Works on a logger, on a handler, or through install()."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            message = (
                f"{record.msg} {record.args!r}"  # a wrong format string: the line is worth more than its form
            )
            record.msg, record.args = message, ()
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True


def install(*, quiet: bool) -> None:
    """Redact every record of this process; ``quiet`` leaves out Scrapy's lists of components and settings.

    Scrapy replaces its handler twice while a crawl starts, so the records are cleaned where they are made.
    """
    make = logging.getLogRecordFactory()
    if not getattr(make, "redacts", False):
        cleaner = RedactingFilter()

        def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = make(*args, **kwargs)
            if any(record.levelno >= handler.level for handler in logging.root.handlers):
                cleaner.filter(record)
            return record

        factory.redacts = True  # type: ignore[attr-defined]  # marks it, so that it is installed once
        logging.setLogRecordFactory(factory)
        logging.raiseExceptions = (
            False  # a log on a full disk would write a traceback to the terminal for every line
        )
    for name in _TELLTALES:
        logging.getLogger(name).setLevel(logging.WARNING)
    if quiet:
        for name in _LOUD:
            logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger("scrapy.crawler").addFilter(_not_overridden)


def _not_overridden(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_OVERRIDDEN)
