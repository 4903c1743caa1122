"""RULE. How many pages an identity may ask of a site before it tires: the site's own limit, found and kept below.

Sites that count visits per exit refuse after so many. What an identity had done when it was refused is the limit seen;
later ones are retired before it, and the proxy of a list rests. Each identity that ends its term unrefused lets the next do a
little more, so that a limit that was lifted is found out. A refusal long before what others were let do is no limit: it
is chance, or, where it happens again and again, a new rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LEAST = 3  # right pages before a refusal says that the identity tired, rather than that it was never welcome
SHARE = 0.75  # of the pages that were too many
GROWTH = 0.5  # pages that a term unrefused adds
FAR_BELOW = 0.5  # of the longest run seen: a limit would have ended that run, too
RUN_KEPT = 0.8  # of the longest run that is still believed in after each refusal far below it
REST_KEPT = 0.9  # of the rest after each term that ended unrefused
REST_S = (
    10.0  # seconds that a list proxy rests after its term, first; doubled when it is refused early after it
)
REST_MAX_S = 300.0


@dataclass(slots=True)
class _Term:
    pages: float
    rest_s: float = REST_S


@dataclass(slots=True)
class Stamina:
    """Terms by site and pool; unlimited where no identity ever tired. ``most``: the setting's own limit, in pages."""

    most: int
    _terms: dict[tuple[str, str], _Term] = field(default_factory=dict)
    _longest: dict[tuple[str, str], float] = field(
        default_factory=dict
    )  # requests of one identity that were let in

    def pages(self, site: str, pool: str) -> int:
        """How many requests one identity may make."""
        term = self._terms.get((site, pool))
        return self.most if term is None else min(self.most, int(term.pages))

    def rest_s(self, site: str, pool: str) -> float:
        """How long a list proxy rests after its term; 0 where none is known."""
        term = self._terms.get((site, pool))
        return 0.0 if term is None else term.rest_s

    def served(self, site: str, pool: str, uses: int) -> None:
        """An identity was let in ``uses`` times so far."""
        if uses > LEAST and uses > self._longest.get((site, pool), 0.0):
            self._longest[site, pool] = uses

    def refused(self, site: str, pool: str, uses: int) -> bool:
        """An identity was refused at its ``uses``-th request after right pages. True: it tired."""
        if uses <= LEAST:
            return False
        longest = self._longest.get((site, pool), 0.0)
        if uses - 1 < FAR_BELOW * longest:
            self._longest[site, pool] = RUN_KEPT * longest
            return False
        term = self._terms.get((site, pool))
        kept = max(float(LEAST), SHARE * (uses - 1))
        if term is None:
            self._terms[site, pool] = _Term(kept)
        else:
            if uses - 1 < SHARE * term.pages:
                term.rest_s = min(2 * term.rest_s, REST_MAX_S)
            term.pages = min(term.pages, kept)
        return True

    def finished(self, site: str, pool: str, uses: int) -> None:
        """An identity was retired at the end of its term, welcome to the last."""
        term = self._terms.get((site, pool))
        if term is not None and uses >= int(term.pages):
            term.pages += GROWTH
            term.rest_s = max(REST_S, REST_KEPT * term.rest_s)
            if term.pages >= self.most:
                del self._terms[site, pool]
