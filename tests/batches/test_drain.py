from __future__ import annotations

import asyncio
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scraper.batches import drain
from scraper.batches.spool import Spool
from tests.batches.conftest import ROOT
from tests.batches.harness import Run, payload


def left_behind(folder: Path, n: int, sink: str = "jsonl") -> Run:
    """The folder of a run whose crawler died after ``n`` items."""
    job = {"steps": ["tests.batches.poison.number"], "sink": sink, "out_dir": str(folder / "out")}
    spool = Spool(folder / "run" / "spool", {"job": job})
    for number in range(n):
        spool.append(payload({"n": number, "do": "raise" if number == 3 else None}))
    spool.close()
    return Run(folder)


def test_it_delivers_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, the counts, everything in the store, and nothing to do the second time."""
    run = left_behind(tmp_path, 250)
    assert drain.main([str(tmp_path / "run"), "--workers", "1"]) == 1  # a dead letter came of it
    assert capsys.readouterr().out == "250 items in the spool: 249 stored, 1 dead letter, 0 dropped\n"
    assert len(run.numbers()) == 249
    assert drain.main([str(tmp_path / "run"), "--workers", "0"]) == 0
    assert capsys.readouterr().out.startswith("0 items")
    assert len(run.numbers()) == 249
    assert len(run.letters()) == 1


def test_it_says_why_it_cannot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1: something stays in the spool, with the reason; 2: no spool there, or it is in use."""
    left_behind(tmp_path, 5, sink="tests.batches.misbehaving.OnlyInTheCrawler")
    assert drain.main([str(tmp_path / "run"), "--workers", "1"]) == 1
    assert "a library is missing; 5 items wait" in capsys.readouterr().err
    assert drain.main([str(tmp_path / "nothing")]) == 2
    assert "holds no spool" in capsys.readouterr().err


def test_a_merge_that_was_cut_off_is_completed(tmp_path: Path) -> None:
    """A run that was killed while its sink finished: all is in the store, drain makes it one file."""
    run = left_behind(tmp_path, 9)
    delivery = run.delivery()

    async def deliver_without_finish() -> None:
        await delivery.open()
        while delivery.unfinished:
            await asyncio.sleep(0.01)
        await delivery._pool.stop()
        delivery._log.close()

    asyncio.run(deliver_without_finish())
    assert [path.name[:5] for path in (tmp_path / "out").iterdir()] == ["part-"]
    assert drain.main([str(tmp_path / "run"), "--workers", "1"]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["data-001-00000.jsonl"]


def test_workers_start_inside_an_egg(tmp_path: Path) -> None:
    """Deployed as a zip on sys.path, the workers run the code of the zip, wherever the process was started."""
    egg = tmp_path / "project.egg"
    with zipfile.ZipFile(egg, "w") as archive:
        for path in (*(ROOT / "scraper").rglob("*.py"), ROOT / "tests" / "batches" / "poison.py"):
            archive.write(path, path.relative_to(ROOT))
        archive.writestr(
            "whence.py",
            "import scraper\ndef step(row):\n    row['file'] = scraper.__file__\n    return row\n",
        )
    run = left_behind(tmp_path, 10)
    about = tmp_path / "run" / "spool" / "spool.json"
    about.write_text(about.read_text().replace("tests.batches.poison.number", "whence.step"))
    program = f"import sys; sys.path.insert(0, {str(egg)!r}); from scraper.batches import drain; sys.exit(drain.main())"
    command = [sys.executable, "-c", program, str(tmp_path / "run"), "--workers", "1"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {row["file"] for row in run.rows()} == {f"{egg}/scraper/__init__.py"}
