"""RULE. A signature in words: what it asks for (`scrapy bans show`), and how it fared on an answer (`explain --rule`)."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace

from scraper.bans.answers import Answer
from scraper.bans.signatures import WALL_TEXT, Signature, Table
from scraper.errors import ConfigError

SHOWN_CHARS = 160  # of a text that a site wrote


def row(name: str, text: str) -> str:
    """A line of an explanation."""
    return f"  {name:<11} {text}"


def rows(name: str, texts: list[str]) -> Iterator[str]:
    """Several lines under one name; none for none."""
    for number, text in enumerate(texts):
        yield row("" if number else name, text)


def short(text: str, most: int = SHOWN_CHARS) -> str:
    """In one line, without what a terminal would obey: sites write these texts."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return plain if len(plain) <= most else f"{plain[:most]}..."


def named(table: Table, name: str, what: str) -> Signature:
    """The signature of that id. Raises ConfigError, which names ``what`` gave it."""
    ids = {entry.id: entry for entry in table}
    if name in ids:
        return ids[name]
    near = difflib.get_close_matches(name, ids, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(what, name, f"is no signature; {hint}scrapy bans list names them")


def marks_of(signature: Signature) -> list[str]:
    """The marks, all of which must be there, as "where: mark"."""
    headers = (
        f"{name}: {'any value' if not text else f'not {text[1:]}' if text[0] == '!' else text}"
        for name, text in signature.headers
    )
    groups = [
        *((("location", signature.location),) if signature.location else ()),
        *((("title", signature.title),) if signature.title else ()),
        *(("text", group) for group in signature.phrases),
    ]
    return [
        *(f"header: {text}" for text in headers),
        *(f"cookie: {name}" for name in signature.cookies),
        *(f"{where}: {' or '.join(texts)}" for where, texts in groups),
        *(f"text: {text}" for text in signature.text),
        *(f"scripts: {text}" for text in signature.scripts),
        *(f"body: {text}" for text in signature.body),
    ]


def gates_of(signature: Signature, answer: Answer) -> Iterator[tuple[bool, str]]:
    """The gates of a signature at an answer: whether each holds, and what it says."""
    if signature.statuses:
        holds = answer.status in signature.statuses
        yield (
            holds,
            f"status {answer.status} is {'one' if holds else 'none'} of {_statuses(signature.statuses)}",
        )
    if not (signature.needs_body or (signature.location and not answer.location)):
        return
    holds = answer.shape == signature.format
    yield holds, f"the body is {answer.shape}" + ("" if holds else f", not {signature.format}")
    if signature.max_bytes:
        size = len(answer.body)
        yield size <= signature.max_bytes, f"{size:,} bytes, at most {signature.max_bytes:,}"
    longest = signature.max_text or (WALL_TEXT if answer.status < 400 else 0)
    if longest:
        shown = len(answer.text)
        yield shown <= longest, f"{shown:,} visible characters, at most {longest:,}"
    if signature.max_fields >= 0:
        n_fields = answer.n_fields
        yield (
            n_fields <= signature.max_fields,
            f"fields to fill in: {n_fields}, at most {signature.max_fields}",
        )
    for mark in signature.unless:
        holds = mark.encode() not in answer.window
        yield holds, f"the body {'does not hold' if holds else 'holds'} {mark}"


def fared(signature: Signature, answer: Answer) -> Iterator[str]:
    """How one signature fared, half a match included, line by line."""
    found: list[str] = []
    missing: list[str] = []
    # Asked apart, since marks of the body are not looked for where one of the headers is missing.
    of_headers = replace(signature, title=(), text=(), phrases=(), scripts=(), body=())
    of_body = replace(signature, headers=(), cookies=(), location=())
    for part in (of_headers, of_body):
        if marks := marks_of(part):
            traces = Table([part]).trace(answer)
            found += traces[0].found if traces else ()
            missing += traces[0].missing if traces else marks
    gates = list(gates_of(signature, answer))
    holds = not missing and all(held for held, _ in gates)
    yield row("rule", f"{signature.id} {'holds' if holds else 'does not hold'}")
    yield from rows("found", [short(mark) for mark in found])
    yield from rows("missing", [short(mark) for mark in missing])
    yield from rows("holds", [gate for held, gate in gates if held])
    yield from rows("fails", [gate for held, gate in gates if not held])


def shown(signature: Signature) -> Iterator[str]:
    """One signature for people, line by line."""
    yield signature.id
    yield row("vendor", signature.vendor)
    yield row("kind", signature.kind)
    yield row("strength", signature.strength)
    yield from rows("marks", marks_of(signature) or ["none: its statuses decide alone"])
    gates = []
    if signature.statuses:
        gates.append(f"status {_statuses(signature.statuses)}")
    if signature.needs_body or signature.location:
        gates.append(f"the body is {signature.format}")
        if signature.max_bytes:
            gates.append(f"at most {signature.max_bytes:,} bytes")
        if signature.max_text:
            gates.append(f"at most {signature.max_text:,} visible characters")
        else:
            gates.append(f"at most {WALL_TEXT:,} visible characters with a status below 400")
        if signature.max_fields >= 0:
            gates.append(f"at most {signature.max_fields} fields to fill in")
        gates += [f"the body does not hold {mark}" for mark in signature.unless]
    yield from rows("gates", gates)
    yield row("source", f"{signature.source} (since {signature.since})")


def _statuses(statuses: frozenset[int]) -> str:
    """ "403, 5xx" for a number and a whole hundred."""
    whole = [n for n in range(1, 10) if statuses >= set(range(100 * n, 100 * n + 100))]
    single = sorted(status for status in statuses if status // 100 not in whole)
    return ", ".join([*map(str, single), *(f"{n}xx" for n in whole)])
