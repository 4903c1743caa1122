"""Real servers for tests marked ``service``: nginx and tinyproxy, each with its own configuration on a free port of
127.0.0.1, in the foreground, gone when the ``with`` block ends.

    with nginx(root, tmp_path) as web, tinyproxy(tmp_path, goes_out_as="127.0.0.9") as proxy: ...

A missing program skips the test with its reason, and fails it where REQUIRE_SERVICES=1. On Debian:
``apt-get install nginx-light tinyproxy python3-doc``.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

START_TIMEOUT_S = 10.0

_NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    types {{
        text/html html htm; text/css css; text/plain txt py; text/xml xml;
        application/javascript js; application/json json; application/gzip gz;
        image/png png; image/svg+xml svg;
    }}
    default_type application/octet-stream;
    charset utf-8;
    log_format seen '$remote_addr $status $body_bytes_sent $request_uri';
    access_log {folder}/access.log seen;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {root};
        index index.html;
        absolute_redirect off;
        {server}
    }}
}}
"""

_TINYPROXY = """
Port {port}
Listen 127.0.0.1
Bind {goes_out_as}
Timeout 30
MaxClients 100
Allow 127.0.0.1
PidFile "{folder}/tinyproxy.pid"
LogFile "{folder}/tinyproxy.log"
LogLevel Connect
{auth}
"""


@dataclass(frozen=True)
class Request:
    """One line of nginx's access log."""

    address: str  # who asked: 127.0.0.1, or the address a proxy goes out as
    status: int
    bytes: int
    path: str


@dataclass(frozen=True)
class Nginx:
    url: str  # http://127.0.0.1:<port>/
    access_log: Path

    def requests(self, at_least: int = 0) -> list[Request]:
        """Return what was asked so far, in order. nginx writes a line after its answer: wait for ``at_least`` of them."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while (text := self.access_log.read_text(encoding="utf-8")).count("\n") < at_least:
            assert time.monotonic() < deadline, f"fewer than {at_least} requests in {self.access_log}"
            time.sleep(0.01)
        lines = (line.split(" ", 3) for line in text.splitlines())
        return [Request(address, int(status), int(size), path) for address, status, size, path in lines]


@dataclass(frozen=True)
class Tinyproxy:
    host: str
    port: int
    user: str
    password: str
    goes_out_as: str
    log: Path

    @property
    def url(self) -> str:
        login = f"{self.user}:{self.password}@" if self.user else ""
        return f"http://{login}{self.host}:{self.port}"


@contextmanager
def nginx(root: Path, tmp_path: Path, *, server: str = "") -> Iterator[Nginx]:
    """Serve ``root``. ``server``: further lines of nginx configuration inside its server block."""
    program = find_program("nginx", "nginx-light")
    folder = tmp_path / "nginx"
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, root=root.resolve(), server=server), "utf-8")
    command = [program, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]
    with _running(command, port, folder / "error.log"):
        yield Nginx(f"http://127.0.0.1:{port}/", folder / "access.log")


@contextmanager
def tinyproxy(
    tmp_path: Path, *, goes_out_as: str = "127.0.0.1", user: str = "", password: str = ""
) -> Iterator[Tinyproxy]:
    """Run a proxy whose requests come from ``goes_out_as`` (any address of 127/8 on Linux), so that servers can tell."""
    program = find_program("tinyproxy", "tinyproxy-bin")
    folder = tmp_path / f"tinyproxy-{goes_out_as}"
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "tinyproxy.conf"
    auth = f"BasicAuth {user} {password}" if user else ""
    config.write_text(
        _TINYPROXY.format(folder=folder, port=port, goes_out_as=goes_out_as, auth=auth), "utf-8"
    )
    log = folder / "tinyproxy.log"
    with _running([program, "-d", "-c", str(config)], port, log):
        yield Tinyproxy("127.0.0.1", port, user, password, goes_out_as, log)


def python_docs() -> Path:
    """Return the folder of the HTML documentation of Debian's ``python3-doc``: about 530 pages nobody here wrote."""
    folder = Path("/usr/share/doc/python3-doc/html")
    if not (folder / "index.html").is_file():
        _missing(f"{folder} (apt-get install python3-doc)")
    return folder.resolve()


def find_program(name: str, package: str) -> str:
    """Return the path of a program, or skip (fail, where REQUIRE_SERVICES=1) the test that needs it."""
    path = shutil.which(
        name, path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/usr/local/sbin"
    )
    return path or _missing(f"{name} (apt-get install {package})")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _missing(what: str) -> str:
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(f"REQUIRE_SERVICES=1, but there is no {what}")
    pytest.skip(f"there is no {what}")


@contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[None]:
    output = log.with_suffix(".out")
    with output.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        _wait_until_open(process, port, (output, log))
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_open(process: subprocess.Popen[bytes], port: int, logs: tuple[Path, ...]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    said = " ".join(log.read_text("utf-8", "replace") for log in logs if log.exists())
    pytest.fail(f"{process.args!r} did not open port {port}: {' '.join(said.split())[-2000:]}")
