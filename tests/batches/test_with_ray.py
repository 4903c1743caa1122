"""Skipped where Ray is missing: it is an extra, and brings 250 MB."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from scraper.batches import spool, wire, worker
from scraper.batches.afterwards import archive, with_ray
from scraper.errors import ConfigError
from tests.batches.conftest import ROOT
from tests.batches.test_rerun import archive as kept_by_a_run
from tests.batches.test_rerun import begun

HAS_RAY = importlib.util.find_spec("ray") is not None
PROGRAM = """
import sys
from pathlib import Path
from scraper.batches.afterwards import with_ray
counts, failure = with_ray.run(Path(sys.argv[1]), workers=2)
print("RESULT", counts["batches/recovered"], counts["batches/stored"], counts["batches/dead_letter"], failure)
"""


def with_program(run_dir: Path) -> str:
    """In a process of its own, since Ray leaves threads and sockets in ours."""
    command = [sys.executable, "-c", PROGRAM, str(run_dir)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr[-3000:]
    (result,) = (line for line in done.stdout.splitlines() if line.startswith("RESULT "))  # Ray prints, too
    return result.removeprefix("RESULT ").strip()


@pytest.mark.skipif(HAS_RAY, reason="Ray is here")
def test_without_ray_the_error_names_the_extra(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"scraper\[ray\]"):
        with_ray.run(tmp_path, workers=1)


@pytest.mark.skipif(not HAS_RAY, reason="ray is not installed")
@pytest.mark.timeout(300)
def test_ray_does_what_is_left_once(tmp_path: Path) -> None:
    """A batch that another process stored and had no time to write down is not stored twice; a damaged record is a letter."""
    kept = kept_by_a_run(tmp_path / "old", 450)
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 1
    kept.write_bytes(data)
    run = begun(tmp_path / "new", [kept])
    folder = run.folder / "run" / "spool"
    log = archive.Archive(folder)
    first = log.recovered[0]
    log.close()
    order = wire.Order(1, first.id, first.path, first.start, first.end, first.n, [])
    (run.folder / "run" / "records").mkdir()
    worker.Runner(msgspec.convert(spool.about(folder)["job"], worker.Job)).deliver(order, lambda index: None)
    assert len(run.numbers()) == 100
    assert with_program(run.folder / "run") == "450 449 1"
    assert len(run.numbers()) == len(set(run.numbers())) == 449
    assert len(run.letters()) == 1
    log = archive.Archive(folder)
    assert log.recovered == []
    log.close()
