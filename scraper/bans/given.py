"""ADAPTER. The answers that `scrapy bans explain` is given, in a file or by a site, as the middleware would see them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from scrapy.http import Headers, Response, TextResponse
from scrapy.responsetypes import responsetypes

from scraper.bans import samples
from scraper.bans.answers import Answer
from scraper.bans.wording import short
from scraper.errors import ConfigError
from scraper.verdicts import Verdict

STDIN = "-"
DECODED_BYTES = 32 * 1024 * 1024  # of a compressed body
_UNKNOWN = "https://unknown.invalid/"  # the address of a page that tells none
_HOST_AND_PORT = re.compile(r"[\w.-]+:\d+(/|$)")


class NothingToJudge(Exception):
    """Why, in words."""


@dataclass(frozen=True, slots=True)
class Given:
    """``said``: where it is from; ``when`` it came; ``notes``: of a sample; ``lines``: more to tell.

    ``decided``: what a crawl made of it, where only that can tell. ``lacks_body``: its body was left out (curl -I).
    """

    response: Response
    said: str
    when: datetime
    notes: Mapping[str, str] = field(default_factory=dict)
    decided: Verdict | None = None
    lacks_body: bool = False
    lines: tuple[str, ...] = ()


def is_address(what: str) -> bool:
    """Whether an address is meant, and not a file."""
    return "://" in what or bool(_HOST_AND_PORT.match(what))


def check_address(name: str, url: str) -> None:
    """Raise ConfigError for what cannot be asked for; ``name`` is where it was given."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(name, url, f"is no address: {error}") from error
    if "://" not in url:
        raise ConfigError(name, url, "must begin with http:// or https://")
    if parts.scheme not in ("http", "https"):
        raise ConfigError(name, url, "only http:// and https:// are fetched; a file is named by its path")
    if not host:
        raise ConfigError(name, url, "names no host")


def from_file(name: str, status: int, added: Iterable[str], url: str) -> Given:
    """What a file holds ("-": the standard input), with headers ``added`` as "name: value". ``status`` 0, ``url`` "":
    as the file says. Raises OSError, ValueError, and ConfigError for a header that is none."""
    sample = samples.from_bytes(sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes())
    headers = Headers()
    for key, value in (*sample.headers, *map(_header, added)):
        headers.appendlist(key, value)
    noted = [short(f"{key} {value}") for key, value in sample.notes.items() if value and key != "evidence"]
    if not (sample.status or status):
        noted.append("the file tells no status: 200 is taken, --status tells another")
    said_empty = headers.get(b"Content-Length") == b"0"
    return Given(
        _response(url or sample.url or _UNKNOWN, status or sample.status or 200, headers, sample.body, name),
        "; ".join(["the standard input" if name == STDIN else name, *noted]),
        _when(sample),
        sample.notes,
        lacks_body=not (sample.body or sample.notes or said_empty),
    )


def readable(response: Response) -> Response:
    """An answer as it came off the wire, decompressed."""
    return _response(response.url, response.status, response.headers.copy(), response.body)


def answer_of(response: Response) -> Answer:
    headers = {
        name.decode("latin-1").lower(): b", ".join(values).decode("latin-1")
        for name, values in dict.items(response.headers)
    }
    encoding = response.encoding if isinstance(response, TextResponse) else "utf-8"
    return Answer(response.url, response.status, headers, response.body, encoding)


def _response(url: str, status: int, headers: Headers, body: bytes, name: str | None = None) -> Response:
    encoding = b", ".join(headers.getlist(b"Content-Encoding")).decode("latin-1")
    if encoding and (decoded := samples.decompressed(body, encoding, DECODED_BYTES)) is not None:
        body = decoded
        del headers[b"Content-Encoding"]
    kind = responsetypes.from_args(headers=headers, url=url, filename=name, body=body)
    return kind(url, status=status, headers=headers, body=body)


def _header(given: str) -> tuple[str, str]:
    name, colon, value = given.partition(":")
    if not (name.strip() and colon):
        raise ConfigError("--header", given, "must be 'name: value'")
    return name.strip(), value.strip()


def _when(sample: samples.Sample) -> datetime:
    """When the answer came, by what the file says, else now: its Retry-After may name a date."""
    try:
        if "time" in sample.notes:
            told = datetime.fromisoformat(sample.notes["time"])
        else:
            told = parsedate_to_datetime(
                next(value for name, value in sample.headers if name.lower() == "date")
            )
    except (StopIteration, ValueError):
        return datetime.now(UTC)
    return told if told.tzinfo else told.replace(tzinfo=UTC)
