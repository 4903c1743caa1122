"""RULE. The identities: an exit session, its cookies' key and one browser profile, kept per site, retired whole.

An identity is leased for each request and goes back to those that are free; the one used last is taken first, since its
connection is warm and its exit is still held. Retirement is final.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from scraper.proxies.choice import FRESH, Arm
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.pools import Pool, endpoint_for, headers_for
from scraper.proxies.profiles import PROFILES, Profile
from scraper.proxies.rota import Rota
from scraper.proxies.stamina import Stamina

DIRECT_IDLE_S = 600.0  # after which the cookies of a site that we ask directly are forgotten
SWEPT = 64  # identities looked at in one lease: a burst that ends at once must not hold the crawl
SAFETY = 0.8  # of the provider's own age and idle rules: ours end first, so that an exit never changes under its cookies


@dataclass(frozen=True, slots=True)
class Limits:
    """``in_flight`` in requests, ages in seconds; ``cool_s``: how long a list proxy that was blocked at a site is not chosen
    there again; ``fault_cool_s``: how long one that did not answer is not chosen anywhere."""

    in_flight: int
    age_s: float
    idle_s: float
    cool_s: float = 60.0
    fault_cool_s: float = 5.0


@dataclass(slots=True)
class Identity:
    """Who some requests to ``site`` go out as. ``endpoint`` None: our own address. The id carries no secret."""

    id: str
    site: str
    arm: Arm
    endpoint: Endpoint | None
    index: int  # of the proxy in a list pool
    profile: Profile | None
    created_s: float
    used_s: float
    sticky: str = ""  # the key it is kept for; nobody else uses it then
    uses: int = 0
    right: int = 0  # pages that were what was asked for
    in_flight: int = 0
    held: bool = (
        False  # for a redirect that goes on as this identity, and that its number of uses must not break off
    )
    retired: str = ""  # the reason; final
    proxy_headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # for the gateway alone
    closing: bool = False  # its pool is gone: no new lease, and retired when the last ends

    @property
    def shared(self) -> bool:
        """Whether any request to the site may use it."""
        return not self.sticky and self.arm.mode != FRESH


@dataclass(slots=True)
class Roster:
    """All live identities of a crawl. ``lease`` and ``release`` bracket each request.

    ``retired``: those retired since the list was last emptied, for whoever closes connections and forgets cookies.
    """

    limits: Limits
    stamina: Stamina
    chance: random.Random
    list_order: str = "round_robin"
    retired: list[Identity] = field(default_factory=list)
    _by_id: dict[str, Identity] = field(default_factory=dict)
    _free: dict[tuple[str, str, str], dict[str, Identity]] = field(
        default_factory=dict
    )  # the last used is last
    _sticky: dict[tuple[str, str], str] = field(default_factory=dict)  # (site, key) -> id
    _ends: list[tuple[float, str]] = field(
        default_factory=list
    )  # heap: not before this an identity is too old
    _rotas: dict[str, Rota] = field(default_factory=dict)  # by list pool
    _in_flight: dict[tuple[str, str], int] = field(default_factory=dict)  # by site and pool
    _through: dict[str, int] = field(default_factory=dict)  # the same by pool
    _of_lists: dict[tuple[str, str], int] = field(
        default_factory=dict
    )  # live identities of list pools, by site and pool
    _left: list[tuple[float, str, str]] = field(
        default_factory=list
    )  # heap: when a list pool forgets a site, if nobody is back
    _made: int = 0

    def get(self, identity_id: str) -> Identity | None:
        """The live identity of that id; None once it is retired."""
        return self._by_id.get(identity_id)

    def live(self) -> list[Identity]:
        """All that are not retired."""
        return list(self._by_id.values())

    @property
    def in_flight(self) -> dict[tuple[str, str], int]:
        """Requests under way by site and pool; do not change it."""
        return self._in_flight

    def through(self, pool: Pool) -> int:
        """Requests under way through ``pool``."""
        return self._through.get(pool.name, 0)

    def lease(
        self,
        site: str,
        arm: Arm,
        now_s: float,
        *,
        sticky: str = "",
        last_resort: bool = False,
    ) -> Identity | None:
        """Return an identity of ``arm`` at ``site`` with room for one more request, made now if need be.

        ``sticky``: make it for this key only. None when a list pool has no exit left that is not cooling at this site; as a
        ``last_resort`` the one that may soonest is taken.
        """
        self.sweep(now_s)
        if not sticky and arm.mode != FRESH:
            free = self._free.get(_key(site, arm))
            while free:
                identity = next(reversed(free.values()))
                if self._check(identity, now_s):
                    return self._take(identity, now_s)
        fresh = self._make(site, arm, now_s, sticky, last_resort)
        return None if fresh is None else self._take(fresh, now_s)

    def keep(self, identity_id: str, site: str, now_s: float) -> Identity | None:
        """Lease this very identity again (a redirect, a page after a 429), if it lives, is of this site and has room."""
        identity = self._by_id.get(identity_id)
        if identity is None or identity.site != site or identity.closing or not self.has_room(identity):
            return None
        return self._take(identity, now_s) if self._check(identity, now_s) else None

    def kept_for(self, site: str, key: str) -> Identity | None:
        """The live identity of a sticky key."""
        return self._by_id.get(self._sticky.get((site, key), ""))

    def has_room(self, identity: Identity) -> bool:
        """Whether one more request may go out as ``identity`` now."""
        return identity.in_flight < self.limits.in_flight

    def sweep(self, now_s: float) -> None:
        """Retire those that are too old or idle, SWEPT at a time; each costs O(log n), once for each time it was used since."""
        for _ in range(SWEPT):
            if not self._ends or self._ends[0][0] >= now_s:
                break
            _, identity_id = heapq.heappop(self._ends)
            identity = self._by_id.get(identity_id)
            if identity is not None and (identity.in_flight or self._check(identity, now_s)):
                heapq.heappush(self._ends, (max(self._end_s(identity), now_s + 1.0), identity_id))
        while self._left and self._left[0][0] < now_s:
            _, site, pool = heapq.heappop(self._left)
            if pool in self._rotas and (site, pool) not in self._of_lists:
                self._rotas[pool].forget(site)

    def soonest_s(self, site: str, pool: Pool) -> float | None:
        """When an exit of a list pool is free again at ``site``; None where one is free now."""
        return self._rota(pool).soonest_s(site) if pool.kind == "list" else None

    def release(self, identity_id: str, now_s: float, *, hold: bool = False) -> None:
        """The request that leased it has ended, one way or the other.

        ``hold``: with a redirect, whose next step ``keep``s it; nobody else gets it before, or it ends idle.
        """
        identity = self._by_id.get(identity_id)
        if identity is None or not identity.in_flight:
            return
        identity.in_flight -= 1
        identity.held = hold
        identity.used_s = now_s
        self._count(identity, -1)
        self.stamina.served(identity.site, identity.arm.pool.name, identity.uses - 1)
        if (
            identity.shared and not identity.closing and not hold
        ):  # else it goes when its last verdict was heard
            free = self._free.setdefault(_key(identity.site, identity.arm), {})
            free.pop(identity_id, None)
            free[identity_id] = identity

    def retire(
        self, identity_id: str, reason: str, now_s: float, *, cool_s: float = 0.0, everywhere: bool = False
    ) -> Identity | None:
        """End an identity for good; None if it had ended already.

        Its list proxy rests for ``cool_s`` at this site, or ``everywhere``.
        """
        identity = self._by_id.pop(identity_id, None)
        if identity is None:
            return None
        identity.retired = reason
        key = _key(identity.site, identity.arm)
        free = self._free.get(key)
        if free is not None:
            free.pop(identity_id, None)
            if not free:
                del self._free[key]
        if self._sticky.get((identity.site, identity.sticky)) == identity_id:
            del self._sticky[identity.site, identity.sticky]
        if identity.in_flight:
            self._count(identity, -identity.in_flight)
        if identity.arm.pool.kind == "list" and not identity.closing:  # else its index is of another list
            self._retire_of_list(identity, cool_s, now_s, everywhere)
        self.retired.append(identity)
        return identity

    def pools_changed(self, gone: set[str], now_s: float) -> None:
        """The pools of these names are gone, or others now: their identities end with what is under way."""
        for identity in self.live():
            if identity.arm.pool.name in gone:
                identity.closing = True
                self._free.pop(_key(identity.site, identity.arm), None)
                if not identity.in_flight:
                    self.retire(identity.id, "pool_changed", now_s)
        for name in gone:
            self._rotas.pop(name, None)
        self._of_lists = {place: n for place, n in self._of_lists.items() if place[1] not in gone}

    # --- inside -------------------------------------------------------------------------------------------------------

    def _check(self, identity: Identity, now_s: float) -> bool:
        """Whether it may be used once more; if not, and nothing is under way, it is retired."""
        site, pool = identity.site, identity.arm.pool
        reason, cool_s = "", 0.0
        if identity.closing:
            reason = "pool_changed"
        elif pool.kind == "direct":  # our address does not change; only memory and sockets end it
            reason = "idle" if now_s - identity.used_s > DIRECT_IDLE_S else ""
        elif not identity.held and identity.uses >= self.stamina.pages(site, pool.name):
            reason, cool_s = "uses", self.stamina.rest_s(site, pool.name)
        elif now_s - identity.created_s > self._age_s(pool):
            reason = "age"
        elif identity.uses and now_s - identity.used_s > self._idle_s(pool):
            reason = "idle"
        if not reason:
            return True
        if not identity.in_flight:
            if reason == "uses":
                self.stamina.finished(site, pool.name, identity.uses)
            self.retire(identity.id, reason, now_s, cool_s=cool_s)
        else:
            self._unlist(identity)
        return False

    def _end_s(self, identity: Identity) -> float:
        """The earliest time at which it may be too old."""
        pool = identity.arm.pool
        if pool.kind == "direct":
            return identity.used_s + DIRECT_IDLE_S
        return min(identity.created_s + self._age_s(pool), identity.used_s + self._idle_s(pool))

    def _age_s(self, pool: Pool) -> float:
        return (
            min(self.limits.age_s, SAFETY * pool.session_s) if pool.kind == "gateway" else self.limits.age_s
        )

    def _idle_s(self, pool: Pool) -> float:
        return min(self.limits.idle_s, SAFETY * pool.idle_s) if pool.kind == "gateway" else self.limits.idle_s

    def _take(self, identity: Identity, now_s: float) -> Identity:
        identity.held = False
        identity.in_flight += 1
        identity.uses += 1
        identity.used_s = now_s
        self._count(identity, 1)
        if identity.in_flight >= self.limits.in_flight:
            self._unlist(identity)
        return identity

    def _unlist(self, identity: Identity) -> None:
        free = self._free.get(_key(identity.site, identity.arm))
        if free is not None:
            free.pop(identity.id, None)

    def _count(self, identity: Identity, change: int) -> None:
        pool = identity.arm.pool.name
        self._through[pool] = self._through.get(pool, 0) + change
        left = self._in_flight.get((identity.site, pool), 0) + change
        if left > 0:
            self._in_flight[identity.site, pool] = left
        else:
            self._in_flight.pop((identity.site, pool), None)

    def _retire_of_list(self, identity: Identity, cool_s: float, now_s: float, everywhere: bool) -> None:
        """Let its proxy rest; the order of a site that nobody is at is forgotten when all have rested."""
        pool, place = identity.arm.pool, (identity.site, identity.arm.pool.name)
        rota = self._rotas.get(pool.name)
        if rota is None:
            return
        if cool_s and everywhere:
            rota.cool_everywhere(identity.index, now_s + cool_s)
        elif cool_s:
            rota.cool(identity.site, identity.index, now_s + cool_s)
        left = self._of_lists.pop(place, 1) - 1
        if left:
            self._of_lists[place] = left
        else:
            heapq.heappush(self._left, (now_s + max(cool_s, self.limits.cool_s), identity.site, pool.name))

    def _make(self, site: str, arm: Arm, now_s: float, sticky: str, last_resort: bool) -> Identity | None:
        pool, index = arm.pool, 0
        if pool.kind == "list":
            rota = self._rota(pool)
            found = rota.take(site, now_s)
            if found is None:
                if not last_resort:
                    return None
                found = rota.soonest(site)
            index = found
        self._made += 1
        session = pool.provider.session(self.chance) if pool.kind == "gateway" else ""
        identity = Identity(
            id=f"{pool.name}-{self._made}",
            site=site,
            arm=arm,
            endpoint=endpoint_for(pool, arm.country, session, index),
            proxy_headers=headers_for(pool, arm.country, session),
            index=index,
            profile=None if pool.kind == "direct" else self.chance.choice(PROFILES),
            created_s=now_s,
            used_s=now_s,
            sticky=sticky,
        )
        self._by_id[identity.id] = identity
        if pool.kind == "list":
            self._of_lists[site, pool.name] = self._of_lists.get((site, pool.name), 0) + 1
        if sticky:
            self._sticky[site, sticky] = identity.id
        if identity.shared:
            self._free.setdefault(_key(site, arm), {})[identity.id] = identity
        heapq.heappush(self._ends, (self._end_s(identity), identity.id))
        return identity

    def _rota(self, pool: Pool) -> Rota:
        found = self._rotas.get(pool.name)
        if found is None:
            found = self._rotas[pool.name] = Rota(len(pool.endpoints), self.chance, self.list_order)
        return found


def _key(site: str, arm: Arm) -> tuple[str, str, str]:
    return (site, arm.pool.name, arm.country)
