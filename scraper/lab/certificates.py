"""A certificate authority made at start and thrown away at the end; nobody else trusts it."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


def server_context(hosts: list[str], ca_file: Path) -> ssl.SSLContext:
    """TLS for servers named ``hosts``; the authority's certificate is written to ``ca_file``, its key nowhere."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    authority.issue_cert(*hosts).configure_cert(context)
    return context
