"""RULE. What follows from a verdict, as one table: hand the page on, try again, or give it up.

    verdict        action                                                    identity   wait
    good, gone     hand on                                                   kept       -
    blocked        try again                                                 retired    -
    rate_limited   try again; the whole site waits                           kept       Retry-After, else 5 s
    site_error     try again, at most 3 tries; "site_refused" hands on       kept       0.5 s, doubled
    fault          try again; config, account, forbidden: at once, elsewhere retired    0.5 s, doubled
                   "target" (the gateway cannot reach the site): at most 3 tries
                   budget, site_budget, target_refused, too_large: never
    any            at the last attempt: give up, listed in failed.jsonl

The identity is the business of proxies/, which hears every verdict.
"""

from __future__ import annotations

from dataclasses import dataclass

from scraper.verdicts import FAULT, GONE, GOOD, RATE_LIMITED, SITE_ERROR, Verdict

HAND_ON = "hand_on"
TRY_AGAIN = "try_again"
GIVE_UP = "give_up"

SITE_ERROR_ATTEMPTS = 3  # tries at a page that answers 5xx; Scrapy's own number
AT_ONCE = frozenset(
    {"config", "account", "forbidden", "session_lost"}
)  # faults that another pool or session mends without waiting
NOT_SENT = frozenset(
    {"target_refused", "budget", "site_budget", "gateway_impossible"}
)  # we ourselves refused it
NEVER = NOT_SENT | {"too_large"}  # faults that no other exit can mend
AT_THE_SITE = "target"  # kind of a fault: the gateway says that the site itself does not answer


@dataclass(frozen=True, slots=True)
class Limits:
    """``attempts`` over all causes; waits in seconds."""

    attempts: int
    rate_wait_s: float
    rate_wait_max_s: float
    fault_wait_s: float


@dataclass(frozen=True, slots=True)
class Reaction:
    """``wait_s``: before this page is tried again; ``site_wait_s``: during which nobody asks the site."""

    action: str
    wait_s: float = 0.0
    site_wait_s: float = 0.0


def react(verdict: Verdict, attempt: int, limits: Limits) -> Reaction:
    """Return what to do after try number ``attempt`` (1 is the first)."""
    if verdict.outcome in (GOOD, GONE) or verdict.kind == "refused":
        return Reaction(HAND_ON)
    site_wait_s = 0.0
    if verdict.outcome == RATE_LIMITED:
        asked_s = limits.rate_wait_s if verdict.retry_after_s is None else verdict.retry_after_s
        site_wait_s = min(asked_s, limits.rate_wait_max_s)
    of_site = verdict.outcome == SITE_ERROR or verdict.kind == AT_THE_SITE
    allowed = min(limits.attempts, SITE_ERROR_ATTEMPTS) if of_site else limits.attempts
    if attempt >= allowed or verdict.rule in NEVER:
        return Reaction(GIVE_UP, site_wait_s=site_wait_s)
    backs_off = verdict.outcome == SITE_ERROR or (verdict.outcome == FAULT and verdict.kind not in AT_ONCE)
    wait_s = limits.fault_wait_s * 2 ** (attempt - 1) if backs_off else 0.0
    return Reaction(TRY_AGAIN, max(wait_s, site_wait_s), site_wait_s)
