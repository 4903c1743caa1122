"""RULE. Signatures as values, and which of them match an answer; signature_file.py reads them.

A signature names marks, all of which must be there, and gates, all of which must hold. docs/blocks.md describes each key.
The marks of all signatures are looked for in one pass over the body (Aho-Corasick); what was found is then asked for its
place: an article that quotes a challenge script in its text is not a challenge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from ahocorasick_rs import BytesAhoCorasick, Implementation

from scraper.bans.answers import HTML, SMALL_BYTES, Answer

#: Visible characters up to which a page that was served (status below 400) may be a wall: walls say little. Of 151 saved
#: block pages 148 say at most 835 (the others, up to 6,641, came with 503); a signature with other needs has its own max_text.
WALL_TEXT = 2000
_LANGUAGE = re.compile(r"[a-z]{2}(?:[-_][a-z]{2})?")  # as the first segment of a path
# Pages that may send a browser on.
_REFRESH = (b'http-equiv="refresh"', b"http-equiv='refresh'", b"http-equiv=refresh")


@dataclass(frozen=True, slots=True)
class Signature:
    """One mark of a refusal; all texts in lower case. The fields are those described in docs/blocks.md."""

    id: str
    vendor: str
    kind: str
    strength: str
    source: str
    since: str
    statuses: frozenset[int] = frozenset()
    format: str = HTML
    max_bytes: int = 0
    max_text: int = 0
    max_fields: int = -1
    headers: tuple[tuple[str, str], ...] = ()
    cookies: tuple[str, ...] = ()
    location: tuple[str, ...] = ()
    title: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    phrases: tuple[tuple[str, ...], ...] = ()
    scripts: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()

    @property
    def needs_body(self) -> bool:
        """Whether it can only be decided once the body is there."""
        return bool(self.title or self.text or self.phrases or self.scripts or self.body)


@dataclass(frozen=True, slots=True)
class Trace:
    """How one signature fared: ``found`` and ``missing`` as "where: mark", ``gates`` that did not hold, in words."""

    signature: Signature
    found: tuple[str, ...]
    missing: tuple[str, ...]
    gates: tuple[str, ...]

    @property
    def held(self) -> bool:
        return not self.missing and not self.gates


class Table:
    """Signatures in the order in which they are asked: the first that holds names the verdict."""

    def __init__(self, signatures: Iterable[Signature]) -> None:
        self.signatures = tuple(signatures)
        self._of_headers: dict[str, list[int]] = {}
        self._of_status: dict[int, list[int]] = {}
        self._of_location: list[int] = []
        for number, entry in enumerate(self.signatures):
            if entry.needs_body:
                continue
            if entry.headers:
                self._of_headers.setdefault(entry.headers[0][0], []).append(number)
            elif entry.cookies:
                self._of_headers.setdefault("set-cookie", []).append(number)
            elif entry.location:
                self._of_location.append(number)
            else:
                for status in entry.statuses:
                    self._of_status.setdefault(status, []).append(number)

    def __iter__(self) -> Iterator[Signature]:
        return iter(self.signatures)

    def by_headers(self, answer: Answer) -> Trace | None:
        """The first signature that status and headers alone satisfy."""
        numbers = list(self._of_status.get(answer.status, ()))
        for name in self._of_headers.keys() & answer.headers.keys():
            numbers += self._of_headers[name]
        if answer.location:
            numbers += self._of_location
        return self._first(numbers, answer)

    def by_body(self, answer: Answer) -> Trace | None:
        """The first signature that needs the body and is satisfied."""
        shape, title = answer.shape, answer.title
        hits = self._hits(answer)
        numbers = [
            number
            for number, needed, choices in self._needs
            if needed <= hits
            and self.signatures[number].format == shape
            and all(not hits.isdisjoint(one_of) for one_of in choices)
        ]
        if title:
            numbers += [number for mark, number in self._of_title if mark in title]
        if shape == HTML and self._may_send_on(answer, hits):
            numbers += self._of_location
        return self._first(numbers, answer)

    def trace(self, answer: Answer) -> list[Trace]:
        """How every signature fared of which at least one mark was found."""
        traces = (_trace(entry, answer) for entry in self.signatures)
        return [trace for trace in traces if trace.found]

    def _first(self, numbers: Iterable[int], answer: Answer) -> Trace | None:
        for number in sorted(set(numbers)):
            entry = self.signatures[number]
            if not _ruled_out(entry, answer) and (found := _trace(entry, answer)).held:
                return found
        return None

    def _may_send_on(self, answer: Answer, hits: set[int]) -> bool:
        if any(self._words[mark] in hits for mark in _REFRESH):
            return True
        return len(answer.body) <= SMALL_BYTES and b"location" in answer.window

    def _hits(self, answer: Answer) -> set[int]:
        hits = self._found_in(answer.window)
        if answer.shape == HTML and (answer.status >= 400 or len(answer.body) <= SMALL_BYTES):
            hits |= self._found_in(answer.text.encode())  # words that markup tears apart
        return hits

    def _found_in(self, text: bytes) -> set[int]:
        return {match[0] for match in self._finder.find_matches_as_indexes(text, overlapping=True)}

    @cached_property
    def _words(self) -> dict[bytes, int]:
        """What the one pass over a body looks for. Words that pages are full of ("human") are asked for afterwards."""
        words = set(_REFRESH)
        for entry in self.signatures:
            words.update(mark.encode() for group in _anchors(entry) for mark in group)
        return {word: number for number, word in enumerate(sorted(words))}

    @cached_property
    def _needs(self) -> list[tuple[int, set[int], list[set[int]]]]:
        """For signatures found by their words: number, the words needed, and groups of which one each is needed."""
        found = []
        for number, entry in enumerate(self.signatures):
            groups = [{self._words[mark.encode()] for mark in group} for group in _anchors(entry)]
            if groups:
                alone = [group for group in groups if len(group) == 1]
                found.append((number, set().union(*alone), [group for group in groups if len(group) > 1]))
        return found

    @cached_property
    def _of_title(self) -> list[tuple[str, int]]:
        """Marks of the title, of signatures that have no other."""
        return [
            (mark, number)
            for number, entry in enumerate(self.signatures)
            if entry.title and not _anchors(entry)
            for mark in entry.title
        ]

    @cached_property
    def _finder(self) -> BytesAhoCorasick:
        return BytesAhoCorasick(list(self._words), implementation=Implementation.DFA)


def _anchors(entry: Signature) -> list[tuple[str, ...]]:
    """The marks by which a page becomes a candidate, one of each group: those that stand for themselves, else phrases."""
    alone: list[tuple[str, ...]] = [(mark,) for mark in (*entry.text, *entry.scripts, *entry.body)]
    return alone or ([] if entry.title else list(entry.phrases))


def _ruled_out(entry: Signature, answer: Answer) -> bool:
    """What costs little to see: most candidates fail here, and the page is not read for them."""
    if entry.statuses and answer.status not in entry.statuses:
        return True
    if entry.title and not any(text in answer.title for text in entry.title):
        return True
    longest = _longest(entry, answer) if entry.needs_body else 0
    return bool(longest) and answer.says_more_than(longest)


def _trace(entry: Signature, answer: Answer) -> Trace:
    found: list[str] = []
    missing: list[str] = []

    def ask(where: str, mark: str, there: bool) -> None:
        (found if there else missing).append(f"{where}: {mark}")

    for name, text in entry.headers:
        value = answer.headers.get(name)
        if text[:1] == "!":
            there = value is not None and text[1:] not in value.lower()
        else:
            there = value is not None and text in value.lower()
        ask("header", f"{name}: {value}" if there else f"{name}: {text}", there)
    for name in entry.cookies:
        ask("cookie", name, name in answer.headers.get("set-cookie", "").lower())
    if entry.location:
        where, target = "location", answer.location
        if not target and answer.body:
            where, target = "sent on to", answer.sent_to
        there = any(points_to(target, text) for text in entry.location)
        asked_for = any(text in answer.url.lower() for text in entry.location)
        ask(where, target if there else " or ".join(entry.location), there and not asked_for)
    if entry.needs_body and not missing:
        if entry.title:
            there = any(text in answer.title for text in entry.title)
            ask("title", answer.title if there else " or ".join(entry.title), there)
        for group in entry.phrases:
            said = [mark for mark in group if mark in answer.text]
            ask("text", said[0] if said else " or ".join(group), bool(said))
        for where, marks in (("text", entry.text), ("scripts", entry.scripts)):
            for mark in marks:
                ask(where, mark, mark in getattr(answer, where))
        for mark in entry.body:
            ask("body", mark, mark.encode() in answer.window)
    return Trace(entry, tuple(found), tuple(missing), tuple(_gates(entry, answer)) if not missing else ())


def _gates(entry: Signature, answer: Answer) -> Iterator[str]:
    """What keeps the signature from holding, in words."""
    if entry.statuses and answer.status not in entry.statuses:
        yield f"status {answer.status} is none of {_said(entry.statuses)}"
    sent_by_body = bool(entry.location) and not answer.location
    if not (entry.needs_body or sent_by_body):
        return
    if answer.shape != entry.format:
        yield f"the body is {answer.shape}, not {entry.format}"
        return
    if entry.max_bytes and len(answer.body) > entry.max_bytes:
        yield f"{len(answer.body):,} bytes, at most {entry.max_bytes:,}"
    longest = _longest(entry, answer)
    if longest and len(answer.text) > longest:
        yield f"{len(answer.text):,} visible characters, at most {longest:,}"
    if entry.max_fields >= 0 and answer.n_fields > entry.max_fields:
        yield f"fields to fill in: {answer.n_fields}, at most {entry.max_fields}"
    for mark in entry.unless:
        if mark.encode() in answer.window:
            yield f"the body holds {mark}"


def _longest(entry: Signature, answer: Answer) -> int:
    """Visible characters that a page may have; 0: any number."""
    return entry.max_text or (WALL_TEXT if answer.status < 400 else 0)


def _said(statuses: Iterable[int]) -> str:
    """Statuses as they are written in the table: "403, 4xx"."""
    left, words = set(statuses), []
    for hundred in range(1, 10):
        family = set(range(hundred * 100, hundred * 100 + 100))
        if family <= left:
            words.append(f"{hundred}xx")
            left -= family
    return ", ".join([*(str(status) for status in sorted(left)), *words])


def points_to(location: str, text: str) -> bool:
    """``/word`` is the first segment of the path, a language before it left out: /wiki/captcha is an article. Anything else may stand anywhere in the address."""
    location = location.lower()
    if text.startswith("/") and text[1:].replace("-", "").replace("_", "").isalnum():
        try:
            first, *rest = urlsplit(location).path.lstrip("/").split("/")
            return text[1:] in (first, *rest[: 1 if _LANGUAGE.fullmatch(first) else 0])
        except ValueError:
            return False
    return bool(location) and text in location
