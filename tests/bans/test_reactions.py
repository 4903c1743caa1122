"""What follows from each verdict, and never more tries than allowed; the docs print the table that decides."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.bans import reactions
from scraper.bans.reactions import FEW, GIVE_UP, HAND_ON, TABLE, TRY_AGAIN, Limits, Past, Reaction, react
from scraper.verdicts import BLOCKED, FAULT, GONE, GOOD, OUTCOMES, RATE_LIMITED, SITE_ERROR, Verdict
from tests.proxies import brokers

DOCS = Path(__file__).parents[2] / "docs" / "reactions.md"
LIMITS = Limits(attempts=6, rate_wait_s=5.0, rate_wait_max_s=120.0, fault_wait_s=1.0, page_usd=0.1)
RETIRED = False  # of Reaction.keeps_identity
GEO = Verdict(BLOCKED, "cloudfront_geo", kind="geo")


@pytest.mark.parametrize(
    ("verdict", "attempt", "reaction"),
    [
        (Verdict(GOOD, "good"), 1, Reaction(HAND_ON)),
        (Verdict(GONE, "status_404"), 1, Reaction(HAND_ON)),
        (Verdict(SITE_ERROR, "site_refused", kind="refused"), 1, Reaction(HAND_ON)),
        (Verdict(BLOCKED, "status_403", proven=False), 1, Reaction(TRY_AGAIN, RETIRED)),
        (Verdict(BLOCKED, "cloudflare_challenge", kind="challenge"), 5, Reaction(TRY_AGAIN, RETIRED)),
        (Verdict(BLOCKED, "cloudflare_challenge", kind="challenge"), 6, Reaction(GIVE_UP, RETIRED)),
        (Verdict(RATE_LIMITED, "status_429"), 1, Reaction(TRY_AGAIN, True, 5.0, 5.0)),
        (Verdict(RATE_LIMITED, "status_429", retry_after_s=2.0), 1, Reaction(TRY_AGAIN, True, 2.0, 2.0)),
        (Verdict(RATE_LIMITED, "status_429", retry_after_s=9e9), 1, Reaction(TRY_AGAIN, True, 120.0, 120.0)),
        (Verdict(RATE_LIMITED, "status_429", retry_after_s=2.0), 6, Reaction(GIVE_UP, True, 0.0, 2.0)),
        (Verdict(FAULT, "timeout", kind="timeout"), 1, Reaction(TRY_AGAIN, RETIRED, 1.0)),
        (Verdict(FAULT, "timeout", kind="timeout"), 4, Reaction(TRY_AGAIN, RETIRED, 8.0)),
        (Verdict(FAULT, "gateway_session_lost", kind="session_lost"), 1, Reaction(TRY_AGAIN, RETIRED)),
        (Verdict(FAULT, "gateway_config", kind="config"), 1, Reaction(TRY_AGAIN, RETIRED)),
        (Verdict(FAULT, "too_large", kind="too_large"), 1, Reaction(GIVE_UP, RETIRED)),
        (Verdict(FAULT, "target_refused", kind="target_refused"), 1, Reaction(GIVE_UP, RETIRED)),
        (Verdict(FAULT, "site_budget", kind="site_budget"), 1, Reaction(GIVE_UP, RETIRED)),
        (Verdict(FAULT, "gateway_impossible", kind="impossible"), 1, Reaction(GIVE_UP, RETIRED)),
        (Verdict(FAULT, "gateway_target", kind="target"), 1, Reaction(TRY_AGAIN, RETIRED, 1.0)),
        (Verdict(FAULT, "gateway_target", kind="target"), FEW, Reaction(GIVE_UP, RETIRED)),
        (Verdict(SITE_ERROR, "status_500"), 1, Reaction(TRY_AGAIN, True, 1.0)),
        (Verdict(SITE_ERROR, "status_500"), FEW, Reaction(GIVE_UP)),
    ],
)
def test_the_table(verdict: Verdict, attempt: int, reaction: Reaction) -> None:
    assert react(verdict, Past(attempt), LIMITS) == reaction


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_no_verdict_is_tried_again_at_the_last_attempt(outcome: str) -> None:
    assert react(Verdict(outcome, "rule"), Past(LIMITS.attempts), LIMITS).action != TRY_AGAIN


@given(
    outcome=st.sampled_from(OUTCOMES),
    kind=st.sampled_from(sorted({"", "x"}.union(*(row.kinds for row in TABLE)))),
    rule=st.sampled_from(sorted({"x"}.union(*(row.rules for row in TABLE)))),
    attempt=st.integers(1, 9),
    walls=st.integers(0, 9),
    places=st.integers(0, 3),
    usd=st.floats(0, 1),
)
def test_every_verdict_has_a_reaction_and_no_page_a_try_or_a_cent_too_many(
    outcome: str, kind: str, rule: str, attempt: int, walls: int, places: int, usd: float
) -> None:
    reaction = react(Verdict(outcome, rule, kind=kind), Past(attempt, walls, places, usd), LIMITS)
    if reaction.action == TRY_AGAIN:
        assert attempt < LIMITS.attempts
        assert usd < LIMITS.page_usd
    assert (reaction.action == HAND_ON) <= (outcome in (GOOD, GONE, SITE_ERROR))


def test_each_country_that_is_allowed_is_asked_and_one_of_them_twice() -> None:
    """A spider with two countries: anywhere, de, us, and one more, since data bases disagree about single exits."""
    one, three, nobody_said = (
        [react(GEO, Past(n, geo_walls=n, places=places), LIMITS).action for n in range(1, 7)]
        for places in (1, 3, 0)
    )
    assert one[:2] == [TRY_AGAIN, GIVE_UP]
    assert three[:4] == [TRY_AGAIN] * 3 + [GIVE_UP]
    assert nobody_said == [TRY_AGAIN] * 5 + [GIVE_UP]
    assert react(GEO, Past(4, geo_walls=1, places=1), LIMITS).action == TRY_AGAIN, (
        "three of them were no walls"
    )
    assert react(GEO, Past(2, geo_walls=2, places=1), LIMITS).why == "no_country_passes"


def test_a_page_whose_tries_cost_too_much_is_given_up_for_that_reason() -> None:
    blocked = Verdict(BLOCKED, "status_403")
    assert react(blocked, Past(2, usd=0.11), LIMITS).why == "page_budget"
    assert react(blocked, Past(6, usd=0.11), LIMITS).why == "", "no try was left anyway"
    unlimited = Limits(6, 5.0, 120.0, 1.0, page_usd=0.0)
    assert react(blocked, Past(2, usd=99.0), unlimited).action == TRY_AGAIN


def test_every_row_decides_for_some_verdict() -> None:
    """No row stands in the shadow of one above it."""
    for row in TABLE:
        kind, rule = next(iter(row.kinds), "x"), next(iter(row.rules), "x")
        assert reactions.row_of(Verdict(row.outcome, rule, kind=kind, proven=not row.bare)) is row


def test_a_refusal_without_a_mark_gets_as_many_tries_as_its_site_is_worth() -> None:
    bare = Verdict(BLOCKED, "status_403", kind="denied", proven=False)
    assert react(bare, Past(2), LIMITS).action == TRY_AGAIN
    assert react(bare, Past(1, bare_tries=2), LIMITS).action == TRY_AGAIN
    assert react(bare, Past(2, bare_tries=2), LIMITS).action == GIVE_UP
    proven = Verdict(BLOCKED, "akamai_denied", kind="denied")
    assert react(proven, Past(2, bare_tries=2), LIMITS).action == TRY_AGAIN


def test_the_docs_print_the_table_that_decides() -> None:
    assert reactions.markdown() in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize("row", [row for row in TABLE if row.identity != reactions.NOBODY])
def test_proxies_retires_the_identity_where_the_table_says_so(row: reactions.Row) -> None:
    rules = brokers.broker(brokers.HOME)
    identity = brokers.go(rules)
    verdict = Verdict(row.outcome, next(iter(row.rules), "x"), kind=next(iter(row.kinds), ""))
    brokers.end(rules, identity, verdict)
    assert bool(identity.retired) == (row.identity == reactions.RETIRED)
