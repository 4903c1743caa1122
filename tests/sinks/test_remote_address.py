from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from scraper.errors import ConfigError
from scraper.sinks.contract import load
from scraper.sinks.remote_address import place


@pytest.mark.parametrize(
    ("to", "url"),
    [
        ("s3://bucket", "s3://bucket/run-1"),
        ("s3://bucket/shop/", "s3://bucket/shop/run-1"),
        ("gs://bucket/{run}/raw", "gs://bucket/run-1/raw"),
        ("gs://bucket/{run}/", "gs://bucket/run-1"),
        (
            "abfs://box@account.dfs.core.windows.net/shop",
            "abfs://box@account.dfs.core.windows.net/shop/run-1",
        ),
        ("sftp://user@host:2222/srv/shop", "sftp://user@host:2222/srv/shop/run-1"),
        ("file:///srv/shop", "file:///srv/shop/run-1"),
    ],
)
def test_each_run_has_a_folder_of_its_own(to: str, url: str) -> None:
    """Below the address, or where ``{run}`` stands in it."""
    assert place(to, {}, "run-1", {}).url == url


@pytest.mark.parametrize(
    ("to", "storage", "words"),
    [
        ("ftp://host/x", {}, "begins with one of s3://, gs://"),
        ("/srv/shop", {}, "begins with one of"),
        ("s3:///x", {}, "write s3://bucket/folder"),
        ("s3://{run}", {}, "write s3://bucket/folder"),
        ("file://srv/shop", {}, "file:///folder"),
        ("s3://bucket/a*", {}, r"'\*' cannot be in"),
        ("s3://bucket/a/../b", {}, "cannot be in"),
        ("s3://bucket/{name}", {}, "'{' cannot be in"),
        ("sftp://user:example@host/x", {}, "holds a password"),
        ("s3://bucket", "key=1", "options of fsspec"),
        ("s3://bucket", {"secret": "example"}, 'write {"secret": "env:NAME"}'),
        ("az://box", {"connection_string": "example"}, 'write {"connection_string": "env:NAME"}'),
        (
            "s3://bucket",
            {"client_kwargs": {"aws_session_token": "example"}},
            "aws_session_token into a variable",
        ),
        ("gs://bucket", {"token": {"private_key": "example"}}, "token into a variable"),
        ("s3://bucket", {"secret": "env:NONE"}, "the environment has no NONE; storage: secret"),
        ("file:///srv", {"x": 1}, "has no options"),
    ],
)
def test_a_wrong_address_or_option_stops_the_start(to: str, storage: Any, words: str) -> None:
    """The error says the way out, and no secret."""
    with pytest.raises(ConfigError, match=words) as error:
        place(to, storage, "run-1", {})
    assert "example" not in str(error.value)


def test_options_come_from_the_environment_at_any_depth() -> None:
    """And what came from there is known as secret, and in no repr."""
    environment = {"A": "example-a", "B": "example-b"}
    found = place(
        "s3://b",
        {"secret": "env:A", "client_kwargs": {"x": "env:B", "y": 1}, "anon": False},
        "r",
        environment,
    )
    assert found.storage == {
        "secret": "example-a",
        "client_kwargs": {"x": "example-b", "y": 1},
        "anon": False,
    }
    assert sorted(found.secrets) == ["example-a", "example-b"]
    assert "example" not in repr(found)


@pytest.mark.parametrize("token", ["anon", "cloud", "/etc/keys/robot.json"])
def test_what_is_no_secret_may_stand_in_the_setting(token: str) -> None:
    """gcsfs's token may be a word or the path of a key."""
    assert place("gs://b", {"token": token}, "r", {}).storage == {"token": token}


@pytest.mark.parametrize(
    ("to", "module", "extra"),
    [
        ("s3://b", "s3fs", "s3"),
        ("gs://b", "gcsfs", "gcs"),
        ("abfs://b", "adlfs", "azure"),
        ("sftp://h/b", "paramiko", "sftp"),
    ],
)
def test_a_missing_library_stops_the_start_and_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, to: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"needs {module}: pip install 'scraper\[{extra}\]'"):
        load({"parquet": {"to": to}}, "data/out/run-1", {})


def test_storage_without_a_place_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="is for another place"):
        load({"jsonl": {"storage": {"anon": True}}}, "x", {})


def test_a_folder_of_this_machine_can_be_an_address(tmp_path: Path) -> None:
    """``file://`` is as durable as the run's own folder: fsynced and renamed."""
    sink = load({"jsonl": {"to": f"file://{tmp_path}/shop"}}, "data/out/run-1", {})
    sink.prepare()
    sink.commit("b", [{"n": 1}])
    sink.finish()
    assert (tmp_path / "shop" / "run-1" / "data-001-00000.jsonl").read_text() == '{"n":1}\n'
