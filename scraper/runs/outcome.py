"""Rule: how a run ended, in one word with its reason. ``RULES`` is read from the top; the first that holds decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scraper.runs.facts import Facts
from scraper.runs.words import plural, share

SUCCEEDED = "succeeded"
DEGRADED = "degraded"
FAILED_START = "failed_start"
FAILED_QUALITY = "failed_quality"
FAILED_BLOCKED = "failed_blocked"
FAILED_BUDGET = "failed_budget"
FAILED_STORAGE = "failed_storage"
FAILED_ERROR = "failed_error"
TIMED_OUT = "timed_out"
STALLED = "stalled"
CANCELLED = "cancelled"
LOST = "lost"  # never decided here: a reader says it of a record whose heart stopped

EXIT_CODES = {
    SUCCEEDED: 0,
    DEGRADED: 0,
    FAILED_START: 1,
    FAILED_QUALITY: 10,
    FAILED_BLOCKED: 11,
    FAILED_BUDGET: 12,
    FAILED_STORAGE: 13,
    FAILED_ERROR: 14,
    TIMED_OUT: 15,
    STALLED: 16,
    CANCELLED: 143,
}
EXIT_USAGE = 2
EXIT_SIGINT = 130
SIGINT = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    word: str
    rule: str  # name of the rule that decided: stats value, log word and test name
    reason: str
    exit_code: int
    next_step: str


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    word: str
    holds: Callable[[Facts], bool]
    reason: Callable[[Facts], str]
    next_step: str


def _nothing(facts: Facts) -> bool:
    return facts.stored == 0 and facts.limits.min_items > 0


def _books(facts: Facts) -> str:
    text = (
        f"{facts.scraped:,} scraped, but {facts.stored:,} stored + {facts.dropped:,} dropped + "
        f"{facts.duplicate:,} duplicate + {facts.dead_letter:,} dead letters leave {facts.unaccounted:,} "
        "unaccounted for"
    )
    return text + (f"; a pipeline raised on {plural(facts.item_errors, 'item')}" if facts.item_errors else "")


def _signal(facts: Facts) -> str:
    names = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 15: "SIGTERM", None: "a stop from inside the process"}
    by = names.get(facts.signal_number, f"signal {facts.signal_number}")
    return f"stopped by {by} {_after(facts)}"


def _given_up(facts: Facts) -> str:
    return f"{share(facts.pages_given_up, facts.pages, 'page')} given up"


def _raised(facts: Facts) -> str:
    return f"callbacks raised on {share(facts.callback_errors, max(facts.pages_good, facts.callback_errors), 'page')}"


def _after(facts: Facts) -> str:
    return f"after {plural(facts.stored, 'stored record')}"


_LOOK_AT_ERRORS = (
    "correct the callback at the place that the report's errors name; the log has the tracebacks"
)
_SITE_BUDGET = (
    "raise PROXY_SITE_BUDGET_USD or PROXY_SITE_BUDGET_GB, or crawl the pages of failed.jsonl another day"
)
_LOOK_AT_FAILED = (
    "see failed.jsonl for the pages and their rules; crawl them again with -a urls_file=<failed.jsonl>"
)
_GIVE_PROXIES = "give this site another pool in proxies.toml, the spider other proxy_countries, or a slower DOWNLOAD_DELAY"

_NO_ROBOTS = "where you may crawl without robots.txt: -s ROBOTSTXT_OBEY=0"
_COMPARE = "compare the spider's good_page with a page{}: it may be wrong, the site may have changed or need a browser"

_MOST_SITES = 3  # named one by one

RULES = (
    Rule(
        "storage_gave_up",
        FAILED_STORAGE,
        lambda f: bool(f.storage_failure) or f.finish_reason == "storage_failed",
        lambda f: f"storage gave up {_after(f)}: {f.storage_failure or 'no cause given'}",
        "mend what the reason names; what was not stored is still in the run's spool: scrapy batches status",
    ),
    Rule(
        "never_opened",
        FAILED_START,
        lambda f: not f.opened and f.signal_number is None and f.finish_reason in ("", "shutdown"),
        lambda f: "the crawl ended before its first request",
        "look at the log for the component that could not start",
    ),
    Rule(
        "forced",
        CANCELLED,
        lambda f: f.forced,
        lambda f: (
            f"{_signal(f)}; a second signal cut the closing short: "
            f"{plural(max(f.unaccounted, 0), 'item')} not yet stored"
        ),
        "send one signal only and wait: closing flushes what is on its way",
    ),
    Rule(
        "books_do_not_balance",
        FAILED_STORAGE,
        lambda f: f.unaccounted != 0,
        _books,
        "look in the log for item errors; a pipeline after the batches must not drop or raise",
    ),
    Rule(
        "feed_failed",
        FAILED_STORAGE,
        lambda f: f.feed_failures > 0,
        lambda f: f"{plural(f.feed_failures, 'feed')} (-o, -O or FEEDS) could not be written",
        "look at the log for the path and the cause; the records themselves lie in the data folder",
    ),
    Rule(
        "signal",
        CANCELLED,
        lambda f: (
            f.finish_reason in ("shutdown", "cancelled") or (not f.opened and f.signal_number is not None)
        ),
        _signal,
        "everything scraped is stored; -a urls_file=<failed.jsonl> crawls the pages that nobody asked for yet",
    ),
    Rule(
        "start_error",
        FAILED_ERROR,
        lambda f: f.finish_reason == "start_error",
        lambda f: f"the spider's start() raised; {plural(f.stored, 'record')} stored all the same",
        "correct start() or its arguments; the log has the traceback",
    ),
    Rule(
        "budget",
        FAILED_BUDGET,
        lambda f: f.finish_reason == "budget",
        lambda f: f"the budget was spent {_after(f)}",
        "raise PROXY_BUDGET_USD or PROXY_BUDGET_GB, or look at what was wasted in the report",
    ),
    Rule(
        "proxies_dead",
        FAILED_BLOCKED,
        lambda f: f.finish_reason == "proxies_dead",
        lambda f: f"no exit of any pool answered: {share(f.faults, f.downloads, 'download')} failed",
        "check the pools in proxies.toml: address, credentials, and what is left of the plan",
    ),
    Rule(
        "blocked",
        FAILED_BLOCKED,
        lambda f: f.finish_reason == "blocked",
        lambda f: f"nothing got past the site any more: {_given_up(f)}",
        _GIVE_PROXIES,
    ),
    Rule(
        "callbacks_raised",
        FAILED_ERROR,
        lambda f: (
            f.finish_reason == "closespider_errorcount"
            or (f.callback_errors > 0 and f.error_rate > f.limits.max_error_rate)
        ),
        _raised,
        _LOOK_AT_ERRORS,
    ),
    Rule(
        "memory",
        FAILED_ERROR,
        lambda f: f.finish_reason == "memusage_exceeded",
        lambda f: f"the process passed MEMUSAGE_LIMIT_MB {_after(f)}",
        "lower CONCURRENT_REQUESTS or BATCH_BACKLOG_BYTES, or give it more memory",
    ),
    Rule(
        "timed_out",
        TIMED_OUT,
        lambda f: f.finish_reason == "closespider_timeout",
        lambda f: f"CLOSESPIDER_TIMEOUT passed {_after(f)}",
        "raise CLOSESPIDER_TIMEOUT, or ask for fewer pages",
    ),
    Rule(
        "stalled",
        STALLED,
        lambda f: f.finish_reason == "closespider_timeout_no_item",
        lambda f: f"no record came for CLOSESPIDER_TIMEOUT_NO_ITEM, {_after(f)}",
        "look at the last lines of the log: what was the crawl waiting for?",
    ),
    Rule(
        "robots_forbid",
        FAILED_QUALITY,
        lambda f: _nothing(f) and f.robots_forbidden > 0 and f.pages_good == 0,
        lambda f: f"no record was stored: robots.txt forbids {plural(f.robots_forbidden, 'page')}",
        "ask for other pages of the site, or ask its owner",
    ),
    Rule(
        "robots_blocked",
        FAILED_BLOCKED,
        lambda f: _nothing(f) and f.robots_blocked > 0 and f.pages_good == 0,
        lambda f: (
            "no record was stored: robots.txt was answered by a block page each time, so "
            f"{plural(f.robots_blocked, 'page')} could not be asked for"
        ),
        f"{_GIVE_PROXIES}; {_NO_ROBOTS}",
    ),
    Rule(
        "robots_unreachable",
        FAILED_ERROR,
        lambda f: _nothing(f) and f.robots_unreachable > 0 and f.pages_good == 0,
        lambda f: (
            "no record was stored: robots.txt could not be had (5xx or 429), so "
            f"{plural(f.robots_unreachable, 'page')} could not be asked for"
        ),
        f"crawl it again later; {_NO_ROBOTS}",
    ),
    Rule(
        "all_faults",
        FAILED_ERROR,
        lambda f: _nothing(f) and f.faults == f.downloads and (f.downloads > 0 or f.unanswered > 0),
        lambda f: (
            f"no record was stored: {share(f.faults, f.downloads, 'download')} had no answer of the site"
            if f.downloads
            else f"no record was stored: {plural(f.unanswered, 'page')} had no answer of the site, nor its robots.txt"
        ),
        "check the address, the network and the proxies; failed.jsonl names each page's fault",
    ),
    Rule(
        "no_page_asked",
        FAILED_QUALITY,
        lambda f: _nothing(f) and f.downloads == 0 and f.scraped == 0,
        lambda f: "no record was stored, because no page was downloaded",
        "check the start urls and arguments; failed.jsonl and the log say what was refused, and why",
    ),
    Rule(
        "contract_never_met",
        FAILED_QUALITY,
        lambda f: _nothing(f) and 2 * f.contract_blocks > f.blocks,
        lambda f: (
            f"no record was stored: {share(f.contract_blocks, f.blocks, 'block')} lacked what good_page wants"
        ),
        _COMPARE.format(""),
    ),
    Rule(
        "nothing_but_blocks",
        FAILED_BLOCKED,
        lambda f: _nothing(f) and f.pages_given_up > 0 and f.mostly_blocked,
        lambda f: f"no record was stored: {_given_up(f)}, mostly as blocked",
        _GIVE_PROXIES,
    ),
    Rule(
        "too_many_gone",
        FAILED_QUALITY,
        lambda f: f.gone_rate > f.limits.max_gone_rate,
        lambda f: f"{share(f.pages_gone, f.pages, 'page')} are gone (404 or 410)",
        "the site has moved its pages: start from pages that link to them",
    ),
    Rule(
        "too_few_records",
        FAILED_QUALITY,
        lambda f: f.stored < f.limits.min_items,
        lambda f: (
            f"{plural(f.stored, 'record')} stored from {plural(f.pages_good, 'good page')}, "
            f"fewer than RUN_MIN_ITEMS = {f.limits.min_items:,}"
        ),
        "open one good page and compare it with the spider's selectors; the site may have changed",
    ),
    Rule(
        "site_budgets",
        FAILED_BUDGET,
        lambda f: f.given_up_rate > f.limits.max_given_up_rate and 2 * f.over_site_budget > f.pages_given_up,
        lambda f: f"{_given_up(f)}, mostly since the budgets of their sites were spent",
        _SITE_BUDGET,
    ),
    Rule(
        "too_many_blocked",
        FAILED_BLOCKED,
        lambda f: f.given_up_rate > f.limits.max_given_up_rate and f.mostly_blocked,
        lambda f: f"{_given_up(f)}, mostly as blocked",
        _GIVE_PROXIES,
    ),
    Rule(
        "too_many_given_up",
        FAILED_QUALITY,
        lambda f: f.given_up_rate > f.limits.max_given_up_rate,
        _given_up,
        _LOOK_AT_FAILED,
    ),
    Rule(
        "dead_letters",
        DEGRADED,
        lambda f: f.dead_letter > 0,
        lambda f: (
            f"{share(f.dead_letter, f.scraped, 'record')} could not be processed and lie in dead_letters.jsonl"
        ),
        "see scrapy batches inspect --letters RUN, correct the step that raised, then scrapy batches replay RUN",
    ),
    Rule(
        "not_merged",
        DEGRADED,
        lambda f: bool(f.merge_failure),
        lambda f: f"all {plural(f.stored, 'record')} are stored, but not as one set: {f.merge_failure}",
        "read the data folder part by part (with union_by_name in DuckDB), or correct the column that the reason names",
    ),
    Rule(
        "pool_lost",
        DEGRADED,
        lambda f: bool(f.lost_pools),
        lambda f: (
            f"{plural(len(f.lost_pools), 'pool')} gave no answer and no good page: {', '.join(f.lost_pools)}"
        ),
        "check address, password and plan of the pool; the log names its last answer",
    ),
    Rule(
        "site_budget",
        DEGRADED,
        lambda f: f.over_site_budget > 0,
        lambda f: (
            f"{plural(f.over_site_budget, 'page')} were given up since the budget of their site was spent"
        ),
        _SITE_BUDGET,
    ),
    Rule(
        "site_lost",
        DEGRADED,
        lambda f: bool(f.lost_sites),
        lambda f: (
            f"{plural(len(f.lost_sites), 'site')} gave no page at all: {', '.join(f.lost_sites[:_MOST_SITES])}"
            + (" and more" if len(f.lost_sites) > _MOST_SITES else "")
        ),
        _GIVE_PROXIES,
    ),
    Rule(
        "some_given_up",
        DEGRADED,
        lambda f: f.given_up_rate > f.limits.warn_rate,
        _given_up,
        _LOOK_AT_FAILED,
    ),
    Rule(
        "some_callbacks_raised",
        DEGRADED,
        lambda f: f.error_rate > f.limits.warn_rate,
        _raised,
        _LOOK_AT_ERRORS,
    ),
    Rule(
        "all_rules_passed",
        SUCCEEDED,
        lambda f: True,
        lambda f: f"{plural(f.stored, 'record')} stored from {plural(f.pages_good, 'good page')}",
        "",
    ),
)


def decide(facts: Facts) -> Outcome:
    """The first rule of ``RULES`` that holds; the last always does."""
    rule = next(rule for rule in RULES if rule.holds(facts))
    code = EXIT_CODES[rule.word]
    if rule.word == CANCELLED and facts.signal_number == SIGINT:
        code = EXIT_SIGINT
    next_step = rule.next_step
    if facts.contract_rule and next_step in (_GIVE_PROXIES, _LOOK_AT_FAILED, _COMPARE.format("")):
        next_step = _COMPARE.format(_page_without(facts.contract_rule, facts.samples))
    if rule.word == FAILED_BLOCKED and facts.lost_pools:
        next_step = f"run `scrapy proxies check`: no page came through {', '.join(facts.lost_pools)}; then {next_step}"
    return Outcome(rule.word, rule.name, rule.reason(facts), code, next_step)


def _page_without(rule: str, samples: tuple[str, ...]) -> str:
    name = f"{rule}.txt"
    return f", blocks/{name} of the run" if name in samples else f" that {rule} refused"


def failed_start(reason: str, exit_code: int) -> Outcome:
    """Of a run that never began; ``reason`` names the thing and the way out."""
    return Outcome(FAILED_START, "not_started", reason, exit_code, "")


def not_written(cause: str) -> Outcome:
    """Of a run whose own report could not be written: what it did cannot be trusted to be there."""
    reason = f"the run's report could not be written: {cause}"
    return Outcome(
        FAILED_STORAGE, "report_not_written", reason, EXIT_CODES[FAILED_STORAGE], "make room on the disk"
    )
