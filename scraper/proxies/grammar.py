"""RULE. How a gateway is told country, place, session and time: texts with {fields}, written and read back."""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass

TARGETS = ("country", "region", "city", "asn", "isp", "zip")  # where an exit is
TIMES = ("session", "minutes", "seconds")  # whose exit it is, and for how long
FIELDS = TARGETS + TIMES

# ISO 3166-1 alpha-2 (the 249 of tzdata 2026), and xk, which all the world writes for Kosovo.
_CODES = """
    ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br bs bt bv bw
    by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg eh er es et fi
    fj fk fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in
    io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me
    mf mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf
    pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st sv
    sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug um us uy uz va vc ve vg vi vn vu wf ws ye
    yt za zm zw
    xk
"""
COUNTRIES = frozenset(_CODES.split())
MISWRITTEN = {"uk": "gb", "el": "gr"}  # codes that people and the EU write, and what ISO has for them


@dataclass(frozen=True, slots=True)
class Wish:
    """What an exit is asked for; empty or 0: not asked. ``country``: ISO 3166 alpha-2. All in lower case, words parted
    by one space, as people write them; ``minutes``: how long the session is to last."""

    country: str = ""
    region: str = ""
    city: str = ""
    asn: str = ""  # digits only
    isp: str = ""
    zip: str = ""
    session: str = ""
    minutes: int = 0


@dataclass(frozen=True, slots=True)
class Value:
    """How one field is spelt. ``pattern``: what may be sent; ``allowed``: the same in words.

    ``space``: what stands for a space, empty where a space cannot be sent. ``alias``: (ours, theirs).
    ``needs``: the fields without which this one means nothing to the provider.
    """

    pattern: str = "[a-z0-9_]+"
    allowed: str = "letters, digits and _"
    upper: bool = False
    space: str = ""
    alias: tuple[tuple[str, str], ...] = ()
    needs: tuple[str, ...] = ()

    def plain(self, text: str) -> str:
        """Return ``text`` of the user or the provider as it stands in a Wish."""
        text = text.strip().lower()
        if self.space:
            text = " ".join(text.replace(self.space, " ").split())
        return next((ours for ours, theirs in self.alias if theirs == text), text)

    def write(self, plain: str) -> str:
        """Return the plain value as the provider wants it."""
        text = next((theirs for ours, theirs in self.alias if ours == plain), plain)
        if self.space:
            text = text.replace(" ", self.space)
        return text.upper() if self.upper else text

    def fits(self, plain: str) -> bool:
        """Whether the value can be sent."""
        return re.fullmatch(self.pattern, self.write(plain).lower()) is not None


_WORD = Value()
_KNOWN = {
    "country": Value("[a-z]{2}", "two-letter country codes, like us"),
    "asn": Value("[0-9]+", "the digits of a network number"),
    "zip": Value("[a-z0-9]+", "letters and digits"),
    "minutes": Value("[0-9]+", "digits"),
    "seconds": Value("[0-9]+", "digits"),
}


def usual(field: str) -> Value:
    """How ``field`` is spelt where a provider's file does not say."""
    return _KNOWN.get(field, _WORD)


@dataclass(frozen=True, slots=True)
class Grammar:
    """The parts, in order. Of each part the first text is written whose fields are all given; none: nothing is.

    ``opening`` stands before the first part, ``between`` before every other.
    """

    parts: tuple[tuple[str, ...], ...] = ()
    opening: str = ""
    between: str = ""

    @property
    def fields(self) -> frozenset[str]:
        """Every field that some text carries."""
        return frozenset().union(*(fields_of(text) for part in self.parts for text in part))

    def without(self, fields: frozenset[str]) -> Grammar:
        """The same grammar without the parts that carry any of ``fields``."""
        kept = [part for part in self.parts if not any(fields & fields_of(text) for text in part)]
        return Grammar(tuple(kept), self.opening, self.between)

    def write(self, values: Mapping[str, str]) -> str:
        """Return the text for ``values``, spelt as the provider wants them; empty where no part applies."""
        written = []
        for part in self.parts:
            text = next((text for text in part if fields_of(text) <= values.keys()), None)
            if text is not None:
                written.append(text.format_map(values))
        return self.opening + self.between.join(written) if written else ""

    def read(self, text: str, patterns: Mapping[str, str]) -> dict[str, str] | None:
        """Return the values that ``text`` was written for; None where this grammar writes no such text."""
        match = _pattern(self, tuple(sorted(patterns.items()))).fullmatch(text)
        if match is None:
            return None
        found: dict[str, str] = {}
        for group, value in match.groupdict().items():
            if value is not None and found.setdefault(group.rsplit("__", 1)[0], value) != value:
                return None  # one field, two values
        return found


@functools.cache
def fields_of(text: str) -> frozenset[str]:
    """The names in braces. Raises ValueError for braces that do not pair, and for any other format than {name}."""
    names = set()
    for _, name, form, conversion in string.Formatter().parse(text):
        if name is not None:
            if not name.isidentifier() or form or conversion:
                raise ValueError(text)
            names.add(name)
    return frozenset(names)


@functools.lru_cache(maxsize=64)
def _pattern(grammar: Grammar, patterns: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    given, count = dict(patterns), 0
    parts = []
    for part in grammar.parts:
        texts = []
        for text in part:
            pieces = []
            for literal, name, _, _ in string.Formatter().parse(text):
                pieces.append(re.escape(literal))
                if name is not None:
                    count += 1
                    pieces.append(f"(?P<{name}__{count}>{given[name]})")
            texts.append("".join(pieces))
        apart = (
            f"(?:(?<={re.escape(grammar.opening)})|{re.escape(grammar.between)})" if grammar.between else ""
        )
        parts.append(f"(?:{apart}(?:{'|'.join(texts)}))?")
    return re.compile(f"(?:{re.escape(grammar.opening)}{''.join(parts)})?")
