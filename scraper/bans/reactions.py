"""RULE. What follows from a verdict: TABLE, read from the top. ``react`` decides by it, and docs/reactions.md prints it.

The identity is the business of proxies/, which hears every verdict and retires it where the table says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from scraper.verdicts import BLOCKED, FAULT, GONE, GOOD, RATE_LIMITED, SITE_ERROR, Verdict

HAND_ON = "hand on"  # to the callback
TRY_AGAIN = "try again"
GIVE_UP = "give up"

KEPT, RETIRED, NOBODY = "kept", "retired", "-"  # the identity; NOBODY: the request never left
AT_ONCE = "none"
BACK_OFF = "BAN_FAULT_WAIT_S, doubled each time"
SITE_WAITS = "the site's Retry-After, else BAN_RATE_LIMIT_WAIT_S; for the whole site"

ALL = "BAN_MAX_ATTEMPTS"
FEW = 3  # tries where the site itself is ill: Scrapy's own number
BARE = "BAN_MAX_ATTEMPTS; 2 at a site that refused some pages to everybody"
PLACES = "each country that may be asked for, and one more"

NOT_SENT = frozenset({"target_refused", "budget", "site_budget", "gateway_impossible"})
OF_THE_POOL = frozenset({"config", "account", "forbidden", "session_lost"})

PAGE_BUDGET = "page_budget"  # why a page is given up before its tries are: they cost too much
NO_COUNTRY = "no_country_passes"  # or no country that may be asked for is let in


@dataclass(frozen=True, slots=True)
class Row:
    """Fits a verdict of ``outcome``; ``kinds`` and ``rules`` empty: any; ``bare``: only one without a mark.

    ``tries``: at one page, over all causes.
    """

    outcome: str
    action: str
    identity: str
    note: str
    wait: str = AT_ONCE
    tries: int | str = ALL
    kinds: frozenset[str] = frozenset()
    rules: frozenset[str] = frozenset()
    bare: bool = False

    def fits(self, verdict: Verdict) -> bool:
        return (
            verdict.outcome == self.outcome
            and not (self.bare and verdict.proven)
            and (not self.kinds or verdict.kind in self.kinds)
            and (not self.rules or verdict.rule in self.rules)
        )


TABLE = (
    Row(GOOD, HAND_ON, KEPT, "the page that was asked for"),
    Row(GONE, HAND_ON, KEPT, "404 and 410 are answers"),
    Row(SITE_ERROR, HAND_ON, KEPT, "400, 401, 405 and their like: nobody would get more; given up where the spider does not ask for the status",
        kinds=frozenset({"refused"})),
    Row(SITE_ERROR, TRY_AGAIN, KEPT, "5xx: the exit has no part in it", BACK_OFF, FEW),
    Row(RATE_LIMITED, TRY_AGAIN, KEPT, "too fast: the site is slowed down, not changed", SITE_WAITS),
    Row(BLOCKED, TRY_AGAIN, RETIRED, "a 403 without a mark may speak about the page: it counts against the exit once another one gets it",
        tries=BARE, bare=True),
    Row(BLOCKED, TRY_AGAIN, RETIRED, "from a country that the request or the spider allows; once none is left, "
        f"given up as `{NO_COUNTRY}`", tries=PLACES, kinds=frozenset({"geo"})),
    Row(BLOCKED, TRY_AGAIN, RETIRED, "a browser could pass it; today another identity is tried, which may not be asked to",
        kinds=frozenset({"challenge"})),
    Row(BLOCKED, TRY_AGAIN, RETIRED, "as another identity, through a dearer pool only where that pays"),
    Row(FAULT, GIVE_UP, NOBODY, "we ourselves refuse it", tries=1, rules=NOT_SENT),
    Row(FAULT, GIVE_UP, RETIRED, "no other exit makes it smaller", tries=1, rules=frozenset({"too_large"})),
    Row(FAULT, TRY_AGAIN, RETIRED, "the gateway says that the site does not answer", BACK_OFF, FEW,
        kinds=frozenset({"target"})),
    Row(FAULT, TRY_AGAIN, RETIRED, "another pool or session mends it", kinds=OF_THE_POOL),
    Row(FAULT, TRY_AGAIN, RETIRED, "network, proxy, or a body that was cut", BACK_OFF),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """``attempts`` over all causes; waits in seconds; ``page_usd``: what the tries at a page may cost, 0: no limit."""

    attempts: int
    rate_wait_s: float
    rate_wait_max_s: float
    fault_wait_s: float
    page_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Past:
    """What a page has been through when a try has ended: ``attempt`` is that try's number, from 1.

    ``geo_walls``: tries that met one, this one included. ``places``: countries it may be asked from, "any" counting as
    one of them; 0: wherever an exit happens to be. ``usd``: what its tries have cost.
    ``bare_tries``: that a page refused without a mark gets at this site; 0: as any other.
    """

    attempt: int = 1
    geo_walls: int = 0
    places: int = 0
    usd: float = 0.0
    bare_tries: int = 0


@dataclass(frozen=True, slots=True)
class Reaction:
    """``wait_s``: before this page is tried again; ``site_wait_s``: during which nobody asks the site.

    ``why``: the rule by which a page is given up, where it is not the verdict's own.
    """

    action: str
    keeps_identity: bool = True
    wait_s: float = 0.0
    site_wait_s: float = 0.0
    why: str = ""


def row_of(verdict: Verdict) -> Row:
    """The first row that fits. Raises StopIteration for an outcome that is none."""
    return next(row for row in TABLE if row.fits(verdict))


def react(verdict: Verdict, past: Past, limits: Limits) -> Reaction:
    """What to do after the try that ``past`` ends with."""
    row = row_of(verdict)
    kept = row.identity == KEPT
    if row.action == HAND_ON:
        return Reaction(HAND_ON, kept)
    wait_s = site_wait_s = 0.0
    if row.wait == BACK_OFF:
        wait_s = limits.fault_wait_s * 2 ** (past.attempt - 1)
    elif row.wait == SITE_WAITS:
        asked_s = limits.rate_wait_s if verdict.retry_after_s is None else verdict.retry_after_s
        wait_s = site_wait_s = min(asked_s, limits.rate_wait_max_s)
    if row.action == GIVE_UP or past.attempt >= limits.attempts:
        return Reaction(GIVE_UP, kept, site_wait_s=site_wait_s)
    if isinstance(row.tries, int) and past.attempt >= row.tries:
        return Reaction(GIVE_UP, kept)
    if row.tries == BARE and past.bare_tries and past.attempt >= past.bare_tries:
        return Reaction(GIVE_UP, kept)
    if row.tries == PLACES and past.places and past.geo_walls > past.places:
        return Reaction(GIVE_UP, kept, why=NO_COUNTRY)
    if limits.page_usd and past.usd >= limits.page_usd:
        return Reaction(GIVE_UP, kept, site_wait_s=site_wait_s, why=PAGE_BUDGET)
    return Reaction(TRY_AGAIN, kept, wait_s, site_wait_s)


def markdown() -> str:
    """TABLE for people."""
    head = "| verdict | action | identity | wait | tries at the page | why |\n|---|---|---|---|---|---|\n"
    return head + "".join(
        f"| {_named(row)} | {row.action} | {row.identity} | {row.wait} | {_tries(row)} | {row.note} |\n"
        for row in TABLE
    )


def _named(row: Row) -> str:
    words = "without a mark" if row.bare else ", ".join(f"`{word}`" for word in sorted(row.kinds | row.rules))
    return f"{row.outcome}: {words}" if words else row.outcome


def _tries(row: Row) -> str:
    return "-" if row.action == HAND_ON else str(row.tries)
