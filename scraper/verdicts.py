"""What a download turned out to be: one value that carries its reason. Bans writes it, the others read it."""

from __future__ import annotations

from dataclasses import dataclass

GOOD = "good"  # the page that was asked for
BLOCKED = "blocked"  # the site answered the exit, not the request: retire the identity
RATE_LIMITED = "rate_limited"  # too fast: slow the site, keep the identity
GONE = "gone"  # 404 or 410: an answer, never a ban
SITE_ERROR = "site_error"  # the site's own failure: says nothing about the exit
FAULT = "fault"  # proxy, network or a cut body: no evidence about the site, another exit may do
OUTCOMES = (GOOD, BLOCKED, RATE_LIMITED, GONE, SITE_ERROR, FAULT)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`rule` is the stats key, the log word and the test's name; `evidence` is a short excerpt, never a secret."""

    outcome: str
    rule: str
    vendor: str = ""
    kind: str = (
        ""  # of a block: challenge, captcha, denied, geo, poison, login; of a fault: the gateway's class
    )
    evidence: str = ""
    retry_after_s: float | None = None
    proven: bool = (
        True  # False: a refusal without a mark, which counts against the exit once another one gets the page; or a good
        # answer without a page (204, 304), which counts for nobody
    )
