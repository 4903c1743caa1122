"""A gateway and a site for tests, both in threads of their own. Whoever comes through the gateway comes from 127.0.9.x,
so the site can tell it from our own address; what the gateway answers is the test's to decide.

The classes at the end are download handlers that raise, for ``-s DOWNLOAD_HANDLERS=``.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import socketserver
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import trustme
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler

from scraper.proxies.handler import ProxyDownloadHandler

OWN = "127.0.0.1"
HTTP11 = "scrapy.core.downloader.handlers.http11.HTTP11DownloadHandler"


def refusal(status: int, reason: str, *headers: str) -> bytes:
    """A gateway's answer in its own name."""
    lines = [f"HTTP/1.1 {status} {reason}", *headers, "Content-Length: 0", "Connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True)
class Asked:
    """One request to the gateway: the site's address, and the user name with what it asks for."""

    target: str
    user: str
    password: str


@dataclass
class Gateway:
    """``answer`` gives what is sent instead of going on; None goes on, b"" closes without a word."""

    name: str
    answer: Callable[[Asked], bytes | None] = lambda asked: None
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    folder: str = "."  # of proxies.toml
    net: int = 9  # its exits are 127.0.<net>.x

    def pool(self, usd_per_gb: float = 1.0, password: str = "example") -> str:
        """Its table of proxies.toml."""
        (Path(self.folder) / f"{self.name}.password").write_text(password)
        return (
            f'[pools.{self.name}]\nkind = "gateway"\ngateway = "http://127.0.0.1:{self.port}"\nusername = "customer"\n'
            f'country_part = "-country-{{country}}"\nsession_part = "-session-{{session}}"\n'
            f'usd_per_gb = {usd_per_gb}\ncountries = ["de", "us"]\npassword_file = "{self.name}.password"\n'
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[Gateway]:
        gateway = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, ValueError):
                    gateway._serve(self.connection, self.rfile)

        with _Listener((OWN, 0), Handler) as server:
            self.port = server.server_address[1]
            thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            yield self
            server.shutdown()
            thread.join()

    def _serve(self, client: socket.socket, lines: BinaryIO) -> None:
        first, *head = [line.decode("latin-1").strip() for line in iter(lines.readline, b"\r\n") if line]
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head)}
        token = headers.get("proxy-authorization", "Basic Og==").split()[1]
        user, _, password = base64.b64decode(token).decode().partition(":")
        tunnel = method == "CONNECT"
        self.asked.append(Asked(target, user, password))
        if (said := self.answer(self.asked[-1])) is not None:
            if (
                b"\r\nconnection:" not in said.lower()
            ):  # else a request sent on it now would be lost, and a try with it
                said = said.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
            client.sendall(said)
            return
        parts = urlsplit(f"//{target}" if tunnel else target)
        exit_ = f"127.0.{self.net}.{1 + zlib.crc32(user.encode()) % 250}"  # a session keeps its exit
        with socket.create_connection((parts.hostname, parts.port), source_address=(exit_, 0)) as site:
            if tunnel:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                kept = [line for line in head if not line.lower().startswith(("proxy-", "connection:"))]
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                site.sendall(
                    "\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]).encode()
                )
            up = Thread(target=_pump, args=(client, site), daemon=True)
            up.start()
            _pump(site, client, last=not tunnel)
            _end(client)
            up.join()


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that went away


def _pump(source: socket.socket, target: socket.socket, *, last: bool = False) -> None:
    """``last``: the answer that comes is told to be the last of its connection."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            if last and data.startswith(b"HTTP/1."):
                data = data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            target.sendall(data)
    _end(target)


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class Visit:
    address: str
    scheme: str
    path: str
    cookie: str

    @property
    def is_own(self) -> bool:
        """From our own address."""
        return self.address == OWN


@dataclass
class Site:
    """Pages ``/p/<n>``, and some that make a crawler go on by other ways. ``visits``: all that reached it."""

    visits: list[Visit] = field(default_factory=list)
    url: str = ""
    tls_url: str = ""
    ca_file: str = ""
    page_bytes: int = 0
    page_s: float = 0.0
    refuse: Callable[[str], bool] = lambda address: False  # whether whoever comes from there gets a 403

    def paths(self) -> list[str]:
        return [visit.path for visit in self.visits]

    def own(self) -> list[Visit]:
        return [visit for visit in self.visits if visit.is_own]


@contextlib.contextmanager
def site(folder: Path) -> Iterator[Site]:
    """The same pages on http:// and https://."""
    found = Site()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "site-ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    found.ca_file = str(folder / "site-ca.pem")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
            path, again = self.path, self.path in found.paths()
            found.visits.append(Visit(self.client_address[0], scheme, path, self.headers.get("Cookie", "")))
            if found.page_s:
                Event().wait(found.page_s)
            if path == "/robots.txt":
                self._page("User-agent: *\nDisallow: /private\n", kind="text/plain")
            elif path == "/hop":
                self._go(found.tls_url + "after_hop")
            elif path == "/hop_back":
                self._go(found.url + "after_hop_back")
            elif path.startswith("/cookie"):
                name = path[1:] if path != "/cookie" else "seen"
                self._go(f"/after_{path[1:]}", ("Set-Cookie", f"{name}=1"))
            elif path == "/refresh":
                self._page("<html><meta http-equiv=refresh content='0;url=/after_refresh'><p>wait</p></html>")
            elif path == "/broken" and not again:
                self.close_connection = True
            elif path == "/busy" and not again:
                self._page("slow down", 429, ("Retry-After", "1"))
            elif found.refuse(self.client_address[0]) or (path == "/refused" and not again):
                self._page("no", 403)
            else:
                self._page(
                    f"<html lang=en><title>{path}</title><p>Text of page {path}.</p>{'x' * found.page_bytes}</html>"
                )

        def _go(self, where: str, *headers: tuple[str, str]) -> None:
            self._page("", 302, ("Location", where), *headers)

        def _page(
            self, text: str, status: int = 200, *headers: tuple[str, str], kind: str = "text/html"
        ) -> None:
            self.send_response(status)
            for name, value in (("Content-Type", kind), ("Content-Length", str(len(text))), *headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that went away

    class TlsServer(Server):
        def get_request(self) -> Any:
            sock, address = super().get_request()
            return context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), address

    servers = [Server((OWN, 0), Handler), TlsServer((OWN, 0), Handler)]
    found.url = f"http://{OWN}:{servers[0].server_address[1]}/"
    found.tls_url = f"https://{OWN}:{servers[1].server_address[1]}/"
    threads = [Thread(target=server.serve_forever, args=(0.05,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()


def options(folder: Path, *pools: str, handler: str = "", ca_file: str = "") -> list[str]:
    """Arguments of a crawl with these pools, at full speed; ``handler``: in the place of ours."""
    path = folder / "proxies.toml"
    path.write_text("\n".join(pools), encoding="utf-8")
    given = [f"PROXIES_FILE={path}", "ALLOW_PRIVATE_ADDRESSES=1", "DOWNLOAD_DELAY=0", "BAN_FAULT_WAIT_S=0.05"]
    given += [f"TLS_CA_FILE={ca_file}"] if ca_file else []
    if handler:
        given += [f'DOWNLOAD_HANDLERS={{"http": "{handler}", "https": "{handler}"}}']
        given += ["DOWNLOAD_VERIFY_CERTIFICATES=0"]  # Scrapy's own know no TLS_CA_FILE
    return [word for text in given for word in ("-s", text)]


class _Raises:
    """Every second request meets a mistake in the handler, before it is sent."""

    n_asked = 0

    async def download_request(self, request: Any) -> Any:
        self.n_asked += 1
        if self.n_asked % 2:
            raise RuntimeError("a mistake in the handler")
        return await super().download_request(request)  # type: ignore[misc]  # of the handler it is mixed into


class OursRaises(_Raises, ProxyDownloadHandler):
    pass


class Http11Raises(_Raises, HTTP11DownloadHandler):
    pass


def wait_for(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Until it holds; fails where it does not in that time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
