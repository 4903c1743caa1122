"""ADAPTER. How connections are made: read and checked at the start, since Scrapy swallows what a handler raises."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any, Self

from scraper.errors import ConfigError
from scraper.options import read

UNLIMITED_IDLE = 100  # connections kept where CONCURRENT_REQUESTS is 0, which means no limit


@dataclass(frozen=True, slots=True)
class Connections:
    """``verifying``: TLS that trusts the system's authorities and TLS_CA_FILE; ``trusting``: TLS that trusts all.

    ``idle_most``: connections that a handler keeps for later; there are two handlers, for http and https, so that
    together they keep twice CONCURRENT_REQUESTS. ``idle_s``: for how long, no longer than an identity may be idle.
    """

    connect_timeout_s: float
    idle_most: int
    idle_s: float
    allow_private: bool
    verifying: ssl.SSLContext
    trusting: ssl.SSLContext

    @classmethod
    def read(cls, settings: Any) -> Self:
        """Raises ConfigError."""
        trusting = ssl._create_unverified_context()  # noqa: S323  # for pools that say they intercept
        verify = read(settings, "DOWNLOAD_VERIFY_CERTIFICATES", bool)
        return cls(
            connect_timeout_s=read(settings, "PROXY_CONNECT_TIMEOUT_S", float, at_least=0.1),
            idle_most=read(settings, "CONCURRENT_REQUESTS", int, at_least=0) or UNLIMITED_IDLE,
            idle_s=read(settings, "PROXY_IDENTITY_MAX_IDLE_S", float, at_least=1),
            allow_private=read(settings, "ALLOW_PRIVATE_ADDRESSES", bool),
            verifying=_verifying(read(settings, "TLS_CA_FILE", str)) if verify else trusting,
            trusting=trusting,
        )


def _verifying(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError("TLS_CA_FILE", ca_file, f"cannot be read as PEM: {error}") from error
    return context
