"""Rule: plain facts about a run, from Scrapy's stats; a saved report holds enough to judge it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scraper.verdicts import FAULT, GONE, GOOD, OUTCOMES, SITE_ERROR


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a run stops being good. Rates are shares, 0 to 1."""

    min_items: int  # stored records below which a finished run has failed
    max_error_rate: float  # of pages whose callback raised: above, the run has failed
    max_given_up_rate: float  # of pages given up: above, the run has failed
    warn_rate: float  # of either: above, the run is degraded
    max_gone_rate: float = 0.5  # of pages that are 404 or 410: above, the addresses are old


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides about a run: counts of items, pages and downloads; ``given_up_as`` is (outcome, count)."""

    finish_reason: str
    opened: bool  # the crawl got as far as its first request
    signal_number: int | None
    forced: bool  # a second signal cut the closing short
    limits: Limits
    storage_failure: str
    merge_failure: str  # everything is stored, but not as one tidy set
    scraped: int  # items that Scrapy saw, and those that an earlier start left in the spool
    item_errors: int  # items a pipeline raised on
    stored: int
    dropped: int  # by a pipeline or a step
    duplicate: int
    dead_letter: int
    pages_good: int
    pages_gone: int
    pages_given_up: int
    given_up_as: tuple[tuple[str, int], ...]
    over_site_budget: int  # of the pages given up, those of sites whose budget was spent
    downloads: int
    faults: int  # downloads that ended without an answer of the site
    callback_errors: int
    robots_forbidden: int  # pages that robots.txt kept us from
    feed_failures: int  # feeds (-o, -O, FEEDS) that could not be written
    blocks: int  # downloads that were blocked or rate limited
    contract_blocks: int  # of them, those that lacked what good_page wants
    lost_pools: tuple[str, ...]  # pools that stopped answering and never gave a good page
    lost_sites: tuple[str, ...]  # sites that answered nothing but blocks and faults
    robots_blocked: int = 0  # pages not asked for since robots.txt was answered by a block page each time
    robots_unreachable: int = 0  # or by 5xx and 429
    unanswered: int = 0  # pages given up for a fault, those that we ourselves refused left out
    contract_rule: str = ""  # the contract that most of the pages given up lacked, "" where other rules led
    samples: tuple[str, ...] = ()  # names of the refused pages that are kept, one a rule

    @property
    def unaccounted(self) -> int:
        """scraped - (stored + dropped + duplicate + dead_letter); 0 when the books balance."""
        return self.scraped - self.stored - self.dropped - self.duplicate - self.dead_letter

    @property
    def pages(self) -> int:
        return self.pages_good + self.pages_gone + self.pages_given_up

    @property
    def given_up_rate(self) -> float:
        return self.pages_given_up / self.pages if self.pages else 0.0

    @property
    def gone_rate(self) -> float:
        return self.pages_gone / self.pages if self.pages else 0.0

    @property
    def error_rate(self) -> float:
        return self.callback_errors / max(self.pages_good, self.callback_errors, 1)

    @property
    def mostly_blocked(self) -> bool:
        """More than half of the pages given up were blocked or rate limited."""
        blocked = sum(count for outcome, count in self.given_up_as if outcome in ("blocked", "rate_limited"))
        return 2 * blocked > self.pages_given_up


def facts_from(
    stats: Mapping[str, Any],
    finish_reason: str,
    signal_number: int | None,
    limits: Limits,
    *,
    opened: bool = True,
    forced: bool = False,
    samples: Iterable[str] = (),
) -> Facts:
    """The facts in Scrapy's ``stats``. Without batches/, an item that passed every pipeline is stored."""

    def count(key: str) -> int:
        return int(stats.get(key) or 0)

    passed, dropped, errors = (
        count("item_scraped_count"),
        count("item_dropped_count"),
        count("runs/item_errors"),
    )
    recovered = count("batches/recovered")
    scraped = passed + dropped + errors + recovered
    if is_batched(stats):
        # An item that the batches cannot encode is dropped by them and counted as a dead letter: once is enough.
        entered = count("batches/scraped") - recovered
        dropped = min(dropped, max(0, passed + dropped - entered))
    verdicts = verdict_counts(stats)
    answers, faults = count("downloader/response_count"), count("downloader/exception_count")
    return Facts(
        finish_reason=finish_reason,
        opened=opened,
        signal_number=signal_number,
        forced=forced,
        limits=limits,
        storage_failure=str(stats.get("batches/failure") or ""),
        merge_failure=str(stats.get("batches/finish_failure") or ""),
        scraped=scraped,
        item_errors=errors,
        stored=stored_records(stats),
        dropped=dropped + count("batches/dropped"),
        duplicate=count("batches/duplicate"),
        dead_letter=count("batches/dead_letter"),
        pages_good=good_pages(stats),
        pages_gone=verdicts.get(GONE, 0),
        pages_given_up=count("pages/given_up"),
        given_up_as=tuple(sorted(group(stats, "runs/given_up/").items())),
        over_site_budget=count("pages/given_up/site_budget"),
        downloads=sum(verdicts.values()) or (0 if is_proxied(stats) else answers + faults),
        faults=verdicts.get(FAULT, 0) if verdicts or is_proxied(stats) else faults,
        callback_errors=count("spider_exceptions/count"),
        robots_forbidden=count("robotstxt/forbidden"),
        feed_failures=max(
            sum(group(stats, "feedexport/failed_count/").values()),
            count("runs/feeds")
            - sum(group(stats, "feedexport/success_count/").values()),  # never opened, no count
        ),
        blocks=sum(group(stats, "bans/").values()),
        contract_blocks=sum(group(stats, "bans/contract_").values()),
        lost_pools=tuple(
            sorted(
                pool
                for pool in group(stats, "proxies/circuit_opened/")
                if f"proxies/good/{pool}" not in stats
            )
        ),
        lost_sites=_lost_sites(stats),
        robots_blocked=count("pages/given_up/robots_blocked"),
        robots_unreachable=count("pages/given_up/robots_unreachable"),
        unanswered=count(f"runs/given_up/{FAULT}") - sum(group(stats, "pages/refused/").values()),
        contract_rule=_leading_contract(group(stats, "pages/given_up/")),
        samples=tuple(samples),
    )


def group(stats: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Stats below ``prefix``, by the rest of their key: ``verdicts/good`` is ``good``."""
    return {key[len(prefix) :]: value for key, value in stats.items() if key.startswith(prefix)}


def verdict_counts(stats: Mapping[str, Any]) -> dict[str, int]:
    """Downloads by the outcome of their verdict; empty without bans/."""
    return {name: int(stats[key]) for name in OUTCOMES if (key := f"verdicts/{name}") in stats}


def good_pages(stats: Mapping[str, Any]) -> int:
    """Pages judged good; without bans/, responses."""
    verdicts = verdict_counts(stats)
    return (
        verdicts.get(GOOD, 0)
        if verdicts or is_proxied(stats)
        else int(stats.get("response_received_count") or 0)
    )


def stored_records(stats: Mapping[str, Any]) -> int:
    """Records the store has acknowledged; without batches/, items that passed every pipeline."""
    return int(stats.get("batches/stored" if is_batched(stats) else "item_scraped_count") or 0)


def is_proxied(stats: Mapping[str, Any]) -> bool:
    """Whether proxies/ and bans/ are in; then what has no verdict was never asked for. The first sets a counter."""
    return "proxies/bytes" in stats


def is_batched(stats: Mapping[str, Any]) -> bool:
    """Whether batches/ stores the items; it sets its counters to zero when it opens."""
    return "batches/scraped" in stats


def _leading_contract(given_up: dict[str, int]) -> str:
    """Pages of a site that was given up were not asked for: the rules of those that were have led to it."""
    asked = {rule: pages for rule, pages in given_up.items() if rule != "site_given_up"}
    contracts = {rule: pages for rule, pages in asked.items() if rule.startswith("contract_")}
    if 2 * sum(contracts.values()) <= sum(asked.values()):
        return ""
    return max(contracts, key=lambda rule: contracts[rule])


def _lost_sites(stats: Mapping[str, Any]) -> tuple[str, ...]:
    answered: dict[str, bool] = {}
    for key in group(stats, "sites/"):
        host, _, outcome = key.rpartition("/")
        if outcome in OUTCOMES:
            answered[host] = answered.get(host, False) or outcome in (GOOD, GONE, SITE_ERROR)
    return tuple(sorted(host for host, any_page in answered.items() if not any_page))
