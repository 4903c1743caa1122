"""A plain HTTP client over sockets, so that the lab is tried by something that shares no code with it."""

from __future__ import annotations

import base64
import gzip
import http.client
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import brotli
import pytest

from scraper.lab.process import LabProcess, start

try:
    from compression import zstd
except ImportError:
    from backports import zstd

DECODERS = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": zstd.decompress, "": bytes}


@dataclass
class Reply:
    """What came back; ``proxy_said`` is set when the proxy refused the CONNECT."""

    status: int
    headers: http.client.HTTPMessage
    raw: bytes
    proxy_said: str = ""

    @property
    def text(self) -> str:
        return DECODERS[self.headers.get("Content-Encoding", "")](self.raw).decode()


@dataclass
class Client:
    """Asks through ``proxy`` ("host:port", "" for none) as ``user``; each request has its own connection."""

    info: dict[str, Any]
    proxy: str = ""
    user: str = "customer-lab"
    password: str = ""
    timeout: float = 5.0
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, url: str, accept: str = "gzip", method: str = "GET") -> Reply:
        """One request; cookies that the site sets are sent back with the next."""
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = [f"Host: {parts.netloc}", f"Accept-Encoding: {accept}", "Connection: close"]
        if self.cookies:
            headers.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        with self.connect(parts.port) as sock:
            if self.proxy and parts.scheme == "http":
                target = url
                headers.append(self.authorization())
            elif self.proxy:
                refusal = self.tunnel(sock, parts.netloc)
                if refusal is not None:
                    return refusal
            if parts.scheme == "https":
                context = ssl.create_default_context(cafile=self.info["ca"])
                sock = context.wrap_socket(sock, server_hostname=parts.hostname)
            with sock:
                reply = ask(sock, f"{method} {target}", headers, method)
        for cookie in reply.headers.get_all("Set-Cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return reply

    def connect(self, port: int | None) -> socket.socket:
        """To the proxy, or to the site itself; *.localhost is loopback, whatever the system's resolver thinks."""
        host, _, proxy_port = self.proxy.partition(":")
        return socket.create_connection(
            (host, int(proxy_port)) if self.proxy else ("127.0.0.1", port), self.timeout
        )

    def authorization(self) -> str:
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return f"Proxy-Authorization: Basic {token}"

    def tunnel(self, sock: socket.socket, target: str) -> Reply | None:
        """CONNECT; the proxy's reply when it refuses."""
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", self.authorization()]
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        response = http.client.HTTPResponse(sock, method="CONNECT")
        response.begin()
        if response.status == 200:
            return None
        length = int(response.headers["Content-Length"])
        return Reply(response.status, response.headers, response.fp.read(length), proxy_said=response.reason)


def ask(sock: socket.socket, first: str, headers: list[str], method: str = "GET", body: bytes = b"") -> Reply:
    """Send one request over an open socket and read the whole reply."""
    sock.sendall(("\r\n".join([f"{first} HTTP/1.1", *headers]) + "\r\n\r\n").encode() + body)
    with http.client.HTTPResponse(sock, method=method) as response:
        response.begin()
        return Reply(response.status, response.headers, response.read())


def client_for(lab: LabProcess, pool: str, user: str = "customer-lab", **options: Any) -> Client:
    """A client of pool "direct", "datacentre" (its first proxy), "residential" or "mobile"."""
    if pool == "direct":
        return Client(lab.info, **options)
    place = lab.info["pools"][pool]
    if pool == "datacentre":
        parts = urlsplit(Path(place["file"]).read_text().split()[0])
        return Client(lab.info, f"{parts.hostname}:{parts.port}", user, parts.password or "", **options)
    password = Path(place["password_file"]).read_text().strip()
    return Client(lab.info, urlsplit(place["gateway"]).netloc, user, password, **options)


@pytest.fixture(name="client_for")
def give_client_for() -> Any:
    """The function, since tests import nothing from each other."""
    return client_for


@pytest.fixture(name="ask")
def give_ask() -> Any:
    """The function, since tests import nothing from each other."""
    return ask


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProcess]:
    """A lab whose waits are short; its log must stay empty, as nothing that clients do is an error of the lab."""
    folder = tmp_path_factory.mktemp("lab")
    with start(folder, pages=2, ban_seconds=1, stall_seconds=1, rate=5, threads=32) as running:
        yield running
    assert (folder / "lab.log").read_text() == ""
