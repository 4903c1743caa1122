"""What follows from each verdict, and never more tries than allowed."""

from __future__ import annotations

import pytest

from scraper.bans.reactions import GIVE_UP, HAND_ON, SITE_ERROR_ATTEMPTS, TRY_AGAIN, Limits, Reaction, react
from scraper.verdicts import BLOCKED, FAULT, GONE, GOOD, OUTCOMES, RATE_LIMITED, SITE_ERROR, Verdict

LIMITS = Limits(attempts=6, rate_wait_s=5.0, rate_wait_max_s=120.0, fault_wait_s=1.0)


@pytest.mark.parametrize(
    ("verdict", "attempt", "reaction"),
    [
        (Verdict(GOOD, "good"), 1, Reaction(HAND_ON)),
        (Verdict(GONE, "status_404"), 1, Reaction(HAND_ON)),
        (Verdict(SITE_ERROR, "site_refused", kind="refused"), 1, Reaction(HAND_ON)),
        (Verdict(BLOCKED, "status_403"), 1, Reaction(TRY_AGAIN)),
        (Verdict(RATE_LIMITED, "status_429"), 1, Reaction(TRY_AGAIN, 5.0, 5.0)),
        (Verdict(RATE_LIMITED, "status_429", retry_after_s=2.0), 1, Reaction(TRY_AGAIN, 2.0, 2.0)),
        (Verdict(RATE_LIMITED, "status_429", retry_after_s=9999.0), 1, Reaction(TRY_AGAIN, 120.0, 120.0)),
        (Verdict(RATE_LIMITED, "status_429", retry_after_s=2.0), 6, Reaction(GIVE_UP, 0.0, 2.0)),
        (Verdict(FAULT, "timeout", kind="timeout"), 1, Reaction(TRY_AGAIN, 1.0)),
        (Verdict(FAULT, "timeout", kind="timeout"), 4, Reaction(TRY_AGAIN, 8.0)),
        (Verdict(FAULT, "gateway_session_lost", kind="session_lost"), 1, Reaction(TRY_AGAIN)),
        (Verdict(FAULT, "gateway_config", kind="config"), 1, Reaction(TRY_AGAIN)),
        (Verdict(FAULT, "target_refused", kind="target_refused"), 1, Reaction(GIVE_UP)),
        (Verdict(FAULT, "site_budget", kind="site_budget"), 1, Reaction(GIVE_UP)),
        (Verdict(FAULT, "gateway_impossible", kind="impossible"), 1, Reaction(GIVE_UP)),
        (Verdict(FAULT, "gateway_target", kind="target"), 1, Reaction(TRY_AGAIN, 1.0)),
        (Verdict(FAULT, "gateway_target", kind="target"), SITE_ERROR_ATTEMPTS, Reaction(GIVE_UP)),
        (Verdict(SITE_ERROR, "status_500"), 1, Reaction(TRY_AGAIN, 1.0)),
        (Verdict(SITE_ERROR, "status_500"), SITE_ERROR_ATTEMPTS, Reaction(GIVE_UP)),
    ],
)
def test_the_table(verdict: Verdict, attempt: int, reaction: Reaction) -> None:
    assert react(verdict, attempt, LIMITS) == reaction


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_no_verdict_is_tried_again_at_the_last_attempt(outcome: str) -> None:
    assert react(Verdict(outcome, "rule"), LIMITS.attempts, LIMITS).action != TRY_AGAIN
