"""RULE. Sites that bind a visitor to the exit that entered: who comes in at a product page without a cookie is refused.

A new identity that is refused at a page it was linked to, where others of its pool go in and out, is a suspicion, not yet a block.
After ``SUSPICIONS`` of them in a row the site counts as bound for that pool, and each new identity first visits the page that
the link stood on. So it does after as many blocks in a pool that never got in, in case the door is all it lacks.
Where that does not help ``USELESS`` times in a row, the site was not bound: it blocks those pages.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scraper.verdicts import BLOCKED, GOOD, Verdict

SUSPICIONS = 3  # in a row, while others pass: with a quarter of bad exits that is chance once in 64 times
USELESS = 3  # visits by the door and a block behind it, in a row
KEPT = 8  # identities that got a page at a site, remembered though they are retired
PLACES_MAX = 50_000  # sites and pools remembered; the oldest go first


@dataclass(slots=True)
class _Place:
    """A pool at a site."""

    suspicions: int = 0
    useless: int = 0
    bound: bool = False
    settled: bool = False  # entering by the door was tried, and did not help
    entered: dict[str, None] = field(
        default_factory=dict
    )  # ids of identities that got a page, in their order


@dataclass(slots=True)
class Binding:
    """What is known about each pool at each site."""

    _places: dict[tuple[str, str], _Place] = field(default_factory=dict)

    def needs_entry(self, site: str, pool: str, identity_id: str) -> bool:
        """Whether this identity must visit the linking page before it asks for another."""
        place = self._places.get((site, pool))
        return place is not None and place.bound and identity_id not in place.entered

    def is_suspicion(self, site: str, pool: str, identity_id: str, verdict: Verdict, *, linked: bool) -> bool:
        """Learn from a verdict. True: it speaks about the missing entry, so it must not be held against the pool.

        ``linked``: the request came from a link on a page of the same site.
        """
        place = self._place(site, pool)
        fresh = identity_id not in place.entered
        if verdict.outcome == GOOD:
            if linked:
                place.useless = 0
                if fresh:
                    place.suspicions = 0
            place.entered[identity_id] = None
            return False
        if verdict.outcome != BLOCKED or verdict.kind in ("geo", "contract") or not linked:
            return False
        if place.bound and not fresh:
            place.useless += 1
            if place.useless >= USELESS:
                place.bound, place.settled = False, True
        if not fresh or place.bound or place.settled:
            return False
        others = any(other != identity_id for other in place.entered)
        place.suspicions += 1
        place.bound = place.suspicions >= SUSPICIONS
        return others

    def forget(self, site: str, pool: str, identity_id: str) -> None:
        """The identity is retired; that others got in stays known."""
        place = self._places.get((site, pool))
        if place is not None and len(place.entered) > KEPT:
            place.entered.pop(identity_id, None)

    def _place(self, site: str, pool: str) -> _Place:
        place = self._places.get((site, pool))
        if place is None:
            if len(self._places) >= PLACES_MAX:
                del self._places[next(iter(self._places))]
            place = self._places[site, pool] = _Place()
        return place
