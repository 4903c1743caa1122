from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from scraper.errors import SinkError
from scraper.sinks import remote, remote_store
from scraper.sinks.contract import Sink, load
from scraper.sinks.remote import RemoteParts
from tests.batches.harness import Run
from tests.contracts.sink import SinkContract
from tests.sinks import remote_servers
from tests.sinks.remote_servers import BUCKET, S3, SECRET, Remote, Sftp

pytestmark = pytest.mark.service


class TestJsonlAtS3(SinkContract):
    @pytest.fixture(autouse=True)
    def _server(self, s3: S3) -> None:
        self.server: S3 | Sftp = s3

    def spec(self, folder: Path) -> Any:
        return Remote(self.server, folder).spec("jsonl")

    def read(self, sink: Sink, folder: Path) -> list[dict[str, Any]]:
        return Remote(self.server, folder).rows()


class TestParquetOverSftp(TestJsonlAtS3):
    @pytest.fixture(autouse=True)
    def _server(self, sftp: Sftp) -> None:
        self.server = sftp

    def spec(self, folder: Path) -> Any:
        return Remote(self.server, folder).spec("parquet")


@pytest.mark.parametrize("sink", ["parquet", "csv", "jsonl"])
def test_a_run_ends_with_one_file_and_a_manifest_beside_its_folder(
    place: Remote, sink: str, tmp_path: Path
) -> None:
    """The folder holds nothing but data, and nothing of it stays on this machine."""
    stored = load(place.spec(sink), str(tmp_path / "out"), os.environ)
    stored.prepare()
    for n in range(3):
        stored.commit(f"b{n}", [{"n": n}])
    assert sorted(place.files()) == [f"out/part-b{n}.{sink}" for n in range(3)]
    stored.finish()
    stored.commit("b1", [{"n": 1}])  # comes again, and the manifest knows it
    stored.close()
    files = place.files()
    assert sorted(files) == [f"out.{sink}.manifest.json", f"out/data-001-00000.{sink}"]
    manifest = json.loads(files[f"out.{sink}.manifest.json"])
    assert manifest == {
        "files": {f"data-001-00000.{sink}": len(files[f"out/data-001-00000.{sink}"])},
        "batches": ["b0", "b1", "b2"],
    }
    assert list(tmp_path.iterdir()) == []


def test_workers_store_there_over_the_death_of_one(place: Remote, tmp_path: Path) -> None:
    """Forked from a server that has the libraries: each makes its own connections. Item 7 kills its worker once."""
    died = tmp_path / "died"
    run = Run(tmp_path, sink=place.spec("jsonl"), workers=2, items=5)  # type: ignore[arg-type]  # as SINK may say it
    rows = ({"n": n, "do": "kill_once" if n == 7 else None, "flag": str(died)} for n in range(100))
    run.deliver(rows)
    assert run.failures == []
    assert died.exists()
    assert sorted(row["n"] for row in place.rows()) == list(range(100))
    assert [name for name in place.files() if name.startswith("out/")] == ["out/data-001-00000.jsonl"]


def test_over_sftp_nobody_sees_half_a_part(sftp: Sftp, tmp_path: Path) -> None:
    """Another process that lists the folder all the time finds whole files only."""
    place = Remote(sftp, tmp_path / "out")
    parts = remote.parts_for(str(tmp_path / "out"), "bin", **next(iter(place.spec("x").values())))
    parts.prepare()
    seen, stop = set(), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.update(path.stat().st_size for path in (sftp.root / place.name / "out").iterdir())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for n in range(5):
            parts.add(f"b{n}", lambda path: path.write_bytes(b"x" * 8_000_000))
    finally:
        stop.set()
        watcher.join()
        parts.close()
    assert seen == {8_000_000}


def test_a_large_file_goes_to_s3_in_pieces(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is never in memory as a whole."""
    monkeypatch.setitem(remote_store._PUT, "s3fs", {"chunksize": 5 << 20, "max_concurrency": 2})
    place = Remote(s3, tmp_path / "out")
    parts = remote.parts_for(str(tmp_path / "out"), "bin", **next(iter(place.spec("x").values())))
    assert isinstance(parts, RemoteParts)
    parts.prepare()
    data = random.Random(3).randbytes(12 << 20)
    parts.add("b0", lambda path: path.write_bytes(data))
    about = parts._store.info("out/part-b0.bin")
    parts.close()
    assert about is not None
    assert about["ETag"].strip('"').endswith("-3")
    assert place.files() == {"out/part-b0.bin": data}


def test_a_store_that_gives_no_answer_is_an_error_in_time_and_can_be_tried_again(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Remote(s3, tmp_path / "out")
    sink = load(place.spec("jsonl"), str(tmp_path / "out"), os.environ)
    sink.prepare()
    sink.commit("b0", [{"_key": "a"}])
    s3.process.send_signal(signal.SIGSTOP)
    try:
        monkeypatch.setattr(remote, "ADD_S", 1.0)
        began_s = time.monotonic()
        with pytest.raises(
            OSError, match=rf"s3://{BUCKET}/{place.name}/out: TimeoutError: no answer within 1 s"
        ):
            sink.commit("b1", [{"_key": "b"}])
        assert time.monotonic() - began_s < 10
    finally:
        s3.process.send_signal(signal.SIGCONT)
        monkeypatch.undo()
    sink.commit("b1", [{"_key": "b"}])
    sink.close()
    assert sorted(row["_key"] for row in place.rows()) == ["a", "b"]


def test_a_connection_that_is_cut_is_an_error_and_the_next_try_makes_a_new_one(tmp_path: Path) -> None:
    """As over a restart of the server."""
    keys = tmp_path / "keys"
    keys.mkdir()
    with remote_servers.sftp(keys) as server:
        place = Remote(server, tmp_path / "out")
        sink = load(place.spec("jsonl"), str(tmp_path / "out"), os.environ)
        sink.prepare()
        sink.commit("b0", [{"_key": "a"}])
        remote_servers.end_connections(server)
        with pytest.raises(OSError, match=r"^sftp://"):
            sink.commit("b1", [{"_key": "b"}])
        sink.commit("b1", [{"_key": "b"}])
        sink.close()
        assert sorted(row["_key"] for row in place.rows()) == ["a", "b"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"to": "s3://no-such-bucket/x"}, r"s3://no-such-bucket/x/out: .*bucket"),
        ({"endpoint_url": "http://127.0.0.1:9"}, r"s3://records/.*/out: .*127.0.0.1:9"),
        ({"no_such_option": "env:S3_SECRET"}, r"s3://records/.*no_such_option"),
    ],
)
def test_a_place_that_cannot_be_written_stops_the_start(
    s3: S3, tmp_path: Path, changed: dict[str, str], words: str
) -> None:
    """SinkError names it, and no secret is in the text or in what led to it."""
    ((_, options),) = Remote(s3, tmp_path / "out").spec("jsonl").items()
    if "to" in changed:
        options["to"] = changed["to"]
    else:
        options["storage"] = options["storage"] | changed
    sink = load({"jsonl": options}, str(tmp_path / "out"), os.environ)
    with pytest.raises(SinkError, match=words) as error:
        sink.prepare()
    sink.close()
    assert SECRET not in str(error.value)
    assert error.value.__suppress_context__
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_known_is_not_talked_to(sftp: Sftp, tmp_path: Path) -> None:
    """Another one could have taken its address: it would get the records, and may be the password."""
    ((_, options),) = Remote(sftp, tmp_path / "out").spec("jsonl").items()
    (tmp_path / "known_hosts").write_text("")
    options["storage"] = options["storage"] | {"known_hosts": str(tmp_path / "known_hosts")}
    sink = load({"jsonl": options}, str(tmp_path / "out"), os.environ)
    with pytest.raises(SinkError, match="not found in known_hosts"):
        sink.prepare()
