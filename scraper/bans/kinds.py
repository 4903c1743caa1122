"""RULE. What the good pages of one kind share, and which of them look like one soft block: suspicions, never verdicts.

A kind is the pages of a site that went to one callback and whose addresses have one shape (``/p/*``). Four things are
suspected, each only in a number that matters; a kind gets the first that fits:

    all_equal    nine tenths of 20 or more addresses brought the same page: a wall, or a shell that a script fills
    equal        6 or more addresses brought the same page, under a title of its own, where the others differ
    same_title   27 of 30 pages in a row had one title where titles used to differ
    unlike       5 or more pages are of another size and another make than the rest

The same page: same title and same visible words (words with digits or slashes left out), and about the same size where the
words are few. Empty listings keep the title of the full ones, so they are not suspected. Nothing is parsed; most pages cost a
search for their title.
"""

from __future__ import annotations

import html
import re
from collections import Counter, OrderedDict
from dataclasses import dataclass, field

_SAID = {
    "all_equal": "are one and the same apart from numbers: a wall, or a shell that a script fills",
    "equal": "are one and the same apart from numbers, the others differ",
    "same_title": "have one title, earlier titles differ",
    "unlike": "are of another size and another make than the rest",
}

KINDS = 500  # of a run that are remembered, the last ones seen; at worst about 70 kB each (measured)
SHAPES = 20  # of one callback at one site; the rest is one kind
LEARN = 10  # pages from which the make of a kind is learnt
SIZES = 64  # pages from which its size is learnt
MANY = (
    5  # pages below which nothing is suspected, and addresses of one page: a few duplicates are on every site
)
SHARE = 0.01  # of a kind's pages below which it does not matter
ALL = 20  # addresses below which a kind of equal pages may be a coincidence
FEW_WORDS = 20  # below, a page may be a shell whose data differ: "You need to enable JavaScript to run this app" has nine
WINDOW = 30  # pages in a row that are looked at for their titles
FACTOR = 3  # times larger or smaller than the median: of another size
TITLE_BYTES = 16 * 1024  # of a page, in which its title is looked for
HEAD_BYTES = 8 * 1024  # of a page, in which its make shows
PART_BYTES = 4 * 1024  # a larger page's words are read at its start, middle and end, so much of each
FOUND = 100  # suspicions of kinds no longer remembered that are kept

_DIGITS = b"0123456789"
_TITLES, _CLUSTERS, _ADDRESSES, _EXAMPLES = 128, 16, 24, 3  # remembered of a kind, and of a cluster
_READ = 50  # pages of a kind that are read for their words whatever their title; it counts the first of a few right
_MARKUP = (b"<html", b"<!doctype html", b"<head", b"<body", b"<title")
_VARIES = re.compile(
    r"[\d%_-]|.{13}"
)  # a middle segment of a path that is a value, not the name of a section
_ENDING = re.compile(r"\.[A-Za-z]{2,5}$")
_SILENT = (b"script", b"style", b"!--", b"SCRIPT", b"STYLE")
_PUNCTUATION = b".,:;!?()'\""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """``pages`` of the ``of`` pages of a kind; ``title``: what they are called; ``examples``: addresses, at most 3.

    Of ``unlike``, the pages that the make was learnt from are not counted.
    """

    word: str
    site: str
    callback: str
    shape: str
    pages: int
    of: int
    title: str
    examples: tuple[str, ...]

    @property
    def said(self) -> str:
        """In one sentence, without the examples."""
        number = f"{'at least ' if self.word == 'unlike' else ''}{self.pages:,}"
        these = f"{number} of {self.of:,} pages of {self.callback} {self.shape} at {self.site}"
        return f'{these} {_SAID[self.word]} ("{self.title}")'


@dataclass(slots=True)
class _Cluster:
    """Pages that are alike. Addresses are counted once, as long as there are few enough to remember."""

    title: bytes
    pages: int = 0
    urls: set[int] = field(default_factory=set)
    paths: set[int] = field(default_factory=set)
    examples: list[str] = field(default_factory=list)
    few_words: bool = False
    has_first: bool = False  # the first page of this title is in it
    smallest: int = 0  # bytes
    largest: int = 0

    @property
    def is_one_page(self) -> bool:
        """Shells with few words may differ in the data that a script shows; then their sizes do."""
        return not self.few_words or self.largest <= 1.1 * self.smallest + 200

    def add(self, url: str, path: str, size: int = 0) -> None:
        self.smallest = min(self.smallest or size, size)
        self.largest = max(self.largest, size)
        key = hash(url)
        if key in self.urls:
            return
        self.pages += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(url)
        if len(self.urls) < _ADDRESSES:
            self.urls.add(key)
            self.paths.add(hash(path))


@dataclass(slots=True)
class _Kind:
    pages: int = 0
    fresh: int = 0  # pages with a title or words that none before them had
    first_path: str = ""
    many_paths: bool = False
    sizes: list[int] = field(default_factory=list)
    size: int = 0  # bytes, the median of sizes
    make: Counter[bytes] = field(default_factory=Counter)  # while it is learnt
    core: frozenset[bytes] = frozenset()  # what nearly all of the first pages begin with
    titles: Counter[bytes] = field(default_factory=Counter)
    firsts: dict[bytes, tuple[int, str, str, int]] = field(
        default_factory=dict
    )  # words, address, path, bytes by title
    clusters: dict[tuple[bytes, int], _Cluster] = field(default_factory=dict)
    others: _Cluster = field(default_factory=lambda: _Cluster(b""))  # unlike the first pages
    window: Counter[bytes] = field(default_factory=Counter)
    window_urls: dict[bytes, list[str]] = field(default_factory=dict)
    in_window: int = 0
    new_titles: int = 0  # before the window
    drift: _Cluster | None = None

    def add(self, url: str, path: str, body: bytes) -> None:
        self.pages += 1
        self.first_path = self.first_path or path
        self.many_paths = self.many_paths or path != self.first_path
        title = title_of(body)
        known = self.titles[title]
        self.titles[title] = known + 1
        if not known:
            self.fresh += 1
            _forget(self.titles, _TITLES)
            if self.pages <= _READ:
                self.firsts[title] = (hash(words_of(body)), url, path, len(body))
        else:
            self._add_to_cluster(title, url, path, body)
        self._add_to_window(title, url)
        self._compare(title, url, path, body)

    def _add_to_cluster(self, title: bytes, url: str, path: str, body: bytes) -> None:
        words = words_of(body)
        key = (title, hash(words))
        cluster = self.clusters.get(key)
        if cluster is None:
            self.fresh += 1
            if len(self.clusters) >= _CLUSTERS:
                del self.clusters[min(self.clusters, key=lambda one: self.clusters[one].pages)]
            cluster = self.clusters[key] = _Cluster(title, few_words=words.count(" ") < FEW_WORDS)
        if title in self.firsts and self.firsts[title][0] == key[1]:
            cluster.add(*self.firsts.pop(title)[1:])
            cluster.has_first = True
        cluster.add(url, path, len(body))

    def _add_to_window(self, title: bytes, url: str) -> None:
        if self.drift is not None:
            self.drift.pages += title == self.drift.title
            return
        self.window[title] += 1
        self.in_window += 1
        if len(urls := self.window_urls.setdefault(title, [])) < _EXAMPLES:
            urls.append(url)
        if self.in_window < WINDOW:
            return
        top, times = self.window.most_common(1)[0]
        earlier = self.pages - self.in_window
        if times >= 0.9 * WINDOW and earlier and 2 * self.new_titles >= earlier:
            self.drift = _Cluster(top, pages=self.titles[top], examples=self.window_urls[top])
        self.new_titles += len(self.window)
        self.window.clear()
        self.window_urls.clear()
        self.in_window = 0

    def _compare(self, title: bytes, url: str, path: str, body: bytes) -> None:
        if self.pages <= MANY:
            return  # of many kinds there are no more
        learnt = len(self.sizes)
        if learnt < SIZES:
            self.sizes.append(len(body))
            if learnt + 1 in (LEARN, SIZES):
                self.size = sorted(self.sizes)[learnt // 2]
        if learnt < LEARN:
            self.make.update(_make_of(body))
            if learnt + 1 == LEARN:
                self.core = frozenset(piece for piece, times in self.make.items() if times >= 0.8 * LEARN)
                self.make.clear()
            return
        of_its_size = self.size <= FACTOR * len(body) and len(body) <= FACTOR * self.size
        if not of_its_size and 2 * len(self.core & _make_of(body)) < len(self.core):
            self.others.title = title
            self.others.add(url, path, len(body))

    def suspected(self) -> tuple[str, _Cluster] | None:
        """The first word that fits, with the pages."""
        matters = max(MANY, SHARE * self.pages)
        by_size = sorted(self.clusters.values(), key=lambda one: -one.pages)
        for cluster in filter(lambda one: one.is_one_page, by_size):
            different = len(cluster.paths if self.many_paths else cluster.urls)
            if different >= ALL and cluster.pages >= 0.9 * self.pages:
                return "all_equal", cluster
            rest = self.pages - cluster.pages
            same_title = self.titles[cluster.title] - cluster.pages - (not cluster.has_first)
            differ = rest >= MANY and 2 * (self.fresh - 2) >= rest
            if different > MANY and cluster.pages >= matters and differ and same_title <= 0.1 * cluster.pages:
                return "equal", cluster
        if self.drift is not None and self.drift.pages >= matters:
            return "same_title", self.drift
        if matters <= self.others.pages <= self.pages / 2:
            return "unlike", self.others
        return None


class Kinds:
    """The kinds of pages of a run; bounded, whatever the run meets."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[tuple[str, str, str], _Kind] = OrderedDict()
        self._shapes: Counter[tuple[str, str]] = Counter()
        self._found: list[Suspicion] = []

    def add(self, site: str, callback: str, url: str, body: bytes) -> None:
        """Learn from a page with a good verdict. What is no HTML is left out, and what only sends a browser on.

        ``url``: the one that was asked for, so that a redirect of many addresses to one page shows.
        """
        head = body[:1024].lower()
        if not any(mark in head for mark in _MARKUP) or (b"http-equiv" in head and b"refresh" in head):
            return
        address, _, query = url.partition("#")[0].partition("://")[2].partition("?")
        path = "/" + address.partition("/")[2]
        key = (site, callback, shape_of(path, query))
        kind = self._kinds.get(key)
        if kind is None and self._shapes[site, callback] >= SHAPES:
            key = (site, callback, "...")
            kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind()
            self._shapes[site, callback] += 1
            if len(self._kinds) > KINDS:
                self._drop_oldest()
        else:
            self._kinds.move_to_end(key)
        kind.add(url, path, body)

    def suspicions(self) -> list[Suspicion]:
        """Of all kinds, those with most pages first."""
        now = [found for key, kind in self._kinds.items() if (found := _suspicion(key, kind))]
        return sorted(self._found + now, key=lambda found: -found.pages)

    def _drop_oldest(self) -> None:
        key, kind = self._kinds.popitem(last=False)
        self._shapes[key[:2]] -= 1
        self._shapes += Counter()  # without zeros
        found = _suspicion(key, kind)
        if found and len(self._found) < FOUND:
            self._found.append(found)


def shape_of(path: str, query: str = "") -> str:
    """``/shop/lamps-2/blue.html?id=3`` -> ``/shop/*/*.html?id``: what a site's addresses of one kind have in common."""
    *middle, last = path.split("/")
    ending = _ENDING.search(last)
    folded = ["*" if _VARIES.search(segment) else segment for segment in middle[:6]]
    folded.append(("*" if last else "") + (ending[0] if ending else ""))
    names = sorted({part.partition("=")[0] for part in query.split("&", 20)[:20]} - {""})[:5]
    return "/".join(folded) + ("?" + "&".join(name[:20] for name in names) if names else "")


def title_of(body: bytes) -> bytes:
    """The title without its digits; empty where none stands in the head."""
    start = body.find(b"<title", 0, TITLE_BYTES)
    if start < 0:
        start = body.find(b"<TITLE", 0, TITLE_BYTES)
    if start < 0:
        return b""
    start = body.find(b">", start) + 1
    return body[start : start + 200].partition(b"<")[0].translate(None, _DIGITS).strip()


def words_of(body: bytes) -> str:
    """Its visible words, those with digits or slashes left out: tokens, numbers and addresses differ on equal pages."""
    start = max(0, body.find(b"<body"))
    length = len(body) - start
    if length > 3 * PART_BYTES:
        middle = start + (length - PART_BYTES) // 2
        body = b"<".join(body[at : at + PART_BYTES] for at in (start, middle, len(body) - PART_BYTES))
    elif start:
        body = body[start:]
    shown = b" ".join(piece.partition(b">")[2] for piece in body.split(b"<") if not piece.startswith(_SILENT))
    words = shown.translate(None, _PUNCTUATION).decode("utf-8", "replace").split()
    return " ".join(word for word in words if word.isalpha())


def _make_of(body: bytes) -> set[bytes]:
    """How its first tags begin: block pages lack the scripts, styles and header that a site's pages share."""
    return {piece[:32] for piece in body[:HEAD_BYTES].split(b"<")}


def _forget(titles: Counter[bytes], most: int) -> None:
    if len(titles) > most:
        for title in [title for title, times in titles.items() if times == 1] or list(titles)[: most // 2]:
            del titles[title]


def _suspicion(key: tuple[str, str, str], kind: _Kind) -> Suspicion | None:
    found = kind.suspected()
    if found is None:
        return None
    word, cluster = found
    title = " ".join(html.unescape(cluster.title.decode("utf-8", "replace")).split())
    shown = "".join(sign for sign in title if sign.isprintable())[:80]
    return Suspicion(word, *key, cluster.pages, kind.pages, shown, tuple(cluster.examples))
