"""Gateway errors fall into the class that says what helps."""

from __future__ import annotations

import pytest

from scraper.proxies.gateway import classify, is_gateways_own


@pytest.mark.parametrize(
    ("status", "reason", "headers", "kind"),
    [
        (407, "Proxy Authentication Required", {}, "config"),
        (407, "traffic limit reached", {}, "account"),  # Oxylabs
        (407, "TRAFFIC_EXHAUSTED", {}, "account"),  # DataImpulse
        (407, "THREADS_EXHAUSTED", {}, "capacity"),
        (402, "Payment Required", {"x-webshare-reason": "bandwidthlimit"}, "account"),  # Webshare
        (429, "Too Many Requests", {}, "capacity"),
        (403, "Forbidden", {}, "forbidden"),
        (400, "Bad Request", {"x-thor-error-code": "client_101"}, "forbidden"),  # Thordata
        (490, "", {}, "no_exit"),  # NetNut
        (503, "NO_RAY", {}, "no_exit"),
        (502, "Bad Gateway", {"x-brd-err-code": "no_peer"}, "no_exit"),  # Bright Data
        (
            502,
            "Bad Gateway",
            {"x-error-description": "Session failed, start a new one"},
            "session_lost",
        ),  # Oxylabs
        (502, "Bad Gateway", {}, "transient"),
        (504, "Gateway Timeout", {}, "transient"),
        (500, "", {}, "transient"),
    ],
)
def test_a_refusal_is_classified(status: int, reason: str, headers: dict[str, str], kind: str) -> None:
    assert classify(status, reason, headers) == kind


def test_on_plain_http_only_a_407_or_a_detail_header_is_the_gateways_own_answer() -> None:
    assert is_gateways_own(407, {})
    assert is_gateways_own(502, {"x-error-description": "session ended"})
    assert not is_gateways_own(502, {})
    assert not is_gateways_own(404, {"proxy-status": "cache.example; hit"}), "caches of sites send it, too"
    assert is_gateways_own(502, {"proxy-status": "gate.example; error=destination_unavailable"})
    assert not is_gateways_own(200, {"proxy-status": "gate; received-status=200"})
