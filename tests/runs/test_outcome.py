"""Every rule of the outcome decides once, in its turn, with numbers in its reason and a next step."""

from __future__ import annotations

from typing import Any

import pytest

from scraper.runs.facts import Limits, facts_from
from scraper.runs.outcome import EXIT_CODES, RULES, Outcome, decide
from tests.runs.examples import LIMITS, good_stats


def judged(
    stats: dict[str, Any], finish_reason: str = "finished", signal_number: int | None = None, **more: Any
) -> Outcome:
    return decide(facts_from(stats, finish_reason, signal_number, LIMITS, **more))


def given_up(good: int, lost: int, outcome: str) -> dict[str, Any]:
    return {
        **good_stats(good),
        "pages/given_up": lost,
        f"runs/given_up/{outcome}": lost,
        "verdicts/blocked": lost,
    }


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str, int]] = {
    "storage_gave_up": (
        {**good_stats(9), "batches/failure": "No space left on device"},
        {"finish_reason": "storage_failed"},
        "failed_storage",
        13,
    ),
    "never_opened": ({}, {"finish_reason": "shutdown", "opened": False}, "failed_start", 1),
    "forced": (
        {**good_stats(9), "batches/stored": 7},
        {"finish_reason": "", "signal_number": 15, "forced": True},
        "cancelled",
        143,
    ),
    "books_do_not_balance": ({**good_stats(9), "batches/stored": 8}, {}, "failed_storage", 13),
    "feed_failed": (
        {**good_stats(9), "feedexport/failed_count/FileFeedStorage": 1},
        {},
        "failed_storage",
        13,
    ),
    "signal": (good_stats(9), {"finish_reason": "shutdown", "signal_number": 15}, "cancelled", 143),
    "start_error": (good_stats(9), {"finish_reason": "start_error"}, "failed_error", 14),
    "budget": (good_stats(9), {"finish_reason": "budget"}, "failed_budget", 12),
    "proxies_dead": ({"verdicts/fault": 20}, {"finish_reason": "proxies_dead"}, "failed_blocked", 11),
    "blocked": (given_up(9, 30, "blocked"), {"finish_reason": "blocked"}, "failed_blocked", 11),
    "callbacks_raised": ({**good_stats(9), "spider_exceptions/count": 5}, {}, "failed_error", 14),
    "memory": (good_stats(9), {"finish_reason": "memusage_exceeded"}, "failed_error", 14),
    "timed_out": (good_stats(9), {"finish_reason": "closespider_timeout"}, "timed_out", 15),
    "stalled": (good_stats(9), {"finish_reason": "closespider_timeout_no_item"}, "stalled", 16),
    "robots_forbid": (
        {"robotstxt/forbidden": 2, "proxies/bytes": 9, "response_received_count": 1},
        {},
        "failed_quality",
        10,
    ),
    "robots_blocked": (
        {
            "robots/blocked": 6,
            "pages/given_up": 1,
            "runs/given_up/blocked": 1,
            "pages/given_up/robots_blocked": 1,
        },
        {},
        "failed_blocked",
        11,
    ),
    "robots_unreachable": (
        {
            "robots/site_error": 3,
            "pages/given_up": 1,
            "runs/given_up/site_error": 1,
            "pages/given_up/robots_unreachable": 1,
        },
        {},
        "failed_error",
        14,
    ),
    "all_faults": (
        {"verdicts/fault": 12, "pages/given_up": 2, "runs/given_up/fault": 2},
        {},
        "failed_error",
        14,
    ),
    "no_page_asked": (
        {"pages/refused/target_refused": 1, "pages/given_up": 1, "runs/given_up/fault": 1},
        {},
        "failed_quality",
        10,
    ),
    "contract_never_met": (
        {**given_up(0, 5, "blocked"), "bans/contract_parse_css": 5},
        {},
        "failed_quality",
        10,
    ),
    "nothing_but_blocks": (given_up(0, 5, "blocked"), {}, "failed_blocked", 11),
    "too_many_gone": ({**good_stats(4), "verdicts/gone": 6}, {}, "failed_quality", 10),
    "too_few_records": ({"verdicts/good": 9}, {}, "failed_quality", 10),
    "site_budgets": (
        {**given_up(70, 30, "fault"), "pages/given_up/site_budget": 20},
        {},
        "failed_budget",
        12,
    ),
    "too_many_blocked": (given_up(70, 30, "rate_limited"), {}, "failed_blocked", 11),
    "too_many_given_up": (given_up(70, 30, "site_error"), {}, "failed_quality", 10),
    "dead_letters": ({**good_stats(900), "batches/stored": 899, "batches/dead_letter": 1}, {}, "degraded", 0),
    "not_merged": ({**good_stats(9), "batches/finish_failure": "price: int and str"}, {}, "degraded", 0),
    "pool_lost": (
        {
            **good_stats(9),
            "proxies/circuit_opened/cheap": 1,
            "proxies/circuit_opened/home": 1,
            "proxies/good/home": 9,
        },
        {},
        "degraded",
        0,
    ),
    "site_budget": (
        {**given_up(999, 1, "fault"), "pages/given_up/site_budget": 1},
        {},
        "degraded",
        0,
    ),
    "site_lost": (
        {
            **good_stats(999),
            "sites/a.example/good": 999,
            "sites/b.example/blocked": 6,
            "sites/c.example/gone": 1,
        },
        {},
        "degraded",
        0,
    ),
    "some_given_up": (given_up(98, 2, "blocked"), {}, "degraded", 0),
    "some_callbacks_raised": ({**good_stats(98), "spider_exceptions/count": 2}, {}, "degraded", 0),
    "all_rules_passed": (given_up(1000, 1, "blocked"), {}, "succeeded", 0),
}


def test_pages_whose_robots_txt_had_no_answer_had_none_either() -> None:
    stats = {"robots/fault": 6, "pages/given_up": 1, "runs/given_up/fault": 1, "proxies/bytes": 9}
    assert judged(stats).rule == "all_faults"


@pytest.mark.parametrize("good", [0, 1, 70])
def test_where_contracts_lead_the_pages_given_up_the_next_step_is_to_look_at_one(good: int) -> None:
    """Pages of a site that was given up for them were never asked for, and change nothing."""
    given = {"contract_parse_css": 6, "contract_url_p_json": 5, "status_403": 10, "site_given_up": 100}
    stats = given_up(good, 121, "blocked") | {f"pages/given_up/{rule}": n for rule, n in given.items()}
    kept = judged(stats, samples=["contract_parse_css.txt"]).next_step
    assert kept.startswith(
        "compare the spider's good_page with a page, blocks/contract_parse_css.txt of the run:"
    )
    assert "with a page that contract_parse_css refused:" in judged(stats).next_step
    assert "another pool" in judged(stats | {"pages/given_up/status_403": 11}).next_step


def test_a_run_whose_robots_txt_met_walls_may_be_told_to_do_without_it() -> None:
    for name in ("robots_blocked", "robots_unreachable"):
        stats, more, *_ = CASES[name]
        assert "-s ROBOTSTXT_OBEY=0" in judged(stats, **more).next_step


@pytest.mark.parametrize("name", [rule.name for rule in RULES])
def test_each_rule_decides_its_case(name: str) -> None:
    stats, more, word, code = CASES[name]
    outcome = judged(stats, **more)
    assert (outcome.rule, outcome.word, outcome.exit_code) == (name, word, code)
    assert outcome.next_step or word == "succeeded"
    assert any(char.isdigit() for char in outcome.reason) or name in ("never_opened", "no_page_asked")


def test_no_case_is_left_of_a_rule_that_is_gone() -> None:
    assert list(CASES) == [rule.name for rule in RULES]


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("succeeded", 0),
        ("degraded", 0),
        ("failed_start", 1),
        ("failed_quality", 10),
        ("failed_blocked", 11),
        ("failed_budget", 12),
        ("failed_storage", 13),
        ("failed_error", 14),
        ("timed_out", 15),
        ("stalled", 16),
        ("cancelled", 143),
    ],
)
def test_exit_codes_are_a_promise(word: str, code: int) -> None:
    assert EXIT_CODES[word] == code


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143), (1, 143), (3, 143), (None, 143)])
def test_only_sigint_ends_with_130(number: int | None, code: int) -> None:
    assert judged(good_stats(3), "shutdown", number).exit_code == code


def test_a_signal_during_the_last_flush_of_a_finished_crawl_changes_nothing() -> None:
    assert judged(good_stats(3), "finished", 15).word == "succeeded"


def test_items_that_a_signal_lost_are_a_storage_failure_not_a_clean_stop() -> None:
    assert judged({**good_stats(3), "batches/stored": 1}, "shutdown", 15).word == "failed_storage"


def test_an_item_that_any_pipeline_raised_on_shows_in_the_books() -> None:
    outcome = judged({**good_stats(3), "runs/item_errors": 2})
    assert outcome.rule == "books_do_not_balance"
    assert "5 scraped" in outcome.reason
    assert "raised on 2 items" in outcome.reason


def test_dropped_and_duplicate_items_balance_the_books() -> None:
    stats = {
        "item_scraped_count": 10,
        "item_dropped_count": 4,
        "batches/scraped": 10,
        "batches/stored": 7,
        "batches/dropped": 2,
        "batches/duplicate": 1,
    }
    facts = facts_from(stats, "finished", None, LIMITS)
    assert (facts.scraped, facts.dropped, facts.unaccounted) == (14, 6, 0)


def test_an_item_that_could_not_be_encoded_is_one_dead_letter_and_no_drop() -> None:
    stats = {
        "item_scraped_count": 10,
        "item_dropped_count": 5,  # four by another pipeline, one by the batches
        "batches/scraped": 11,
        "batches/stored": 10,
        "batches/dead_letter": 1,
    }
    facts = facts_from(stats, "finished", None, LIMITS)
    assert (facts.scraped, facts.dropped, facts.dead_letter, facts.unaccounted) == (15, 4, 1, 0)
    lost_too = facts_from({**stats, "runs/item_errors": 2}, "finished", None, LIMITS)
    assert lost_too.unaccounted == 2


def test_items_that_an_earlier_start_left_in_the_spool_balance_the_books() -> None:
    stats = {
        "item_scraped_count": 10,
        "batches/scraped": 13,
        "batches/recovered": 3,
        "batches/stored": 12,
        "batches/duplicate": 1,
    }
    facts = facts_from(stats, "finished", None, LIMITS)
    assert (facts.scraped, facts.unaccounted) == (13, 0)


def test_without_the_batches_pipeline_items_that_passed_count_as_stored() -> None:
    outcome = judged({"item_scraped_count": 3, "response_received_count": 3})
    assert outcome.word == "succeeded"
    assert outcome.reason.startswith("3 records stored from 3 good pages")


@pytest.mark.parametrize("reason", ["closespider_itemcount", "closespider_pagecount", "enough of it"])
def test_a_limit_that_was_asked_for_is_a_normal_end(reason: str) -> None:
    assert judged(good_stats(5), reason).word == "succeeded"


def test_a_spider_that_may_store_nothing_says_so() -> None:
    limits = Limits(min_items=0, max_error_rate=0.5, max_given_up_rate=0.2, warn_rate=0.01)
    assert decide(facts_from({"verdicts/good": 9}, "finished", None, limits)).word == "succeeded"


def test_404s_are_pages_but_not_lost_ones() -> None:
    assert judged({**good_stats(500), "verdicts/gone": 499}).word == "succeeded"


def test_a_stop_before_the_first_request_by_a_signal_is_cancelled() -> None:
    assert judged({}, "", 15, opened=False).word == "cancelled"
