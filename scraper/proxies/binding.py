"""RULE. Sites that bind a visitor to the exit that entered: who comes in at a product page without a cookie is refused.

A new identity that is refused at a page it was linked to, where others go in and out, is a suspicion, not yet a block.
After ``SUSPICIONS`` of them in a row the site counts as bound, and each new identity first visits the page that
the link stood on. Where that does not help ``USELESS`` times in a row, the site was not bound: it blocks those pages.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scraper.verdicts import BLOCKED, GOOD, Verdict

SUSPICIONS = 2  # one may be a bad exit; a second in a row, while others pass, is the rule of the site
USELESS = 3  # visits by the door and a block behind it, in a row


@dataclass(slots=True)
class Binding:
    """What is known about each site; ``good`` counts pages that identities got there."""

    _suspicions: dict[str, int] = field(default_factory=dict)
    _bound: set[str] = field(default_factory=set)
    _useless: dict[str, int] = field(default_factory=dict)
    _not_bound: set[str] = field(default_factory=set)  # tried, and did not help
    _entered: dict[str, set[str]] = field(default_factory=dict)  # site -> ids of identities that got a page

    def needs_entry(self, site: str, identity_id: str) -> bool:
        """Whether this identity must visit the linking page before it asks for another."""
        return site in self._bound and identity_id not in self._entered.get(site, ())

    def is_suspicion(self, site: str, identity_id: str, verdict: Verdict, *, linked: bool) -> bool:
        """Learn from a verdict. True: it speaks about the missing entry, so it must not be held against the pool.

        ``linked``: the request came from a link on a page of the same site.
        """
        entered = self._entered.setdefault(site, set())
        fresh = identity_id not in entered
        if verdict.outcome == GOOD:
            if fresh and linked and site not in self._bound:
                self._suspicions[site] = 0
            if linked:
                self._useless[site] = 0
            entered.add(identity_id)
            return False
        if verdict.outcome == BLOCKED and site in self._bound and linked and not fresh:
            self._useless[site] = self._useless.get(site, 0) + 1
            if self._useless[site] >= USELESS:
                self._bound.discard(site)
                self._not_bound.add(site)
        others = len(entered) - (not fresh)
        if (
            verdict.outcome != BLOCKED
            or verdict.kind in ("geo", "contract")
            or not fresh
            or not linked
            or others < 1
        ):
            return False
        if site in self._bound or site in self._not_bound:
            return False
        self._suspicions[site] = self._suspicions.get(site, 0) + 1
        if self._suspicions[site] >= SUSPICIONS:
            self._bound.add(site)
        return True

    def forget(self, site: str, identity_id: str) -> None:
        """The identity is retired; that others got in stays known."""
        entered = self._entered.get(site)
        if entered is not None and len(entered) > 1:
            entered.discard(identity_id)
