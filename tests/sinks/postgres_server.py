"""A PostgreSQL of the tests' own: a new cluster in a folder of its own, on a free port of 127.0.0.1, with a password.

with running() as server: server.url ... server.restart() ... server.query("SELECT 1")
"""

from __future__ import annotations

import getpass
import os
import pwd
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

import psycopg

from tests.services import find_program, free_port

PASSWORD = "example"
_CONF = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
port = {port}
max_connections = 40
shared_buffers = 32MB
"""


@dataclass
class Server:
    programs: Path
    folder: Path
    port: int
    user: str  # who the server runs as: it refuses to be root
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        log = self.folder / "log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.folder / "data"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                user=self.user,
                cwd=self.folder,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
            assert self.process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast shutdown. SIGQUIT: as a crash, the log is replayed at the next start."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop(how)
        self.start()


@contextmanager
def running() -> Iterator[Server]:
    """Skips (fails, where REQUIRE_SERVICES=1) where PostgreSQL is not installed."""
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    programs = newest[-1].parent if newest else Path(find_program("initdb", "postgresql")).parent
    user = "postgres" if os.geteuid() == 0 else getpass.getuser()
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # not in tmp_path: another user could not enter there
    try:
        password = folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (folder, password):
                shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
        initdb = [programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "scram-sha-256"]
        done = subprocess.run(
            [*initdb, "-E", "UTF8", "--locale=C", "--no-sync", f"--pwfile={password}"],
            capture_output=True,
            text=True,
            user=user,
            cwd=folder,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        server = Server(programs, folder, free_port(), user)
        with (folder / "data" / "postgresql.conf").open("a") as conf:
            conf.write(_CONF.format(port=server.port))
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
