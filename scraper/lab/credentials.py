"""Proxy usernames: ``customer-lab[-country-xx][-session-ID][-sesstime-MIN]``, read as strictly as real gateways do."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from scraper.lab.exits import COUNTRIES, DEFAULT_MINUTES

CUSTOMER = "customer-lab"
MAX_MINUTES = 90
_SESSION = re.compile(r"[A-Za-z0-9_]{1,32}")


@dataclass(frozen=True)
class Wish:
    """What a username asks for; empty strings: any country, no session."""

    country: str = ""
    session: str = ""
    minutes: int = DEFAULT_MINUTES


class BadUsername(Exception):
    """``status`` and ``code`` as the gateway answers them, with a ``text`` for people."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(status, code, text)
        self.status, self.code, self.text = status, code, text


def basic(header: str) -> tuple[str, str] | None:
    """User and password of a Proxy-Authorization header, or None when it is no proper Basic header."""
    scheme, _, data = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(data.strip(), validate=True).decode("latin-1").partition(":")
    except ValueError:
        return None
    return (user, password) if colon else None


def parse(username: str) -> Wish:
    """Raises BadUsername: 407 for a wrong customer, name or value, 400 for a country that is not on offer."""
    customer, *rest = re.split(r"-(?=country-|session-|sesstime-)", username)
    if customer != CUSTOMER:
        raise BadUsername(407, "auth_failed", "Wrong user or password")
    given: dict[str, str] = {}
    for part in rest:
        name, _, value = part.partition("-")
        if name in given:
            raise BadUsername(407, "bad_parameter", f"Parameter {name} given twice")
        given[name] = value
    country = given.get("country", "")
    if "country" in given and country not in COUNTRIES:
        raise BadUsername(400, "unknown_country", f"Country {country!r} is not on offer")
    session = given.get("session", "")
    if "session" in given and not _SESSION.fullmatch(session):
        raise BadUsername(407, "bad_parameter", "Parameter session: 1 to 32 letters, digits or _")
    minutes = given.get("sesstime", str(DEFAULT_MINUTES))
    if not re.fullmatch(r"[0-9]{1,3}", minutes) or not 1 <= int(minutes) <= MAX_MINUTES:
        raise BadUsername(407, "bad_parameter", f"Parameter sesstime: 1 to {MAX_MINUTES} minutes")
    return Wish(country, session, int(minutes))
