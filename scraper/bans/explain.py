"""RULE. Why an answer is judged as it is, in words: which signature fires, on what, and which ones nearly did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from scraper.bans import reactions, rules
from scraper.bans.answers import Answer
from scraper.bans.signatures import Table, Trace
from scraper.bans.wording import gates_of, row, rows, short
from scraper.verdicts import BLOCKED, GOOD, RATE_LIMITED, Verdict

NEAR_MISSES = 8  # told of those whose marks were all found; more would bury the answer
HEADERS, BODY, CONTRACT = "headers", "body", "contract"  # the phase that decided
_FOLLOWED = (301, 302, 303, 307, 308)
_SENDS_ON = "no signature fires, and a redirect is no page yet"
_WHY = {
    "good": "no signature fires, and the status is one that comes with a page",
    "empty_page": "a page was asked for and nothing came",
    "site_refused": "a status by which a site refuses the request itself, whoever asks",
    "robots_absent": "a robots.txt that is refused or absent forbids nothing",
    "status_204": "no signature fires; a good answer that comes without a page",
    "status_205": "no signature fires; a good answer that comes without a page",
    "status_304": "no signature fires; the page has not changed since it was kept",
    "status_403": "no signature fires; the status says 'you may not', which is said to robots and to people",
    "status_404": "the page does not exist: an answer, and never a block",
    "status_410": "the page does not exist any more: an answer, and never a block",
    "status_429": "no signature fires; the status says 'too fast'",
    "status_503_retry_after": "no signature fires; the site says when to come back",
    "status_451": "no signature fires; the status says 'not in your country'",
}
_UNPROVEN = "It counts against the exit only once another exit gets the page."


@dataclass(frozen=True, slots=True)
class Explanation:
    """``fired``: the signature that named the verdict; ``also``: those that hold too; ``near``: all marks, no gate."""

    answer: Answer
    verdict: Verdict
    phase: str
    fired: Trace | None
    also: tuple[Trace, ...]
    near: tuple[Trace, ...]


def explain(
    answer: Answer,
    table: Table,
    now: datetime,
    broken: Verdict | None = None,
    decided: Verdict | None = None,
) -> Explanation:
    """Judge as a crawl does. ``broken``: why the page breaks the spider's contract, which is asked of good pages only.

    ``decided``: what a crawl made of it, where the answer alone does not tell (a robots.txt).
    """
    bare = Answer(answer.url, answer.status, answer.headers)
    verdict, phase = rules.judge_headers(bare, table, now), HEADERS
    if verdict is None:
        verdict, phase = rules.judge_body(answer, table, now), BODY
        if broken is not None and verdict.outcome == GOOD and answer.status < 300:
            verdict, phase = broken, CONTRACT
    verdict = decided or verdict
    traces = table.trace(answer)
    named = [entry for entry in table if entry.id == verdict.rule]  # one of a status alone leaves no trace
    return Explanation(
        answer=answer,
        verdict=verdict,
        phase=phase,
        fired=next(
            (trace for trace in traces if trace.signature.id == verdict.rule),
            Trace(named[0], (), (), ()) if named else None,
        ),
        also=tuple(trace for trace in traces if trace.held and trace.signature.id != verdict.rule),
        near=tuple(trace for trace in traces if trace.gates and not trace.missing),
    )


def is_block(verdict: Verdict) -> bool:
    return verdict.outcome in (BLOCKED, RATE_LIMITED)


def lines(found: Explanation, limits: reactions.Limits, places: int = 0) -> Iterator[str]:
    """The explanation for people, line by line. ``places``: as in reactions.Past."""
    verdict, answer = found.verdict, found.answer
    named = ", ".join(filter(None, (verdict.vendor, verdict.kind)))
    rule = "" if verdict.rule == verdict.outcome else f": {verdict.rule}"
    yield f"{verdict.outcome}{rule}" + (f" ({named})" if named else "")
    yield row(
        "decided by", {HEADERS: "status and headers", BODY: "the body", CONTRACT: "the contract"}[found.phase]
    )
    if found.phase == CONTRACT:
        yield row(
            "because",
            f"no signature fires, but the page lacks what a good one holds: {short(verdict.evidence)}",
        )
    elif found.fired is None:
        other = f"no signature fires; status {answer.status} decides alone"
        yield row("because", _SENDS_ON if _is_followed(verdict, answer) else _WHY.get(verdict.rule, other))
    else:
        signature = found.fired.signature
        marks = found.fired.found or (f"status {answer.status}",)
        yield from rows("found", [short(mark) for mark in marks])
        yield from rows("holds", [gate for _, gate in gates_of(signature, answer)])
        yield row("source", f"{signature.source} (since {signature.since})")
    yield row("follows", follows(verdict, answer, limits, places))
    if verdict.outcome == BLOCKED and not verdict.proven:
        yield row("", _UNPROVEN)
    yield row("the page", _page(answer))
    if answer.title:
        yield row("title", short(answer.title))
    for trace in found.also:
        yield row("also fires", f"{trace.signature.id} ({short('; '.join(trace.found))})")
    for trace in found.near[:NEAR_MISSES]:
        yield row(
            "near miss", f"{trace.signature.id} ({short('; '.join(trace.found))}): {'; '.join(trace.gates)}"
        )
    if len(found.near) > NEAR_MISSES:
        yield row("", f"and {len(found.near) - NEAR_MISSES} more")


def follows(verdict: Verdict, answer: Answer, limits: reactions.Limits, places: int = 0) -> str:
    """What a crawl does after the first try."""
    reaction = _after(1, verdict, limits, places)
    if _is_followed(verdict, answer):
        return f"followed; what comes from {short(answer.location)} is judged"
    if reaction.action == reactions.HAND_ON:
        if 200 <= answer.status < 300:
            handed = "handed to the callback"
        elif verdict.kind == "refused":
            handed = "handed to a spider that asks for the status, else given up and listed in failed.jsonl"
        else:
            handed = "handed to a spider that asks for the status"
        return handed if verdict.proven else f"{handed}; it says nothing about the exit"
    if reaction.action == reactions.GIVE_UP:
        return "given up at once, and listed in failed.jsonl"
    who = "as the same identity" if reaction.keeps_identity else "as another identity"
    if verdict.kind == "geo" and places:
        who += (
            ", from the country that was asked for"
            if places == 1
            else ", from each country that the spider names"
        )
    last = next(
        n for n in range(1, limits.attempts + 1)
        if _after(n, verdict, limits, places).action == reactions.GIVE_UP
    )  # fmt: skip
    return f"tried again {who}{_wait(verdict, reaction, limits)}; {last} tries at most"


def _after(attempt: int, verdict: Verdict, limits: reactions.Limits, places: int) -> reactions.Reaction:
    """The reaction to a page that has met the same verdict ``attempt`` times."""
    walls = attempt if verdict.kind == "geo" else 0
    return reactions.react(verdict, reactions.Past(attempt, geo_walls=walls, places=places), limits)


def _wait(verdict: Verdict, reaction: reactions.Reaction, limits: reactions.Limits) -> str:
    """How long, and who says so."""
    if reactions.row_of(verdict).wait != reactions.SITE_WAITS:
        return f", after {reaction.wait_s:g} s" if reaction.wait_s else ""
    asked_s = verdict.retry_after_s
    if asked_s is None:
        why = "BAN_RATE_LIMIT_WAIT_S: it names no wait of its own"
    elif asked_s > limits.rate_wait_max_s:
        why = f"BAN_RETRY_AFTER_MAX_S: its Retry-After asks for {asked_s:g} s"
    else:
        why = "its Retry-After"
    site = ", in which nobody asks the site" if reaction.site_wait_s else ""
    return f", after {reaction.wait_s:g} s ({why}){site}"


def _is_followed(verdict: Verdict, answer: Answer) -> bool:
    return verdict.outcome == GOOD and answer.status in _FOLLOWED and bool(answer.location)


def _page(answer: Answer) -> str:
    shown = "" if answer.shape in ("binary", "empty") else f", {len(answer.text):,} visible characters"
    return f"status {answer.status}, {answer.shape}, {len(answer.body):,} bytes{shown}"
