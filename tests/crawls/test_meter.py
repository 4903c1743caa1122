"""What we count at our sockets is what the gateway counts at its own, within 2 %, whatever the size of the pages."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.proxies.servers import Gateway, Loop, Site

SIZES = {"one": 1_000, "ten": 10_000, "hundred": 100_000, "thousand": 1_000_000}  # host -> bytes of a page
PAGES = 6  # of each size


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("uses", [1, 100], ids=["fresh", "reused"])
def test_the_meter_is_within_2_percent_of_the_gateway(
    crawl: Callable[..., Any], tmp_path: Path, scheme: str, uses: int
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*(f"{host}.localhost" for host in SIZES)).configure_cert(tls)
    pools = tmp_path / "proxies.toml"
    (tmp_path / "home.password").write_text("example")
    with Loop() as loop:
        site, gateway = loop.start(Site(tls if scheme == "https" else None)), loop.start(Gateway())
        pools.write_text(
            f'[pools.home]\nkind = "gateway"\ngateway = "http://127.0.0.1:{gateway.port}"\nusd_per_gb = 3\n'
            'username = "customer"\npassword_file = "home.password"\nsession_part = "-{session}"\n'
        )
        urls = ",".join(
            f"{scheme}://{host}.localhost:{site.port}/bytes/{size}?{n}"
            for host, size in SIZES.items()
            for n in range(PAGES)
        )
        run = crawl(
            "site", "-a", f"urls={urls}", "-s", f"PROXIES_FILE={pools}", "-s", "ALLOW_PRIVATE_ADDRESSES=1",
            "-s", "DOWNLOAD_DELAY=0", "-s", f"TLS_CA_FILE={tmp_path}/ca.pem", "-s", "CONCURRENT_REQUESTS_PER_DOMAIN=1",
            "-s", f"PROXY_IDENTITY_MAX_USES={uses}",
        ).wait()  # fmt: skip
        assert (run.exit_code, len(run.rows())) == (0, PAGES * len(SIZES)), run.out + run.err[-2000:]
        theirs = gateway.by_host
    ours = Counter({site["site"]: site["bytes"] for site in run.report["sites"]})
    for host, size in SIZES.items():
        name = f"{host}.localhost"
        assert theirs[name] > PAGES * size
        assert ours[name] == pytest.approx(theirs[name], rel=0.02), host
        connections = sum(wire.host == name for wire in gateway.wires)
        assert (connections >= PAGES) == (uses == 1)
