"""Real servers for file sinks: S3 as moto speaks it, in a process of its own, and OpenSSH's SFTP as the current user, each
on a free port of 127.0.0.1, gone when the ``with`` block ends.

A missing one skips the test, and fails it where REQUIRE_SERVICES=1. On Debian: ``apt-get install openssh-server``.
"""

from __future__ import annotations

import getpass
import hashlib
import importlib.util
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.services import find_program, free_port

BUCKET = "records"
SECRET = "example-secret"
# At once, not in a fixture: workers have the environment of the process that forks them, which an earlier test may have started.
os.environ["S3_SECRET"] = SECRET
_SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile {folder}/pid
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
StrictModes no
Subsystem sftp internal-sftp
"""


@dataclass
class S3:
    """``options``: what ``storage`` says for it; the secret is in the variable S3_SECRET."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def options(self) -> dict[str, Any]:
        return {"key": "example", "secret": "env:S3_SECRET", "endpoint_url": self.url}

    def files(self, prefix: str) -> dict[str, bytes]:
        """All objects below ``prefix``, as another client of S3 sees them."""
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id="example",
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )
        try:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
            names = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
            return {name: client.get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in names}
        finally:
            client.close()


@dataclass
class Sftp:
    """``root``: the folder on this machine where the records are; the host key is in ``known_hosts``."""

    port: int
    root: Path
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}{self.root}"

    @property
    def options(self) -> dict[str, Any]:
        return {"key_filename": str(self.folder / "user_key"), "known_hosts": str(self.folder / "known_hosts"),
                "look_for_keys": False, "allow_agent": False}  # fmt: skip


class Remote:
    """A place for the runs of one test: ``files`` as another client sees them, by name below that place."""

    def __init__(self, server: S3 | Sftp, folder: Path) -> None:
        self.server = server
        self.name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]

    def spec(self, sink: str, **options: Any) -> Any:
        to = f"s3://{BUCKET}" if isinstance(self.server, S3) else self.server.url
        return {sink: {"to": f"{to}/{self.name}", "storage": self.server.options, **options}}

    def files(self) -> dict[str, bytes]:
        if isinstance(self.server, S3):
            found = self.server.files(f"{self.name}/")
            return {name.removeprefix(f"{self.name}/"): data for name, data in found.items()}
        root = self.server.root / self.name
        found_here = (path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): path.read_bytes() for path in found_here}

    def rows(self) -> list[dict[str, Any]]:
        """Of the run "out"."""
        rows: list[dict[str, Any]] = []
        for name, data in self.files().items():
            if name.startswith("out/") and name.endswith(".jsonl"):
                rows += [json.loads(line) for line in data.split(b"\n") if line]
            elif name.startswith("out/") and name.endswith(".parquet"):
                rows += pq.ParquetFile(io.BytesIO(data)).read().to_pylist()
        return [{name: value for name, value in row.items() if value is not None} for row in rows]


@contextmanager
def s3() -> Iterator[S3]:
    for module in ("moto", "flask_cors", "s3fs"):
        _need(module)
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command) as process:
        server = S3(port, process)
        _wait_for(process, lambda: urllib.request.urlopen(server.url, timeout=5).close())
        create = urllib.request.Request(f"{server.url}/{BUCKET}", method="PUT")
        urllib.request.urlopen(create, timeout=5).close()
        yield server


@contextmanager
def sftp(folder: Path) -> Iterator[Sftp]:
    """``folder``: an empty one, for keys and records."""
    _need("paramiko")
    program, keygen = find_program("sshd", "openssh-server"), find_program("ssh-keygen", "openssh-client")
    for name in ("host_key", "user_key"):
        command = [keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks its children in
    port = free_port()
    host_key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    (folder / "conf").write_text(_SSHD.format(port=port, folder=folder))
    (folder / "records").mkdir()
    with _running([program, "-D", "-e", "-f", str(folder / "conf")]) as process:
        _wait_for(process, lambda: _greeting(port))
        yield Sftp(port, folder / "records", folder, process)


def end_connections(server: Sftp) -> None:
    """Those that are open, at the server's end: it has a process for each."""
    found = subprocess.run(
        ["ps", "--ppid", str(server.process.pid), "-o", "pid="], capture_output=True, text=True, check=True
    )
    for pid in found.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    time.sleep(0.1)


def _need(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(f"REQUIRE_SERVICES=1, but {module} is not installed")
        pytest.skip(f"{module} is not installed")


def _greeting(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        assert connection.recv(4) == b"SSH-"


@contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(process: subprocess.Popen[bytes], ask: Any) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            ask()
        except OSError:
            assert process.poll() is None, process.args
            assert time.monotonic() < deadline, process.args
            time.sleep(0.05)
        else:
            return
