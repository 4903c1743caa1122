"""Gateway errors fall into the class that says what helps: every documented code of every provider, one by one."""

from __future__ import annotations

import pytest

from scraper.proxies import sources
from scraper.proxies.dialect import Provider
from scraper.proxies.gateway import CLASSES, classify, is_gateways_own

PROVIDERS = sources.providers()
NOBODY = Provider()

# provider, status, reason, detail headers, class: the tables of the documentation, apart from our files.
DOCUMENTED: list[tuple[str, int, str, dict[str, str], str]] = [
    ("thordata", 400, "Bad Request", {"x-thor-error-code": "client_101"}, "config"),
    ("thordata", 400, "Bad Request", {"x-thor-error-code": "client_102"}, "forbidden"),
    ("thordata", 400, "Bad Request", {"x-thor-error-code": "client_103"}, "forbidden"),
    ("thordata", 400, "Bad Request", {"x-thor-error-code": "client_104"}, "forbidden"),
    ("thordata", 400, "Bad Request", {"x-thor-error-code": "Resource_202"}, "no_exit"),
    ("thordata", 502, "Bad Gateway", {"x-thor-error-code": "Resource_201"}, "no_exit"),
    ("thordata", 502, "Bad Gateway", {"x-thor-error": "Resource_203"}, "transient"),
    ("thordata", 502, "Bad Gateway", {}, "transient"),
    ("brightdata", 400, "Bad Request", {"x-brd-err-code": "client_10000"}, "forbidden"),
    ("brightdata", 401, "Unauthorized", {}, "config"),
    ("brightdata", 402, "Payment Required", {}, "account"),
    ("brightdata", 403, "Forbidden", {"x-brd-error": "policy"}, "forbidden"),
    ("brightdata", 407, "Proxy Authentication Required", {}, "config"),
    ("brightdata", 429, "Too Many Requests", {"x-brd-err-code": "sr_rate_limit"}, "capacity"),
    ("brightdata", 502, "Bad Gateway", {"x-brd-err-msg": "No peers available"}, "no_exit"),
    ("brightdata", 502, "Bad Gateway", {"x-brd-err-code": "target_40001"}, "target"),
    ("brightdata", 502, "Bad Gateway", {"x-brd-err-code": "peer_30001"}, "session_lost"),
    ("brightdata", 502, "Bad Gateway", {"proxy-status": "brd; error=dns_error"}, "target"),
    ("brightdata", 502, "x", {"proxy-status": 'brd; details="No peers available"'}, "no_exit"),
    ("oxylabs", 400, "Bad Request", {}, "forbidden"),
    (
        "oxylabs",
        403,
        "Forbidden",
        {"x-error-description": "Access to this target is restricted"},
        "forbidden",
    ),
    ("oxylabs", 407, "Proxy Authentication Required", {}, "config"),
    ("oxylabs", 407, "Traffic limit reached", {}, "account"),
    ("oxylabs", 407, "x", {"x-error-description": "Traffic limit reached"}, "account"),
    ("oxylabs", 500, "Internal Server Error", {}, "transient"),
    ("oxylabs", 502, "x", {"x-error-description": "Session failed, start a new one"}, "session_lost"),
    ("oxylabs", 502, "x", {"x-error-description": "Exit node not found (session ended)"}, "session_lost"),
    ("oxylabs", 502, "x", {"x-error-description": "Invalid response"}, "transient"),
    ("oxylabs", 504, "x", {"x-error-description": "Timeout"}, "transient"),
    ("oxylabs", 504, "x", {"x-error-description": "Target unreachable"}, "target"),
    ("oxylabs", 522, "", {}, "transient"),
    ("oxylabs", 525, "No exit found", {}, "no_exit"),
    ("netnut", 400, "Bad Request", {}, "forbidden"),
    ("netnut", 403, "Forbidden", {}, "forbidden"),
    ("netnut", 407, "Proxy Authentication Required", {}, "config"),
    ("netnut", 490, "", {}, "no_exit"),
    ("netnut", 500, "", {}, "transient"),
    ("netnut", 502, "Bad Gateway", {}, "session_lost"),
    ("netnut", 503, "", {}, "transient"),
    ("netnut", 522, "", {}, "transient"),
    ("dataimpulse", 403, "PORT_BLOCKED", {}, "forbidden"),
    ("dataimpulse", 403, "SITE_PERMANENTLY_BLOCKED", {}, "forbidden"),
    ("dataimpulse", 403, "HOST_BLOCKED", {}, "forbidden"),
    ("dataimpulse", 407, "NO_USER", {}, "config"),
    ("dataimpulse", 407, "TRAFFIC_EXHAUSTED", {}, "account"),
    ("dataimpulse", 407, "USER_BLOCKED", {}, "account"),
    ("dataimpulse", 407, "THREADS_EXHAUSTED", {}, "capacity"),
    ("dataimpulse", 407, "PORT_NOT_ALLOWED", {}, "forbidden"),
    ("dataimpulse", 500, "", {}, "transient"),
    ("dataimpulse", 502, "NO_HOST_CONNECTION", {}, "target"),
    ("dataimpulse", 503, "NO_RAY", {}, "no_exit"),
    ("iproyal", 407, "Proxy Authentication Required", {}, "config"),
    ("iproyal", 500, "", {}, "transient"),
    ("iproyal", 503, "Service Unavailable", {}, "no_exit"),
    ("iproyal", 504, "Gateway Timeout", {}, "transient"),
    ("webshare", 402, "Payment Required", {"x-webshare-reason": "bandwidthlimit"}, "account"),
    ("webshare", 407, "Proxy Authentication Required", {}, "config"),
    ("webshare", 502, "x", {"x-webshare-error": "target_connect_resolve_failed"}, "target"),
    ("webshare", 502, "x", {"x-webshare-reason": "target_connect_unknown_error"}, "target"),
    ("nodemaven", 407, "Proxy Authentication Required", {}, "config"),
]

# What a gateway that nobody has described is taken to mean.
COMMON: list[tuple[int, str, dict[str, str], str]] = [
    (400, "Bad Request", {}, "forbidden"),
    (401, "Unauthorized", {}, "config"),
    (403, "Forbidden", {}, "forbidden"),
    (407, "Proxy Authentication Required", {}, "config"),
    (407, "traffic limit reached", {}, "account"),
    (407, "THREADS_EXHAUSTED", {}, "capacity"),
    (402, "Payment Required", {}, "account"),
    (429, "Too Many Requests", {}, "capacity"),
    (452, "", {}, "account"),
    (453, "", {}, "capacity"),
    (454, "", {}, "no_exit"),
    (455, "", {}, "config"),
    (502, "Bad Gateway", {"x-error-description": "exit node not found"}, "session_lost"),
    (502, "NO_HOST_CONNECTION", {}, "target"),
    (503, "Service Unavailable", {}, "no_exit"),
    (502, "Bad Gateway", {"proxy-status": "gate.example; error=dns_error"}, "target"),
    (502, "Bad Gateway", {"proxy-status": 'gate; error="destination_unavailable"'}, "target"),
    (403, "Forbidden", {"proxy-status": "gate; error=destination_ip_prohibited"}, "forbidden"),
    (503, "x", {"proxy-status": "gate; error=connection_limit_reached"}, "capacity"),
    (502, "Bad Gateway", {"proxy-status": "gate; error=connection_terminated"}, "transient"),
    (502, "Bad Gateway: cannot reach session.traffic.example:443", {}, "transient"),
    (502, "Bad Gateway", {}, "transient"),
    (504, "Gateway Timeout", {}, "transient"),
    (500, "", {}, "transient"),
]


@pytest.mark.parametrize(("name", "status", "reason", "headers", "kind"), DOCUMENTED)
def test_every_documented_refusal_has_its_class(
    name: str, status: int, reason: str, headers: dict[str, str], kind: str
) -> None:
    assert classify(PROVIDERS[name], status, reason, headers) == kind


def test_every_row_of_every_file_decides_some_documented_refusal() -> None:
    for name, provider in PROVIDERS.items():
        rows = [entry for entry in DOCUMENTED if entry[0] == name]
        for row in provider.refusals:
            told = [
                f"{r} {' '.join(h.values())}".lower()
                for _, s, r, h, k in rows
                if s == row.status and k == row.kind
            ]
            for word in row.words or ("",):
                assert any(word in text for text in told), (name, row, word)


@pytest.mark.parametrize(("status", "reason", "headers", "kind"), COMMON)
def test_a_gateway_that_nobody_described_is_read_like_most(
    status: int, reason: str, headers: dict[str, str], kind: str
) -> None:
    assert classify(NOBODY, status, reason, headers) == kind
    assert kind in CLASSES


def test_on_plain_http_only_a_407_or_a_detail_header_is_the_gateways_own_answer() -> None:
    assert is_gateways_own(NOBODY, 407, {})
    assert is_gateways_own(NOBODY, 502, {"x-error-description": "session ended"})
    assert not is_gateways_own(NOBODY, 502, {})
    assert not is_gateways_own(NOBODY, 404, {"proxy-status": "cache.example; hit"}), "caches send it, too"
    assert is_gateways_own(NOBODY, 502, {"proxy-status": "gate.example; error=destination_unavailable"})
    assert not is_gateways_own(NOBODY, 200, {"proxy-status": "gate; received-status=200"})


def test_a_status_that_no_site_sends_is_the_gateways_where_its_file_says_so() -> None:
    assert is_gateways_own(PROVIDERS["netnut"], 490, {})
    assert not is_gateways_own(PROVIDERS["oxylabs"], 490, {})
    assert not is_gateways_own(PROVIDERS["netnut"], 522, {}), "sites behind a CDN answer 522 themselves"
