"""RULE. Pages that a site refuses to everybody: once some were, the next ones are not bought six times each.

A bare 403 may speak about the exit or about the page. Where pages that one exit was refused come through another, it speaks
about exits, and a page gets all its tries. Where none ever does, it speaks about pages: a second exit is asked, and no third.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

FEW = 5  # pages refused to every exit before it is believed: at two blocks in three, six in a row happen to 9 % of pages
OPENED_SHARE = 0.05  # of such pages that another exit gets, from which on every page gets all its tries
TRIES = 2  # at a page, once it is believed: the second exit would show that the site has changed its mind
SITES_MAX = 10_000  # remembered at once, about 150 bytes each; least recently used go first


@dataclass(slots=True)
class _Site:
    refused: int = 0
    opened: int = 0


class Forbidden:
    """What became of pages that were refused without a mark, by site."""

    def __init__(self) -> None:
        self._sites: OrderedDict[str, _Site] = OrderedDict()

    def refused(self, site: str) -> None:
        """A page was given up that every try was refused."""
        self._site(site).refused += 1

    def opened(self, site: str) -> None:
        """Another exit got a page that was refused before."""
        self._site(site).opened += 1

    def tries(self, site: str, most: int) -> int:
        """How many tries a page of ``site`` gets that is refused without a mark; ``most``: of any other page."""
        seen = self._sites.get(site)
        if seen is None or seen.refused < FEW or seen.opened > OPENED_SHARE * (seen.refused + seen.opened):
            return most
        return min(TRIES, most)

    def _site(self, site: str) -> _Site:
        found = self._sites.setdefault(site, _Site())
        self._sites.move_to_end(site)
        if len(self._sites) > SITES_MAX:
            self._sites.popitem(last=False)
        return found
