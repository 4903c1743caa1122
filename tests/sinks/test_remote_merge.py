from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scraper.sinks import remote
from scraper.sinks.contract import load
from scraper.sinks.remote import RemoteParts
from scraper.sinks.remote_store import Store
from tests.contracts.sink import FINISHING, SINK_OF_MINE
from tests.sinks.remote_servers import Remote
from tests.sinks.test_parts import Cut, concatenate

pytestmark = pytest.mark.service


def test_a_merge_that_is_cut_off_is_completed_by_the_next_start(
    place: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it ends, before and after each thing that it does to the store, the next prepare leaves each row once."""

    def parts(at: str, store: Store | None = None) -> RemoteParts:
        found = remote.parts_for(str(tmp_path / at), "txt", **next(iter(place.spec("x").values())))
        assert isinstance(found, RemoteParts)
        found._store = store or found._store  # one connection for all
        return found

    store = parts("r")._store

    at = 0
    while True:
        began = parts(f"r{at}", store)
        began.prepare()
        for n in range(3):
            began.add(f"b{n}", lambda path, n=n: path.write_text(f"{n}\n"))
        with monkeypatch.context() as patch:
            done = cut_at(patch, at)
            try:
                began.merge(concatenate)
            except Cut:
                pass
            else:
                assert done[0] == at
                break
        again = parts(f"r{at}", store)
        again.prepare()
        files = {name: data for name, data in place.files().items() if name.startswith(f"r{at}/")}
        assert sorted(b"".join(files.values()).split()) == [b"0", b"1", b"2"], (at, files)
        again.merge(concatenate)
        names = [name for name in place.files() if name.startswith(f"r{at}")]
        assert sorted(names) == [f"r{at}.txt.manifest.json", f"r{at}/data-001-00000.txt"], at
        at += 1
    store.close()
    assert at >= 12  # moments at which it was cut


def cut_at(patch: pytest.MonkeyPatch, at: int) -> list[int]:
    """The store stops before its ``at``-th change (even) or right after it (odd). Returns the count of both."""
    done = [0]

    def cutting(deed: Callable[..., Any]) -> Callable[..., Any]:
        def change(self: Store, *arguments: Any) -> None:
            if deed is Store.remove and not arguments[0]:
                return
            for moment in ("before", "after"):
                if done[0] == at:
                    raise Cut
                done[0] += 1
                if moment == "before":
                    deed(self, *arguments)

        return change

    for name in ("put", "move", "remove"):
        patch.setattr(Store, name, cutting(getattr(Store, name)))
    return done


@pytest.mark.timeout(240)
def test_a_merge_killed_at_any_moment_loses_and_doubles_nothing(place: Remote, tmp_path: Path) -> None:
    """SIGKILL, all over the time that it takes; the next start makes it good."""
    spec, chance = place.spec("jsonl"), random.Random(7)
    expected: list[str] = []
    longest_s = 0.5
    for round_ in range(9):
        sink = load(spec, str(tmp_path / "out"), os.environ)
        sink.prepare()
        for n in range(6):
            sink.commit(
                f"{round_}-{n}", [{"_key": f"{round_}/{n}/{k}", "text": "x" * 500} for k in range(20)]
            )
            expected += [f"{round_}/{n}/{k}" for k in range(20)]
        sink.close()
        code = SINK_OF_MINE.format(spec=spec, folder=str(tmp_path / "out")) + FINISHING
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"go\n"
            began_s = time.monotonic()
            if round_ == 0:
                process.wait(60)  # how long the whole takes
                longest_s = time.monotonic() - began_s
            time.sleep(chance.uniform(0, longest_s) if round_ else 0)
            process.kill()
        sink = load(spec, str(tmp_path / "out"), os.environ)
        sink.prepare()
        sink.close()
        assert sorted(row["_key"] for row in place.rows()) == sorted(expected), round_
    sink.finish()
    sink.close()
    assert sorted(row["_key"] for row in place.rows()) == sorted(expected)


def test_a_part_that_a_dead_worker_put_after_the_merge_is_removed(place: Remote, tmp_path: Path) -> None:
    """A request on its way outlives its sender; the manifest tells that the batch is in the files already."""
    sink = load(place.spec("jsonl"), str(tmp_path / "out"), os.environ)
    sink.prepare()
    sink.commit("b0", [{"_key": "a"}])
    sink.finish()
    late = RemoteParts(sink._parts._store._place, str(tmp_path / "out"), "jsonl")  # type: ignore[attr-defined]  # its parts
    late._write("out/part-b0.jsonl", b'{"_key":"a"}\n')
    late.close()
    assert len(place.rows()) == 2
    sink.finish()
    sink.close()
    assert place.rows() == [{"_key": "a"}]


def test_a_journal_whose_files_are_not_there_replaces_nothing(place: Remote, tmp_path: Path) -> None:
    """It came from a process that was dead already when the next start cleaned up behind it."""
    sink = load(place.spec("jsonl"), str(tmp_path / "out"), os.environ)
    sink.prepare()
    sink.commit("b0", [{"_key": "a"}])
    parts = sink._parts  # type: ignore[attr-defined]  # of a file sink
    journal = {"files": {"data-001-00000.jsonl": 13}, "replaced": ["part-b0.jsonl"], "batches": ["b0"]}
    parts._write("out.jsonl.merge.json", json.dumps(journal).encode())
    sink.prepare()
    sink.close()
    assert list(place.files()) == ["out/part-b0.jsonl"]
