"""Errors that cross a folder or a process. Fields go whole to ``super().__init__`` so that they survive pickling."""

from __future__ import annotations


class ConfigError(ValueError):
    """A setting, argument or file of the user is wrong. Names the thing, its value (None: it has none to show), and
    the way out.

    The ``crawl`` command prints it as one line and ends with ``failed_start``; it is never ``NotConfigured``,
    which would run the crawl without the component.
    """

    def __init__(self, name: str, value: object, way_out: str) -> None:
        super().__init__(name, value, way_out)
        self.name = name
        self.value = value
        self.way_out = way_out

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value!r}"
        return f"{self.name}{shown}: {self.way_out}"


class ArgumentError(ConfigError):
    """A spider argument (``-a``) is unknown or has a wrong value."""


class SinkError(Exception):
    """A sink could not store a batch. The batch stays in the spool and the run is ``failed_storage``."""

    def __init__(self, sink: str, batch: str, cause: str) -> None:
        super().__init__(sink, batch, cause)
        self.sink = sink
        self.batch = batch
        self.cause = cause

    def __str__(self) -> str:
        return f"sink {self.sink}: batch {self.batch} not stored: {self.cause}"


class GatewayError(Exception):
    """A proxy or gateway refused or failed; ``pool`` empty: none could be asked. ``kind`` is a class of scraper.proxies.gateway, or ``unreachable``."""

    def __init__(self, pool: str, status: int, reason: str, kind: str) -> None:
        super().__init__(pool, status, reason, kind)
        self.pool = pool
        self.status = status
        self.reason = reason
        self.kind = kind

    def __str__(self) -> str:
        answer = f"answered {self.status} {self.reason}" if self.status else self.reason
        return f"pool {self.pool} {answer} ({self.kind})" if self.pool else f"{answer} ({self.kind})"


class TargetRefused(Exception):
    """We refuse to ask this target: a private address, a scheme, or no identity to go out as. Never retried."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(url, why)
        self.url = url
        self.why = why

    def __str__(self) -> str:
        return f"{self.url} refused: {self.why}"


class CertificateRefused(Exception):
    """TLS could not be set up with a certificate we trust: a wrong site, or a proxy that opens TLS on its way."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(host, why)
        self.host = host
        self.why = why

    def __str__(self) -> str:
        return f"certificate of {self.host} refused: {self.why}"


class BudgetSpent(Exception):
    """The budget of the run (``rule`` "budget") or of a site ("site_budget") is spent; ``said``: by how much."""

    def __init__(self, rule: str, said: str) -> None:
        super().__init__(rule, said)
        self.rule = rule
        self.said = said

    def __str__(self) -> str:
        return self.said
