"""A Redis of the tests' own: on a free port of 127.0.0.1, with a password, and an append-only file in a folder of its own.

with running() as server: server.url ... server.restart(signal.SIGKILL) ... server.ask("SMEMBERS", "batches:spools")
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import trustme

from tests.services import find_program, free_port

PASSWORD = "example"
_CONF = """
bind 127.0.0.1
port {port}
dir {folder}/data
requirepass {password}
save ""
appendonly yes
appendfsync everysec
"""
_TLS = """
tls-port {port}
tls-cert-file {folder}/server.pem
tls-key-file {folder}/server.key
tls-ca-cert-file {folder}/ours.pem
tls-auth-clients no
"""


@dataclass
class Server:
    program: str
    folder: Path
    port: int
    tls_port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def tls_url(self, authority: str) -> str:
        """``authority``: "ours", which the server's certificate is of, or "other"."""
        return f"rediss://:{PASSWORD}@localhost:{self.tls_port}/0?ssl_ca_certs={self.folder / authority}.pem"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def ask(self, *command: Any) -> Any:
        with redis.Redis.from_url(self.url, decode_responses=True, encoding_errors="replace") as client:
            return client.execute_command(*command)

    def start(self) -> None:
        log = self.folder / "log"
        conf = self.folder / "redis.conf"
        (self.folder / "data").mkdir(exist_ok=True)
        tls = _TLS.format(port=self.tls_port, folder=self.folder) if self.tls_port else ""
        conf.write_text(_CONF.format(port=self.port, folder=self.folder, password=PASSWORD) + tls)
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [self.program, conf], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 10
        while True:
            try:
                self.ask("PING")
                return
            except redis.ConnectionError:
                time.sleep(0.02)
            assert self.process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM: writes down everything. SIGKILL: what the append-only file has is all there is."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(10)
            self.process = None

    def restart(self, how: signal.Signals = signal.SIGTERM, *, forget: bool = False) -> None:
        """``forget``: it comes back without any data."""
        self.stop(how)
        if forget:
            shutil.rmtree(self.folder / "data")
        self.start()


@contextmanager
def running(*, tls: bool = False) -> Iterator[Server]:
    """Redis, or Valkey where only that is installed; skips (fails, where REQUIRE_SERVICES=1) where none is."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    server = Server(program or find_program("redis-server", "redis-server"), folder, free_port())
    try:
        if tls:
            _certify(folder)
            server.tls_port = free_port()
        server.start()
        yield server
    finally:
        server.stop(signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def _certify(folder: Path) -> None:
    ours = trustme.CA()
    ours.cert_pem.write_to_path(folder / "ours.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    certificate = ours.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(folder / "server.pem")
    certificate.private_key_pem.write_to_path(folder / "server.key")
