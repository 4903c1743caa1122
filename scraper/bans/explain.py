"""RULE. Why an answer is judged as it is, in words: which signature fires, on what, and which ones nearly did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from scraper.bans import reactions, rules
from scraper.bans.answers import Answer
from scraper.bans.signatures import WALL_TEXT, Signature, Table, Trace
from scraper.verdicts import BLOCKED, GOOD, RATE_LIMITED, Verdict

NEAR_MISSES = 8  # told of those whose marks were all found; more would bury the answer
HEADERS, BODY, CONTRACT = "headers", "body", "contract"  # the phase that decided
_WHY = {
    "good": "no signature fires, and the status is one that comes with a page",
    "empty_page": "a page was asked for and nothing came",
    "site_refused": "a status by which a site refuses the request itself, whoever asks",
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


def explain(answer: Answer, table: Table, now: datetime, broken: Verdict | None = None) -> Explanation:
    """Judge as a crawl does. ``broken``: why the page breaks the spider's contract, which is asked of good pages only."""
    bare = Answer(answer.url, answer.status, answer.headers)
    verdict, phase = rules.judge_headers(bare, table, now), HEADERS
    if verdict is None:
        verdict, phase = rules.judge_body(answer, table, now), BODY
        if broken is not None and verdict.outcome == GOOD and answer.status < 300:
            verdict, phase = broken, CONTRACT
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


def lines(found: Explanation, limits: reactions.Limits) -> Iterator[str]:
    """The explanation for people, line by line."""
    verdict, answer = found.verdict, found.answer
    named = ", ".join(filter(None, (verdict.vendor, verdict.kind)))
    yield f"{verdict.outcome}: {verdict.rule}" + (f" ({named})" if named else "")
    yield row(
        "decided by", {HEADERS: "status and headers", BODY: "the body", CONTRACT: "the contract"}[found.phase]
    )
    if found.phase == CONTRACT:
        yield row(
            "because",
            f"no signature fires, but the page lacks what a good one holds: {short(verdict.evidence)}",
        )
    elif found.fired is None:
        yield row(
            "because", _WHY.get(verdict.rule, f"no signature fires; status {answer.status} decides alone")
        )
    else:
        for number, mark in enumerate(found.fired.found or (f"status {answer.status}",)):
            yield row("" if number else "found", short(mark))
        for number, gate in enumerate(gates_of(found.fired.signature, answer)):
            yield row("" if number else "holds", gate)
        yield row("source", f"{found.fired.signature.source} (since {found.fired.signature.since})")
    yield row("follows", follows(verdict, limits))
    if not verdict.proven:
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


def gates_of(signature: Signature, answer: Answer) -> Iterator[str]:
    """What had to hold beside the marks, and did."""
    if signature.statuses:
        yield f"status {answer.status} is one of {_statuses(signature.statuses)}"
    if not (signature.needs_body or (signature.location and not answer.location)):
        return
    yield f"the body is {answer.shape}"
    if signature.max_bytes:
        yield f"{len(answer.body):,} bytes, at most {signature.max_bytes:,}"
    longest = signature.max_text or (WALL_TEXT if answer.status < 400 else 0)
    if longest:
        yield f"{len(answer.text):,} visible characters, at most {longest:,}"
    if signature.max_fields >= 0:
        yield f"{answer.n_fields} fields to fill in, at most {signature.max_fields}"
    for mark in signature.unless:
        yield f"the body does not hold {mark}"


def follows(verdict: Verdict, limits: reactions.Limits) -> str:
    """What a crawl does after the first try."""
    reaction = reactions.react(verdict, reactions.Past(1), limits)
    if reaction.action == reactions.HAND_ON:
        return (
            "handed to the callback"
            if verdict.outcome == GOOD
            else "handed on; a spider gets it where it asks to"
        )
    if reaction.action == reactions.GIVE_UP:
        return "given up at once, and listed in failed.jsonl"
    who = "as the same identity" if reaction.keeps_identity else "as another identity"
    waits = f", after {reaction.wait_s:g} s" if reaction.wait_s else ""
    site = ", in which nobody asks the site" if reaction.site_wait_s else ""
    tries = (reactions.Past(n) for n in range(1, limits.attempts + 1))
    last = next(
        past.attempt for past in tries if reactions.react(verdict, past, limits).action == reactions.GIVE_UP
    )
    return f"tried again {who}{waits}{site}; {last} tries at most"


def _statuses(statuses: frozenset[int]) -> str:
    """ "403, 5xx" for a number and a whole hundred."""
    whole = [n for n in range(1, 10) if statuses >= set(range(100 * n, 100 * n + 100))]
    single = sorted(status for status in statuses if status // 100 not in whole)
    return ", ".join([*map(str, single), *(f"{n}xx" for n in whole)])


def _page(answer: Answer) -> str:
    shown = "" if answer.shape in ("binary", "empty") else f", {len(answer.text):,} visible characters"
    return f"status {answer.status}, {answer.shape}, {len(answer.body):,} bytes{shown}"


def row(name: str, text: str) -> str:
    """A line of the explanation."""
    return f"  {name:<11} {text}"


def short(text: str, most: int = 160) -> str:
    """In one line, without what a terminal would obey: sites write these texts."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return plain if len(plain) <= most else f"{plain[:most]}..."
