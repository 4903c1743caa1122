"""RULE. When a site where nothing passes any more is left alone, for how long, and when it is given up.

A site is open until ``after`` pages in a row were given up as refused; a refusal without a mark counts a third, since it
may be the truth about those pages. Then it is paused: nobody asks it, and its pages keep their tries. When the pause is
over, one page goes alone, as a probe. Where a page passes, the site is open again; where the probe is given up, the next,
longer pause begins. A site that refuses the probe after the last of them is given up for the rest of the run. One that
never let a page pass in this run has one pause only: it is rather closed than busy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from scraper.errors import ConfigError

GO = "go"
PROBE = "probe"
WAIT = "wait"
NEVER = "never"

PROBE_S = 120.0  # seconds after which another page becomes the probe, should the first have vanished: six slow tries
LOOK_S = 2.0  # seconds after which a page asks again while the probe is under way: a page takes about one
_PROVEN, _UNPROVEN = 3, 1  # thirds of a page


@dataclass(frozen=True, slots=True)
class Limits:
    """``after``: pages given up in a row; ``pauses_s``: seconds of each pause, one after the other."""

    after: int
    pauses_s: tuple[float, ...]


def times_s(given: Sequence[object]) -> tuple[float, ...]:
    """The seconds of BAN_SITE_PAUSES_S. Raises ConfigError."""
    try:
        found = tuple(float(str(each)) for each in given)
    except ValueError:
        found = (0.0,)
    if not all(0 < pause_s < math.inf for pause_s in found):
        way_out = "must be seconds above 0 with commas between; empty: a site is given up without a pause"
        raise ConfigError("BAN_SITE_PAUSES_S", list(given), way_out)
    return found


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether a page may be asked for: GO, PROBE (alone), WAIT (``wait_s`` seconds), or NEVER."""

    what: str
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause ``number`` of ``of`` begins and lasts ``wait_s``; ``given_up``: they are over, and the site is given up."""

    number: int
    of: int
    wait_s: float = 0.0
    given_up: bool = False


@dataclass(slots=True)
class _Site:
    lost: int = 0  # thirds of pages given up in a row
    pauses: int = 0
    until_s: float = 0.0
    probe_until_s: float = 0.0
    given_up: bool = False


@dataclass(slots=True)
class Pauses:
    """All sites of a crawl. ``now_s`` is seconds of one monotonic clock."""

    limits: Limits
    _sites: dict[str, _Site] = field(default_factory=dict)  # those that lost a page since one passed
    _passed: set[str] = field(default_factory=set)

    def ask(self, site: str, now_s: float, *, is_probe: bool = False) -> Turn:
        """May a page of ``site`` be asked for now? ``is_probe``: it was told so before, and is tried again."""
        state = self._sites.get(site)
        if state is None or not (state.pauses or state.given_up):
            return Turn(GO)
        if state.given_up:
            return Turn(NEVER)
        if now_s < state.until_s:
            return Turn(WAIT, state.until_s - now_s)
        if not is_probe and now_s < state.probe_until_s:
            return Turn(WAIT, LOOK_S)
        state.probe_until_s = now_s + PROBE_S
        return Turn(PROBE)

    def passed(self, site: str) -> bool:
        """A page of ``site`` came through. True where that ends its pauses."""
        self._passed.add(site)
        state = self._sites.pop(site, None)
        return state is not None and (state.pauses > 0 or state.given_up)

    def lost(self, site: str, now_s: float, *, proven: bool = True, is_probe: bool = False) -> Pause | None:
        """A page of ``site`` was given up as refused. Returns the pause that begins with it, or the end of them."""
        state = self._sites.setdefault(site, _Site())
        if state.given_up:
            return None
        if state.pauses:
            if not is_probe or now_s < state.until_s:
                return None  # it was under way when the pause began
        else:
            state.lost += _PROVEN if proven else _UNPROVEN
            if state.lost < self.limits.after * _PROVEN:
                return None
        pauses_s = self.limits.pauses_s if site in self._passed else self.limits.pauses_s[:1]
        if state.pauses == len(pauses_s):
            state.given_up = True
            return Pause(state.pauses, len(pauses_s), given_up=True)
        wait_s = pauses_s[state.pauses]
        state.pauses += 1
        state.until_s, state.probe_until_s = now_s + wait_s, 0.0
        return Pause(state.pauses, len(pauses_s), wait_s)

    def probe_ended(self, site: str) -> None:
        """The probe ended without a word of the site: another page may be it."""
        if (state := self._sites.get(site)) is not None:
            state.probe_until_s = 0.0

    def left_s(self, site: str, now_s: float) -> float:
        """Seconds until ``site`` is asked again; 0 where it may be asked."""
        state = self._sites.get(site)
        return max(0.0, state.until_s - now_s) if state is not None else 0.0
