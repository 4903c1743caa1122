"""ADAPTER. The settings of this folder, read and checked once at the start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from scraper.errors import ConfigError
from scraper.options import read
from scraper.proxies.broker import Patience
from scraper.proxies.choice import STRATEGIES, Terms
from scraper.proxies.grammar import COUNTRIES
from scraper.proxies.ledger import Budget
from scraper.proxies.roster import Limits
from scraper.proxies.rota import ORDERS

NOTHING_KEPT = "none"  # value of PROXY_STATE_FILE


@dataclass(frozen=True, slots=True)
class Options:
    """``state_file`` None: nothing is kept between runs. Times in seconds."""

    proxies_file: str
    limits: Limits
    max_uses: int
    terms: Terms
    patience: Patience
    budget: Budget
    list_order: str
    memory: float
    half_life_s: float
    polite_s: float
    pace_max_s: float
    state_file: Path | None
    state_save_s: float
    reload_s: float
    allow_private: bool
    user_agent: str

    @classmethod
    def read(cls, settings: Any, countries: Any) -> Self:
        """Raises ConfigError. ``countries``: those that the spider allows."""
        state = read(settings, "PROXY_STATE_FILE", str)
        return cls(
            proxies_file=read(settings, "PROXIES_FILE", str),
            limits=Limits(
                in_flight=read(settings, "PROXY_IDENTITY_IN_FLIGHT", int, at_least=1),
                age_s=read(settings, "PROXY_IDENTITY_MAX_AGE_S", float, at_least=1),
                idle_s=read(settings, "PROXY_IDENTITY_MAX_IDLE_S", float, at_least=1),
            ),
            max_uses=read(settings, "PROXY_IDENTITY_MAX_USES", int, at_least=1),
            terms=Terms(
                strategy=_one_of(settings, "PROXY_STRATEGY", STRATEGIES),
                min_success=_share(settings, "PROXY_MIN_SUCCESS"),
                request_usd=read(settings, "PROXY_REQUEST_USD", float, at_least=0),
                countries=_countries(countries),
                patience=read(settings, "PROXY_LADDER_BLOCKS", int, at_least=1),
            ),
            patience=Patience(
                for_cheaper_s=read(settings, "PROXY_WAIT_FOR_CHEAPER_S", float, at_least=0),
                surest_from=read(settings, "PROXY_SUREST_FROM", int, at_least=1),
                dead_after=read(settings, "PROXY_DEAD_AFTER", int, at_least=1),
            ),
            budget=Budget(
                usd=read(settings, "PROXY_BUDGET_USD", float, at_least=0),
                gb=read(settings, "PROXY_BUDGET_GB", float, at_least=0),
                site_usd=read(settings, "PROXY_SITE_BUDGET_USD", float, at_least=0),
                site_gb=read(settings, "PROXY_SITE_BUDGET_GB", float, at_least=0),
                soft=_share(settings, "PROXY_BUDGET_SOFT"),
            ),
            list_order=_one_of(settings, "PROXY_LIST_ORDER", ORDERS),
            memory=read(settings, "PROXY_BELIEF_MEMORY", float, at_least=10),
            half_life_s=read(settings, "PROXY_BELIEF_HALF_LIFE_S", float, at_least=1),
            polite_s=read(settings, "DOWNLOAD_DELAY", float, at_least=0),
            pace_max_s=read(settings, "PROXY_PACE_MAX_S", float, at_least=0),
            state_file=None
            if state == NOTHING_KEPT
            else Path(state or Path(read(settings, "DATA_DIR", str)) / "proxies.sqlite"),
            state_save_s=read(settings, "PROXY_STATE_SAVE_S", float, at_least=1),
            reload_s=read(settings, "PROXIES_RELOAD_S", float, at_least=0),
            allow_private=read(settings, "ALLOW_PRIVATE_ADDRESSES", bool),
            user_agent=read(settings, "USER_AGENT", str),
        )


def _countries(named: Any) -> tuple[str, ...]:
    codes = () if isinstance(named, str) else tuple(str(code).lower() for code in named)
    if isinstance(named, str) or not COUNTRIES.issuperset(codes):
        raise ConfigError("proxy_countries", named, 'must be a list of two-letter codes, like ["us", "de"]')
    return codes


def _one_of(settings: Any, name: str, allowed: tuple[str, ...]) -> str:
    value = read(settings, name, str)
    if value not in allowed:
        raise ConfigError(name, value, f"must be one of {', '.join(allowed)}")
    return value


def _share(settings: Any, name: str) -> float:
    value = read(settings, name, float, at_least=0)
    if value > 1:
        raise ConfigError(name, value, "must be a share from 0 to 1")
    return value
