"""Every choice a lab leaves to its user, with its default, unit and reason; the command line is made from this."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from scraper.lab.exits import COUNTRIES

HIGHEST_PORT = 65_535
STANDARD, WALLS = "standard", "walls"


class LabError(Exception):
    """The lab cannot start or has stopped; the text says why and what to do."""


def _option(default: Any, about: str, low: float = 0, high: float | None = None) -> Any:
    return field(default=default, metadata={"about": about, "low": low, "high": high})


def _port(about: str) -> Any:
    return _option(0, f"{about} (0: any free one)", high=HIGHEST_PORT)


@dataclass(frozen=True)
class LabOptions:
    """Options of one lab. Raises LabError, naming the option, for a value out of its range."""

    seed: int = _option(1, "decides catalogues, exits and faults", low=-(2**63))
    world: str = _option(
        "standard",
        "the sites, their rules, prices and pools: standard, walls (every form of refusal), or the number of a drawn world",
    )
    change_after: int = _option(
        0, "requests after which half of a drawn world's sites change their rules (0: never)"
    )
    pages: int = _option(4, "listing pages of each site, 10 products each", low=1, high=1000)
    http_port: int = _port("sites, plain")
    https_port: int = _port("sites, TLS")
    control_port: int = _port("truth and control")
    residential_port: int = _port("residential gateway")
    mobile_port: int = _port("mobile gateway")
    datacentre_port: int = _port("first datacentre proxy; the others take the ports after it")
    datacentre_exits: int = _option(6, "fixed proxies on the datacentre list", low=1, high=200)
    residential_exits: int = _option(64, "residential exits in each country", high=50_000)
    mobile_exits: int = _option(16, "mobile exits in each country", high=50_000)
    threads: int = _option(128, "requests and tunnels that one pool carries at once; more get 429", low=1)
    idle_seconds: float = _option(60.0, "a session unused for so long loses its exit, as at Oxylabs", low=0.1)
    ban_requests: int = _option(12, "quota: requests of one exit in a window before it is banned", low=1)
    ban_window: float = _option(10.0, "quota: the window, in seconds", low=0.1)
    ban_seconds: float = _option(20.0, "quota: how long a ban lasts", low=0.1)
    rate: float = _option(3.0, "slow: requests a second that one exit may keep up", low=0.1)
    burst: int = _option(6, "slow: requests that one exit may make at once", low=1)
    geo_country: str = _option("de", "geo: the one country that it serves")
    trust: float = _option(
        0.25, "poison, redirect: quality that a residential exit needs to be trusted", high=1
    )
    poison_share: float = _option(
        1.0, "poison: share of an untrusted exit's products that lack the price", high=1
    )
    page_kb: float = _option(0.0, "about how large a page is made, uncompressed (0: as it is)", high=1000)
    block_kb: float = _option(0.0, "the same for pages of refusal", high=1000)
    fault_share: float = _option(0.15, "flaky: share of requests that go wrong", high=1)
    stall_seconds: float = _option(30.0, "flaky: how long a stall lasts; a client should give up earlier")

    def __post_init__(self) -> None:
        for option in fields(self):
            value, low, high = getattr(self, option.name), option.metadata["low"], option.metadata["high"]
            if isinstance(value, str):
                continue
            if value < low or (high is not None and value > high):
                limits = f"at least {low}" if high is None else f"from {low} to {high}"
                raise LabError(f"{flag(option.name)} {value}: must be {limits}")
        if self.geo_country not in COUNTRIES:
            raise LabError(f"--geo-country {self.geo_country}: must be one of {', '.join(COUNTRIES)}")
        named = self.world in (STANDARD, WALLS)
        if not named and not (self.world.isascii() and self.world.isdigit()):
            raise LabError(f"--world {self.world}: must be {STANDARD}, {WALLS} or a whole number, such as 1")
        if self.change_after and named:
            raise LabError(
                f"--change-after {self.change_after}: the {self.world} world keeps its rules; add --world 1"
            )
        last = self.datacentre_port + self.datacentre_exits - 1
        if self.datacentre_port and last > HIGHEST_PORT:
            raise LabError(
                f"--datacentre-port {self.datacentre_port}: the last of the list would be port {last}"
            )


def flag(name: str) -> str:
    """``http_port`` -> ``--http-port``."""
    return "--" + name.replace("_", "-")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` one argument for each option."""
    for option in fields(LabOptions):
        kind = type(option.default)
        parser.add_argument(
            flag(option.name),
            type=kind,
            default=option.default,
            metavar=kind.__name__.upper(),
            help=f"{option.metadata['about']} (default: {option.default})",
        )


def from_arguments(arguments: argparse.Namespace) -> LabOptions:
    """The options among parsed arguments. Raises LabError like LabOptions."""
    return LabOptions(**{option.name: getattr(arguments, option.name) for option in fields(LabOptions)})


def to_arguments(options: LabOptions) -> list[str]:
    """The command line that gives these options."""
    return [f"{flag(name)}={value}" for name, value in asdict(options).items()]
