"""Rule: the report as a person reads it in a terminal, at most 100 columns wide. Only paths are never broken."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping
from typing import Any

from scraper.runs.words import count, duration, money, percent, plural, size
from scraper.verdicts import BLOCKED, GOOD, OUTCOMES

WIDTH = 100  # columns
_LABEL = 12  # columns of "  records   "
_PACE_S = 10  # seconds a run must have lasted for its pace to mean something
_GLUE = "\xa0"  # a space that textwrap does not break at
_SUSPICIONS, _EXAMPLES = 3, 2  # named one by one, with so many addresses each
_MOST = 4  # pools, sites, rules and errors named one by one


def lines(report: Mapping[str, Any]) -> list[str]:
    """Lines of the summary, without colour; the first starts with the outcome's word in capitals."""
    verdict, run, paths = report["verdict"], report["run"], report["paths"]
    head = (
        f"{verdict['outcome'].upper()}  {run['spider']}  run {run['run_id']}  {duration(run['duration_s'])}  "
        f"v {run['version']}  exit {verdict['exit_code']}"
    )
    rows: list[tuple[str, str]] = [("why", f"{verdict['reason']} [{verdict['rule']}]")]
    if verdict["next_step"]:
        rows.append(("next", verdict["next_step"]))
    if verdict["outcome"] != "failed_start":
        rows += [
            ("records", _records(report["records"], report["batches"]["unfinished"])),
            ("cost", _cost(report)),
        ]
        rows.append(("pages", _pages(report)))
        rows += [(name, _counts(report[name])) for name in ("blocks", "faults") if report[name]]
        if met := {**report["robots"]["bans"], **report["robots"]["faults"]}:
            rows.append(("robots", _counts(met)))
        rows += [("pools", line) for line in _pools(report["pools"])]
        rows += [("", line) for line in _lost_pools(report["pools"])]
        rows += [("worst", line) for line in _worst_sites(report["sites"])]
        rows += [("paused", line) for line in _paused(report["sites"])]
        rows += [("given up", _counts(report["given_up"]))] if report["given_up"] else []
        rows += [("suspect", line) for line in _suspicions(report["suspicions"])]
        rows += [("errors", line) for line in _errors(report["errors"])]
        rows += [("workers", line) for line in _workers(report["batches"])]
    text = [*textwrap.wrap(head, WIDTH, subsequent_indent="  ", break_on_hyphens=False)]
    last = ""
    for label, value in rows:
        text += _wrapped("" if label == last else label, value)
        last = label
    names = (("data", "data"), ("failed", "failed"), ("log", "log"), ("report", "report"))
    text += [f"  {label:<{_LABEL - 2}}{paths[key]}" for label, key in names if paths.get(key)]
    if paths.get("samples"):
        text += _samples(report["samples"], paths["samples"], run["command"])
    return text + _command(run["command"])


def _records(records: Mapping[str, int], unfinished: int) -> str:
    parts = [f"{count(records['scraped'])} scraped"]
    names = {"dropped": "dropped", "duplicate": "duplicate", "dead_letter": "dead letters"}
    parts += [f"{count(records[key])} {name}" for key, name in names.items() if records[key]]
    waiting = max(0, min(unfinished, records["unaccounted"]))
    parts += [f"{count(waiting)} in the spool"] if waiting else []
    lost = records["unaccounted"] - waiting
    parts += [f"{count(lost)} unaccounted for"] if lost else []
    return _phrases([f"{count(records['stored'])} stored", f"({', '.join(parts)})"])


def _cost(report: Mapping[str, Any]) -> str:
    cost = report["cost"]
    parts = [money(cost["usd"])]
    if cost["bytes"]:
        parts.append(f"{size(cost['bytes'])} {_METERED[cost['bytes_counted_at']]}")
    if not report["pools"]:
        parts.append("direct, no proxy was used")
    elif cost["usd_per_1000_records"] is not None:
        parts.append(f"{money(cost['usd_per_1000_records'])} / 1,000 records")
    if cost["usd_wasted"]:
        parts.append(f"{money(cost['usd_wasted'])} wasted ({percent(cost['usd_wasted'], cost['usd'])})")
    return _phrases(parts)


_METERED = {"socket": "metered", "scrapy": "(estimate, without TLS)"}


def _pages(report: Mapping[str, Any]) -> str:
    pages = report["pages"]
    good, downloads = pages["good"], pages["downloads"]
    if not downloads:
        return "none was downloaded"
    parts = [f"{percent(good, downloads)} good   ({count(good)} of {plural(downloads, 'download')})"]
    if pages["good_per_min"] and report["run"]["duration_s"] >= _PACE_S:
        parts.append(f"{pages['good_per_min']:,.0f}/min")
    if pages["retries"]:
        per_record = pages["retries_per_record"]
        parts.append(
            f"{count(pages['retries'])} retries" + (f", {per_record:.2f}/record" if per_record else "")
        )
    if pages["given_up"]:
        parts.append(f"{count(pages['given_up'])} given up")
    return _phrases(parts)


def _pools(pools: list[Mapping[str, Any]]) -> list[str]:
    shown = [_pool(pool) for pool in pools[:_MOST]]
    return shown + ([f"and {len(pools) - _MOST} more"] if len(pools) > _MOST else [])


def _pool(pool: Mapping[str, Any]) -> str:
    text = f"{pool['pool']}: {plural(pool['requests'], 'request')} {size(pool['bytes'])} {money(pool['usd'])}"
    named = {country: spent["usd"] for country, spent in pool["countries"].items() if country != "any"}
    parts = [
        f"{country} {money(usd)}" for country, usd in sorted(named.items(), key=lambda pair: -pair[1])[:_MOST]
    ]
    if pool["usd_wasted"]:
        parts.append(f"{money(pool['usd_wasted'])} wasted")
    return f"{text} ({', '.join(parts)})" if parts else text


def _lost_pools(pools: list[Mapping[str, Any]]) -> list[str]:
    """Pools that stopped answering, with what they said last."""
    return [
        f"{pool['pool']} was left alone: {pool['last_failure']}; try it: scrapy proxies check"
        for pool in pools
        if pool["left_alone"] and pool["last_failure"]
    ][:_MOST]


def _worst_sites(sites: list[Mapping[str, Any]]) -> list[str]:
    """The sites that lost most downloads, with their share of good ones; none where all went well."""
    total = {site["site"]: sum(site[outcome] for outcome in OUTCOMES) for site in sites}
    bad = [site for site in sites if total[site["site"]] > site[GOOD]]
    bad.sort(key=lambda site: site[GOOD] - total[site["site"]])
    shown = []
    for site in bad[:_MOST]:
        causes = ", ".join(f"{count(site[name])} {name}" for name in (BLOCKED, *_OTHER) if site[name])
        good = f"{percent(site[GOOD], total[site['site']])} of {count(total[site['site']])} good"
        shown.append(f"{site['site']}  {good}  {causes}" + (f"  {money(site['usd'])}" if site["usd"] else ""))
    return shown


def _paused(sites: list[Mapping[str, Any]]) -> list[str]:
    """Sites that were left alone for a while since nothing passed there, the longest first."""
    found = sorted((site for site in sites if site["pauses"]), key=lambda site: -site["paused_s"])
    shown = [
        f"{site['site']}  {plural(site['pauses'], 'time')}, {duration(site['paused_s'])}"
        for site in found[:_MOST]
    ]
    return shown + ([f"and {len(found) - _MOST} more sites"] if len(found) > _MOST else [])


_OTHER = tuple(outcome for outcome in OUTCOMES if outcome not in (GOOD, BLOCKED))


def _suspicions(suspicions: list[Mapping[str, Any]]) -> list[str]:
    shown = [f"{one['said']}: {'   '.join(one['examples'][:_EXAMPLES])}" for one in suspicions[:_SUSPICIONS]]
    more = len(suspicions) - _SUSPICIONS
    shown += [f"and {more} more kinds of pages, in the report"] if more > 0 else []
    return shown and [*shown, "they are stored; if it is a wall, write a contract: docs/contracts.md"]


def _errors(errors: list[Mapping[str, Any]]) -> list[str]:
    shown = [
        textwrap.shorten(
            f"{count(error['count'])} x {error['error']} in {error['place']}: {error['message']}",
            2 * (WIDTH - _LABEL),
            placeholder=" ...",
        )
        for error in errors[:_MOST]
    ]
    return shown + ([f"and {len(errors) - _MOST} more kinds"] if len(errors) > _MOST else [])


def _workers(batches: Mapping[str, Any]) -> list[str]:
    """How busy they were and how long records waited for them; then what went wrong there, if anything did."""
    if not batches["written"]:
        parts = []
    else:
        shares = [share for share in batches["workers"].values() if share is not None]
        parts = (
            [f"{plural(len(shares), 'worker')} {percent(sum(shares), len(shares))} busy"] if shares else []
        )
        if batches["wait_mean_s"] is not None:
            waited = f"{batches['wait_mean_s']:.1f} s, {batches['wait_max_s']:.1f} s at most"
            parts.append(f"records stored after {waited}")
        parts.append(f"spool up to {size(batches['waiting_bytes_max'])}")
    troubles = {"worker_deaths": "died and replaced", "worker_recycled": "replaced for their size"}
    told = [f"{count(batches[key])} {name}" for key, name in troubles.items() if batches[key]]
    if batches["quarantined"]:
        told.append(f"{plural(batches['quarantined'], 'item')} in quarantine")
    if batches["outages"]:
        told.append(f"the store took nothing for {duration(batches['outage_s'])}")
    if batches["held_back_s"] >= 1:
        told.append(f"the crawl waited {duration(batches['held_back_s'])} for room in the spool")
    return [_phrases(some) for some in (parts, told) if some]


def _counts(counts: Mapping[str, int]) -> str:
    named = [f"{name} {count(number)}" for name, number in list(counts.items())[:_MOST]]
    return _more(named, len(counts))


def _more(named: list[str], number: int) -> str:
    return _phrases([*named, f"and {number - _MOST} more"] if number > _MOST else named)


def _phrases(parts: list[str]) -> str:
    """The parts side by side; a line may end between two, not within one."""
    return "   ".join(part.replace(" ", _GLUE) for part in parts)


def _wrapped(label: str, value: str) -> list[str]:
    head, rest = f"  {label:<{_LABEL - 2}}", " " * _LABEL
    broken = textwrap.wrap(value, WIDTH, initial_indent=head, subsequent_indent=rest, break_on_hyphens=False)
    return [line.replace(_GLUE, " ") for line in broken]


def _samples(number: int, folder: str, command: list[str]) -> list[str]:
    program = shlex.join(command[: command.index("crawl")] if "crawl" in command else ["scrapy"])
    said = f"{plural(number, 'refused page')}, one a rule; why: {program} bans explain <file>"
    return [f"  {'samples':<{_LABEL - 2}}{folder}", " " * _LABEL + said]


def _command(command: list[str]) -> list[str]:
    """What to type to run it again, over several lines where it is long; an option stays with its value."""
    text, line, words = [], "  again     ", [shlex.quote(word) for word in command]
    while words:
        taken = 2 if words[0].startswith("-") else 1
        word, words = " ".join(words[:taken]), words[taken:]
        if len(line) + len(word) + 2 > WIDTH and line.strip() != "again":
            text.append(line.rstrip() + " \\")
            line = " " * _LABEL
        line += word + " "
    return [*text, line.rstrip()] if command else []
