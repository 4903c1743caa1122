"""Servers that file sinks store at, one of each for a module of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sinks import remote_servers
from tests.sinks.remote_servers import S3, Remote, Sftp


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with remote_servers.s3() as server:
        yield server


@pytest.fixture(scope="module")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sftp]:
    with remote_servers.sftp(tmp_path_factory.mktemp("sftp")) as server:
        yield server


@pytest.fixture(params=["s3", "sftp"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    return Remote(request.getfixturevalue(request.param), tmp_path / "out")
