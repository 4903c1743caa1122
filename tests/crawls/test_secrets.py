"""Planted credentials are in nothing that a run writes or prints, whatever goes wrong, at the most talkative log level,
whichever handler downloads and however the proxy is spoken to."""

from __future__ import annotations

import base64
import importlib.util
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme

from scraper.lab import process as lab_process
from tests.proxies.servers import HOST, Gateway, Loop, Server, Site, Socks

USER, CANARY = "canary-user@example", "canary:4f1c@example"  # of characters that are written in several ways
STOCK = "scrapy.core.downloader.handlers"
TALKATIVE = ["-s", "COOKIES_DEBUG=1", "-L", "DEBUG"]


def leaks(run: Any, *secrets: bytes) -> list[str]:
    """Where any of them stands: stdout, stderr, or a file of the run."""
    texts = {"stdout": run.out.encode(), "stderr": run.err.encode()}
    texts |= {str(path): path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    assert any("report.json" in name for name in texts)
    lines = [(name, line) for name, text in texts.items() for line in text.split(b"\n")]
    return [f"{name}: {line[:300]!r}" for name, line in lines if any(secret in line for secret in secrets)]


@pytest.mark.parametrize("password", ["right", "wrong"])
def test_no_proxy_password_in_any_artefact(crawl: Callable[..., Any], tmp_path: Path, password: str) -> None:
    with lab_process.start(tmp_path / "lab", pages=1) as lab:
        folder = tmp_path / "lab"
        secrets = {(folder / f"{name}.password").read_text().strip() for name in ("residential", "mobile")}
        listed = (folder / "datacentre.txt").read_text()
        secrets |= {line.split("@")[0].rpartition(":")[2] for line in listed.split()}
        if password == "wrong":
            for name in ("residential", "mobile"):
                (folder / f"{name}.password").write_text("canary-4f1c-example")
            first = listed.split("@")[0].rpartition(":")[2]
            (folder / "datacentre.txt").write_text(listed.replace(first, "canary-4f1c-example"))
        urls = ",".join(lab.info["sites"][label]["start_url"] for label in ("captcha", "flaky", "redirect"))
        run = crawl(
            "shop", "-a", f"urls={urls}", "-s", f"PROXIES_FILE={folder}/proxies.toml", "-s", f"TLS_CA_FILE={folder}/ca.pem",
            "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", "DOWNLOAD_DELAY=0.02", "-s", "DOWNLOAD_TIMEOUT=2", *TALKATIVE,
        ).wait()  # fmt: skip
    assert ("SUCCEEDED" in run.out) == (password == "right"), run.out
    plain = {secret.encode() for secret in secrets} | {b"canary-4f1c-example"}
    assert not leaks(run, *plain, *(base64.b64encode(b"customer-lab:" + secret) for secret in plain))


@pytest.mark.parametrize(
    ("scheme", "handler"),
    [
        ("http", ""),
        ("https", ""),
        ("socks5", ""),
        ("http", f"{STOCK}.http11.HTTP11DownloadHandler"),
        ("http", f"{STOCK}._aiohttp.AiohttpDownloadHandler"),
        pytest.param(
            "http",
            f"{STOCK}._httpx.HttpxDownloadHandler",
            marks=pytest.mark.skipif(
                importlib.util.find_spec("httpx2") is None, reason="httpx2 is not installed"
            ),
        ),
    ],
    ids=["ours-http", "ours-https", "ours-socks5", "http11", "aiohttp", "httpx"],
)
def test_no_handler_tells_the_credentials_whatever_the_proxy_does(
    crawl: Callable[..., Any], tmp_path: Path, scheme: str, handler: str
) -> None:
    """Good pages, a refused CONNECT that repeats what it was told, silence, a dead port and rubbish, to http and https."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST, "site.localhost").configure_cert(tls)
    with Loop() as loop:
        sites = {"http": loop.start(Site()), "https": loop.start(Site(tls))}
        proxies = [loop.start(proxy) for proxy in _proxies(scheme, tls)]
        login = f"{quote(USER, safe='')}:{quote(CANARY, safe='')}"
        addresses = [f"{scheme}://{login}@{HOST}:{port}" for port in (*(proxy.port for proxy in proxies), 1)]
        names = [f"pool{n}" for n in range(len(addresses))]
        for name, address in zip(names, addresses, strict=True):
            (tmp_path / f"{name}.txt").write_text(address)
        (tmp_path / "proxies.toml").write_text(
            "\n".join(
                f'[pools.{name}]\nkind = "list"\nfile = "{name}.txt"\nusd_per_gb = 1\n' for name in names
            )
        )
        given = [
            f'DOWNLOAD_HANDLERS={{"http": "{handler}", "https": "{handler}"}}',
            "DOWNLOAD_VERIFY_CERTIFICATES=0",
        ]
        urls = [f"{kind}://site.localhost:{site.port}/bytes/100" for kind, site in sites.items()]
        run = crawl(
            "each_pool", "-a", f"urls={','.join(urls)}", "-a", f"pools={','.join(names)}", "-s", "SPIDER_MODULES=spiders_of_tunnels",
            "-s", f"PROXIES_FILE={tmp_path}/proxies.toml", "-s", "BAN_MAX_ATTEMPTS=1",
            "-s", "CONCURRENT_REQUESTS=32", "-s", "CONCURRENT_REQUESTS_PER_DOMAIN=32",
            "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", "DOWNLOAD_DELAY=0", "-s", f"TLS_CA_FILE={tmp_path}/ca.pem",
            "-s", "DOWNLOAD_TIMEOUT=1", "-s", "PROXY_CONNECT_TIMEOUT_S=0.5", "-s", "BAN_FAULT_WAIT_S=0.05",
            "-s", "PROXY_STATE_FILE=none", "-s", "ROBOTSTXT_OBEY=0", "-s", "PROXY_DEAD_AFTER=1000",
            *(word for text in (given if handler else ()) for word in ("-s", text)), *TALKATIVE,
            env={"PYTHONPATH": str(Path(__file__).parent)},
        ).wait()  # fmt: skip
        asked = [len(proxy.wires) for proxy in proxies]
    assert len(run.rows()) == 2, run.err[-3000:]
    assert min(asked) > 0, "each proxy had its turn"
    both = f"{USER}:{CANARY}".encode()
    secrets = {CANARY.encode(), USER.encode(), base64.b64encode(both)}
    secrets |= {quote(secret, safe=safe).encode() for secret in (USER, CANARY) for safe in ("", "/", ":")}
    assert not leaks(run, *secrets)


def _proxies(scheme: str, tls: ssl.SSLContext) -> list[Server]:
    if scheme == "socks5":
        login = USER, CANARY
        return [
            Socks(*login),
            Socks(*login, reply=1),
            Socks(USER, "other"),
            Socks(*login, silent_at="connect"),
        ]
    context = tls if scheme == "https" else None
    return [
        Gateway(manner, context) for manner in ("well", "repeats", "refuses", "silent", "garbage", "leaves")
    ]
