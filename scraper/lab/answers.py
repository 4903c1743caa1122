"""What passes between the web server and a shop: a visit comes in, an answer goes out. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scraper.lab.exits import Exit


@dataclass(frozen=True)
class Visit:
    """One request as a shop sees it. ``now``: seconds since the lab started; ``ordinal``: nth of this site, from 0."""

    path: str
    query: Mapping[str, str]
    cookies: Mapping[str, str]
    exit: Exit
    now: float
    ordinal: int = 0

    @property
    def page(self) -> int:
        """The listing page asked for; 0 when the number makes no sense."""
        number = self.query.get("page", "1")
        return int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 0


@dataclass(frozen=True)
class Answer:
    """What a shop serves.

    ``what`` is the word the truth keeps: listing, product, api, robots, sitemap, private, missing for honest answers;
    block, captcha, wall, geo, rate, poison, blocked_page for refusals; fault for misbehaviour, with its kind in ``fault``.
    ``encodings``: content encodings to take turns with; empty: gzip where the client accepts it.
    """

    what: str
    body: str
    status: int = 200
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/html; charset=utf-8"
    encodings: tuple[str, ...] = ()
    fault: str = ""
