"""A broker with a few pools, and the steps of a try as the middleware takes them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from scraper.proxies.beliefs import Beliefs
from scraper.proxies.broker import (
    Ask,
    Broker,
    Heard,
    Patience,
    Wait,
)
from scraper.proxies.choice import Terms
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.ledger import Budget, Ledger
from scraper.proxies.pace import Pace
from scraper.proxies.pools import Pool
from scraper.proxies.roster import Identity, Limits, Roster
from scraper.proxies.stamina import Stamina
from scraper.verdicts import BLOCKED, FAULT, GOOD, Verdict

SHOP, OTHER = "shop.example", "other.example"
PAGE, BLOCK = 40_000, 6_000
DEAD_AFTER = 20
GOOD_PAGE, DENIED = Verdict(GOOD, "ok"), Verdict(BLOCKED, "status_403", kind="denied")


def pool(name: str, usd: float, *countries: str, n: int = 1, kind: str = "gateway") -> Pool:
    return Pool(
        name, kind, usd, countries, tuple(Endpoint("http", f"{i}.{name}.example", 1) for i in range(n))
    )


DIRECT = Pool("direct", "direct")
DC = pool("dc", 0.5, n=4, kind="list")
HOME, AWAY = pool("home", 4.0, "us", "de"), pool("away", 5.0, "us", "de")


def broker(
    *pools: Pool, terms: Terms | None = None, budget: Budget | None = None, in_flight: int = 1, seed: int = 1
) -> Broker:
    chance = random.Random(seed)
    return Broker(
        pools=pools,
        terms=terms or Terms(),
        patience=Patience(for_cheaper_s=10.0, surest_from=4, dead_after=DEAD_AFTER),
        roster=Roster(Limits(in_flight, 480.0, 48.0), Stamina(100), chance),
        beliefs=Beliefs(),
        ledger=Ledger(budget or Budget()),
        pace=Pace(1.0, 30.0),
        chance=chance,
    )


def refusal(kind: str) -> Verdict:
    """As bans judges a gateway's refusal of that class."""
    return Verdict(FAULT, f"gateway_{kind}", kind=kind, evidence="pool answered 4xx")


def go(rules: Broker, now_s: float = 0.0, site: str = SHOP, **wish: object) -> Identity:
    found = rules.lease(Ask(site, **wish), now_s)  # type: ignore[arg-type]  # fields of Ask, by name
    assert isinstance(found, Identity), found
    return found


def end(
    rules: Broker, identity: Identity, verdict: Verdict, now_s: float = 0.0, *, answered: bool | None = None
) -> Heard:
    """As the middleware does: the lease ends first, then the verdict is heard."""
    rules.release(identity.id, now_s)
    came = verdict.outcome != FAULT if answered is None else answered
    return rules.heard(
        identity, verdict, now_s, n_bytes=PAGE if verdict.outcome == GOOD else BLOCK, answered=came
    )


def page(
    rules: Broker, now_s: float = 0.0, verdict: Verdict = GOOD_PAGE, site: str = SHOP, **wish: object
) -> Identity:
    identity = go(rules, now_s, site, **wish)
    end(rules, identity, verdict, now_s)
    return identity


def fail(
    rules: Broker, times: int, kind: str = "unreachable", now_s: float = 0.0, pool: str = ""
) -> Sequence[Heard]:
    """So many tries, each at the moment at which one is allowed."""
    heard = []
    for _ in range(times):
        while isinstance(found := rules.lease(Ask(SHOP, pool=pool), now_s), Wait):
            now_s = found.until_s
        heard.append(end(rules, found, refusal(kind), now_s, answered=False))
        now_s += 1.0
    return heard
