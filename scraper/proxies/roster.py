"""RULE. The identities: an exit session, its cookies' key and one browser profile, kept per site, retired whole."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from scraper.proxies.endpoints import Endpoint
from scraper.proxies.ladder import Arm
from scraper.proxies.pools import endpoint_for
from scraper.proxies.profiles import PROFILES, Profile

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
DIRECT_IDLE_S = 600.0  # after which the cookies of a site that we ask directly are forgotten
SESSION_LENGTH = 8  # characters: what the strictest provider wants, and 2.8e12 of them


@dataclass(frozen=True, slots=True)
class Limits:
    """``in_flight`` and ``uses`` in requests, ages in seconds; ``cool_s``: how long a list proxy that was blocked at
    a site is not chosen there again; ``fault_cool_s``: the same for one that did not answer."""

    in_flight: int
    uses: int
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
    uses: int = 0
    in_flight: int = 0
    retired: str = ""  # the reason; final


@dataclass(slots=True)
class Roster:
    """All live identities of a crawl. ``lease`` and ``release`` bracket each request; retirement is final."""

    limits: Limits
    chance: random.Random
    _by_id: dict[str, Identity] = field(default_factory=dict)
    _by_site: dict[tuple[str, str, str], list[Identity]] = field(default_factory=dict)
    _cooling: dict[tuple[str, str, int], float] = field(default_factory=dict)  # (site, pool, index) -> until
    _blocked: set[tuple[str, str, int]] = field(default_factory=set)  # those of them that the site refused
    _next_index: dict[str, int] = field(default_factory=dict)
    _made: int = 0

    def get(self, identity_id: str) -> Identity | None:
        """The live identity of that id; None once it is retired."""
        return self._by_id.get(identity_id)

    def live(self) -> list[Identity]:
        """All that are not retired."""
        return list(self._by_id.values())

    def lease(
        self,
        site: str,
        arm: Arm,
        now_s: float,
        keep: str = "",
        *,
        any_arm: bool = True,
        last_resort: bool = False,
    ) -> tuple[Identity | None, list[Identity]]:
        """Return an identity with room for one more request, and those retired on the way because of age.

        ``keep``: id of the one to go on with if it still can and is of this site (a redirect stays with its identity); its
        arm may be another than ``arm`` only where ``any_arm`` says so. None when a list pool has no exit left that is not
        cooling at this site; as a ``last_resort`` the one that may soonest is taken.
        """
        aged: list[Identity] = []
        kept = self._by_id.get(keep)
        if (
            kept is not None
            and kept.site == site
            and (any_arm or kept.arm == arm)
            and self._usable(kept, now_s, aged)
        ):
            return self._take(kept, now_s), aged
        for identity in list(self._by_site.get(_key(site, arm), ())):
            if self._usable(identity, now_s, aged):
                return self._take(identity, now_s), aged
        fresh = self._make(site, arm, now_s, last_resort)
        return (None if fresh is None else self._take(fresh, now_s)), aged

    def sweep(self, now_s: float) -> list[Identity]:
        """Retire, and return, every identity that is too old or idle; to be called now and then on a wide crawl."""
        aged: list[Identity] = []
        for identity in list(self._by_id.values()):
            self._usable(identity, now_s, aged)
        self._cooling = {key: until_s for key, until_s in self._cooling.items() if until_s > now_s}
        self._blocked &= self._cooling.keys()
        return aged

    def all_blocked(self, site: str, arm: Arm) -> bool:
        """Whether every exit of a list pool cools at this site because it was blocked there, and none for a fault."""
        size = len(arm.pool.endpoints)
        return all((site, arm.pool.name, index) in self._blocked for index in range(size))

    def release(self, identity_id: str, now_s: float) -> None:
        """The request that leased it has ended, one way or the other."""
        identity = self._by_id.get(identity_id)
        if identity is not None:
            identity.in_flight = max(0, identity.in_flight - 1)
            identity.used_s = now_s

    def retire(
        self, identity_id: str, reason: str, now_s: float, *, cool_s: float = 0.0, blocked: bool = False
    ) -> Identity | None:
        """End an identity for good; None if it had ended already.

        Its list proxy rests at this site for ``cool_s``; ``blocked`` says that the site refused it.
        """
        identity = self._by_id.pop(identity_id, None)
        if identity is None:
            return None
        identity.retired = reason
        key = _key(identity.site, identity.arm)
        self._by_site[key].remove(identity)
        if not self._by_site[key]:
            del self._by_site[key]
        if cool_s and identity.arm.pool.kind == "list":
            place = (identity.site, identity.arm.pool.name, identity.index)
            self._cooling[place] = now_s + cool_s
            (self._blocked.add if blocked else self._blocked.discard)(place)
        return identity

    def _usable(self, identity: Identity, now_s: float, aged: list[Identity]) -> bool:
        if identity.in_flight >= self.limits.in_flight:
            return False
        limits, pool = self.limits, identity.arm.pool
        reason = ""
        if pool.kind == "direct":  # our address does not change; only memory and sockets end it
            reason = "idle" if now_s - identity.used_s > DIRECT_IDLE_S else ""
        elif identity.uses >= limits.uses:
            reason = "uses"
        elif now_s - identity.created_s > min(
            limits.age_s, pool.session_minutes * 48 if pool.kind == "gateway" else limits.age_s
        ):
            reason = "age"  # 48 s a minute: 0.8 of the session
        elif identity.uses and now_s - identity.used_s > limits.idle_s:
            reason = "idle"
        if not reason:
            return True
        if not identity.in_flight:
            self.retire(identity.id, reason, now_s)
            aged.append(identity)
        return False

    def _take(self, identity: Identity, now_s: float) -> Identity:
        identity.in_flight += 1
        identity.uses += 1
        identity.used_s = now_s
        return identity

    def _make(self, site: str, arm: Arm, now_s: float, last_resort: bool) -> Identity | None:
        index = self._free_index(site, arm, now_s, last_resort)
        if index is None:
            return None
        self._made += 1
        session = "".join(self.chance.choices(_ALPHABET, k=SESSION_LENGTH))
        identity = Identity(
            id=f"{arm.pool.name}-{self._made}",
            site=site,
            arm=arm,
            endpoint=endpoint_for(arm.pool, arm.country, session, index),
            index=index,
            profile=None if arm.pool.kind == "direct" else self.chance.choice(PROFILES),
            created_s=now_s,
            used_s=now_s,
        )
        self._by_id[identity.id] = identity
        self._by_site.setdefault(_key(site, arm), []).append(identity)
        return identity

    def _free_index(self, site: str, arm: Arm, now_s: float, last_resort: bool) -> int | None:
        if arm.pool.kind != "list":
            return 0
        size = len(arm.pool.endpoints)
        start = self._next_index.get(arm.pool.name, 0)
        for step in range(size):
            index = (start + step) % size
            key = (site, arm.pool.name, index)
            if self._cooling.get(key, 0.0) <= now_s:
                self._cooling.pop(key, None)
                self._blocked.discard(key)
                self._next_index[arm.pool.name] = index + 1
                return index
        if last_resort:
            return min(range(size), key=lambda index: self._cooling[(site, arm.pool.name, index)])
        return None


def _key(site: str, arm: Arm) -> tuple[str, str, str]:
    return (site, arm.pool.name, arm.country)
