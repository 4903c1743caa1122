"""ADAPTER. What a crawl needs that uses one of Scrapy's own download handlers instead of ours: one setting away, and less.

They take the proxy from request meta and the password from a header; both are there only while the request is under way.
Bytes are estimated, connections of identities may be shared on http://, and SOCKS and TLS to the proxy are not to be had.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from scrapy import Request
from scrapy.exceptions import DownloadConnectionRefusedError
from scrapy.http import Response
from scrapy.utils.misc import load_object

from scraper.errors import ConfigError, GatewayError
from scraper.proxies import gateway, heads
from scraper.proxies.dial import UNREACHABLE
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.pools import Pool
from scraper.proxies.roster import Identity

TUNNEL_BYTES = 6_000  # of CONNECT and TLS, both ways, with a usual certificate chain
_META, _HEADER = "proxy", "Proxy-Authorization"
# In the text of http11's TunnelError, and of the errors of aiohttp ("407, message='...', url=") and httpx ("407 ...").
_REFUSED = re.compile(
    r"'status': (\d+), 'reason': b?['\"](.*)['\"]|^(\d{3})(?:, message=| )['\"]?(.*?)(?:['\"], url=.*)?$",
    re.DOTALL,
)


def reason(settings: Any, pools: Sequence[Pool]) -> str:
    """Return the handler of Scrapy's that is set in the place of ours, or ''. Raises ConfigError where it cannot do."""
    handlers = settings.getwithbase("DOWNLOAD_HANDLERS")
    for scheme in ("http", "https"):
        path = handlers.get(scheme)
        if path is None or getattr(load_object(path), "sends_as_identity", False):
            continue
        for pool in pools:
            schemes = {pool.endpoints[n].scheme for n in range(min(len(pool.endpoints), 1000))}
            if schemes - {"http"}:
                raise ConfigError(
                    "DOWNLOAD_HANDLERS",
                    path,
                    f"speaks no {min(schemes - {'http'})} proxy, as pool {pool.name} wants",
                )
        return str(path)
    return ""


def address(request: Request, endpoint: Endpoint | None) -> None:
    """Tell Scrapy's handler which proxy to use."""
    if endpoint is None:
        return
    request.meta[_META] = f"{endpoint.scheme}://{endpoint.host}:{endpoint.port}"
    if endpoint.user or endpoint.password:
        token = base64.b64encode(f"{endpoint.user}:{endpoint.password}".encode())
        request.headers[_HEADER] = b"Basic " + token


def forget(request: Request) -> None:
    """Take the proxy and its password out of the request again, before anybody prints, stores or repeats it."""
    request.meta.pop(_META, None)
    request.headers.pop(_HEADER, None)


def meant(error: Exception, identity: Identity) -> GatewayError | None:
    """What an error of Scrapy's handler says about the pool, which it does not name; None where it may be the site's."""
    pool = identity.arm.pool
    if pool.kind == "direct":
        return None
    found = _REFUSED.search(str(error))
    if found is not None:
        return _refusal(identity, int(found[1] or found[3]), found[2] or found[4], {})
    if isinstance(error, DownloadConnectionRefusedError):
        return GatewayError(pool.name, 0, "does not answer", UNREACHABLE)
    if type(error).__name__ == "TunnelError":
        return GatewayError(
            pool.name, 0, "answered CONNECT with something that is not HTTP", gateway.TRANSIENT
        )
    if identity.endpoint is not None and (said := _hidden(str(error), identity.endpoint)) != str(error):
        return GatewayError(pool.name, 0, said[:200], gateway.TRANSIENT)
    return None


def _hidden(text: str, endpoint: Endpoint) -> str:
    return heads.hide(text, endpoint.user, endpoint.password)


def refused(response: Response, identity: Identity) -> GatewayError | None:
    """The refusal of the gateway, where it answers a page of ``http://`` in the place of the site. Its reason phrase is
    lost in these handlers."""
    pool = identity.arm.pool
    if pool.kind == "direct" or not response.url.startswith("http:"):
        return None
    headers = {
        name.decode("latin-1").lower(): b", ".join(values).decode("latin-1")
        for name, values in response.headers.items()
    }
    if not gateway.is_gateways_own(pool.provider, response.status, headers):
        return None
    return _refusal(identity, response.status, "", headers)


def _refusal(identity: Identity, status: int, reason: str, headers: Mapping[str, str]) -> GatewayError:
    """Without our credentials, which a gateway may repeat, also for the classifier: a user name holds "session"."""
    endpoint, pool = identity.endpoint, identity.arm.pool
    reason = _hidden(reason, endpoint) if endpoint is not None else reason
    return GatewayError(
        pool.name, status, reason[:200], gateway.classify(pool.provider, status, reason, headers)
    )


def estimate(request: Request, response: Response) -> int:
    """Bytes that the exchange moved, about: these handlers do not say. Each https page is reckoned with its own tunnel."""
    sent = len(request.url) + len(request.body) + len(request.headers.to_string()) + 40
    received = len(response.body) + len(response.headers.to_string()) + 20
    return sent + received + (TUNNEL_BYTES if request.url.startswith("https:") else 0)
