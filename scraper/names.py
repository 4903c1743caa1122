"""The names by which subjects meet: request meta keys and signals. No folder imports another for them.

Stats keys are strings beside the adapter that writes them; docs/stats.md lists every one.
"""

from __future__ import annotations

# --- request meta: what a spider may ask ---------------------------------------------------------------------
ASK_COUNTRY = "proxy_country"  # str, ISO 3166 alpha-2 in lower case: only exits of this country
ASK_POOL = "proxy_pool"  # str: only this pool of proxies.toml; the name of a direct one asks for no proxy
ASK_STICKY = (
    "proxy_sticky"  # str: all requests of a site with this key go out as one identity, which is theirs alone
)
ASK_FRESH = "proxy_fresh"  # bool: an exit of its own, that no other request had or will have

# --- request meta: what we write ------------------------------------------------------------------------------
ATTEMPT = "attempt"  # int >= 1: which try at this page this is, over all causes
TRIES_LEFT = "tries_left"  # int: tries that may follow this one; whoever repeats a request counts it here
IDENTITY = "identity"  # str: id of the identity the request goes out as; carries no secret
COOKIEJAR = "cookiejar"  # Scrapy's own key; we set it to the identity's id
POOL = "pool"  # str: pool of that identity
COUNTRY = "exit_country"  # str: country that was asked of it; "" for any
LEASED = "leased"  # str: id of the identity that this try holds; released with its answer or error
ORIGIN = "origin"  # (url, method) that the spider asked for, before any redirect
CAME_FROM = "came_from"  # bytes | None: the Referer that it was asked with, before any redirect
UNPROVEN = "unproven"  # int: bytes of an answer that may have been cut; the same again is the page
OWN_HEADERS = "own_headers"  # list[str]: Accept headers that the spider set itself
ANY_ANSWER = "any_answer"  # bool: one try, and whatever comes is handed on, a block with its body too (`scrapy bans explain`)
WARM_UP = "warm_up"  # bool: a visit whose only use is its cookies; never tried again, never stored
BLOCKED_BY = "blocked_by"  # dict[str, int]: how often each pool was blocked at this page
REFUSALS = (
    "refusals"  # list of proxies.broker.Refusal as tuples: refusals without a mark that the page has met
)
WAITS = "waits"  # int: how often in a row it was put off
WAITED = "waited_s"  # float, seconds: how long the page has been put off for want of an exit
NOT_BEFORE = "not_before"  # float, monotonic seconds: the frontier does not lease the page earlier
REFUSED = (
    "gateway_refused"  # GatewayError: the answer that comes is the gateway's own; bans takes it out at once
)
VERDICT = "verdict"  # str: name of the rule that decided about the response
SPENT_USD = "spent_usd"  # float, USD: what the tries at this page have cost so far
WIRE_BYTES = "wire_bytes"  # int: bytes that this try moved at the socket, both directions

# --- signals (crawler.signals), with their arguments ------------------------------------------------------------
VERDICT_GIVEN = "scraper.verdict_given"  # request, response | None, verdict: every download ends in one
SITE_WAIT = "scraper.site_wait"  # host: str, wait_s: float: nobody asks this host for that long
SITE_PACE = "scraper.site_pace"  # host: str, delay_s: float: from now on leave so long between two requests; 0: as usual
PAGE_PUT_OFF = "scraper.page_put_off"  # request: it was leased and not sent, so its host need not rest for it
PAGE_GIVEN_UP = "scraper.page_given_up"  # request, verdict, attempts: int (made; 0: never asked): no attempt is left for this page
PAGE_LEFT = "scraper.page_left"  # request: pending when the crawl ended; nobody asked for it
RUN_ENDED = "scraper.run_ended"  # report: dict: the run's report is written
