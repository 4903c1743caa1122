"""RULE. How fast a site is asked: additive increase, multiplicative decrease, never faster than politeness.

A 429 halves nothing for long by itself; a row of tired identities or timeouts says the same thing more quietly. The rate is
a share of the polite one; it comes back slowly, so that a site's limit is met rarely.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LIMITED, TIRED, TIMED_OUT, WELCOME = (
    "limited",
    "tired",
    "timed_out",
    "welcome",
)  # what a page can say about our speed

STRAIN_TO_SLOW = 3.0  # of quieter signs: three in a row, or more of them among right pages
STRAIN_KEPT = 0.9  # of the strain after each right page
SLOWER_LIMITED = 0.8  # of the rate after a 429: the site also says how long to wait
SLOWER_STRAINED = 0.5  # after a row of quieter signs
FASTER_A_SECOND = 0.003  # of the polite rate, while right pages come: five minutes from a standstill
LEAST_SHARE = 0.02  # of the polite rate: a site is never left for dead by this rule
TELL_AT = 0.05  # change of the rate that is worth telling the frontier
FORGOTTEN = 0.1  # of strain: what is left after twenty right pages
FASTEST_S = 0.05  # seconds: what a delay is reckoned from where politeness asks for none
CLOSE_S = 1.0  # signs that come so close together speak about the same rate


@dataclass(slots=True)
class _Site:
    share: float = 1.0
    told: float = 1.0
    strain: float = 0.0
    at_s: float = 0.0  # of the last page
    slowed_s: float = float("-inf")


@dataclass(slots=True)
class Pace:
    """``polite_s``: seconds between two requests to a site when all is well. ``most_s``: the longest this rule sets."""

    polite_s: float
    most_s: float
    _sites: dict[str, _Site] = field(default_factory=dict)

    def hear(self, site: str, sign: str, now_s: float) -> float | None:
        """Return the seconds to leave between two requests to ``site`` from now on; None: as before."""
        state = self._sites.get(site)
        if state is None:
            if sign == WELCOME:
                return None  # nothing to remember about a site that never complained
            state = self._sites[site] = _Site(at_s=now_s)
        if sign == WELCOME:
            state.strain *= STRAIN_KEPT
            state.share = min(1.0, state.share + FASTER_A_SECOND * min(now_s - state.at_s, 10.0))
        elif now_s - state.slowed_s >= CLOSE_S:
            state.strain += STRAIN_TO_SLOW if sign == LIMITED else 1.0
            if state.strain >= STRAIN_TO_SLOW:
                factor = SLOWER_LIMITED if sign == LIMITED else SLOWER_STRAINED
                state.share = max(LEAST_SHARE, state.share * factor)
                state.strain = 0.0
                state.slowed_s = now_s
        state.at_s = now_s
        return self._tell(site, state)

    def delay_s(self, site: str) -> float:
        """Seconds between two requests to ``site`` as this rule wants it; 0 where politeness is enough."""
        state = self._sites.get(site)
        if state is None or state.share >= 1.0:
            return 0.0
        return self._delay_of(state)

    def _tell(self, site: str, state: _Site) -> float | None:
        recovered = state.share >= 1.0
        if recovered and state.strain < FORGOTTEN:
            del self._sites[site]
        if abs(state.share - state.told) < TELL_AT * state.told and not (recovered and state.told < 1.0):
            return None
        state.told = state.share
        return 0.0 if recovered else self._delay_of(state)

    def _delay_of(self, state: _Site) -> float:
        delay_s = max(self.polite_s, FASTEST_S) / state.share
        return max(self.polite_s, min(self.most_s, delay_s))
