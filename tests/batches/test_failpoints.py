"""benchmarks/kills.py --failpoints in small: some of the steps that last, drawn by a seed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.campaign import FILES, Place
from benchmarks.failpoints import FLIGHT, MERGE, Figures, Scene, compiled
from tests.services import find_program

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    find_program("cc", "gcc libc6-dev")
    return compiled(tmp_path_factory.mktemp("failpoints"))


@pytest.mark.parametrize(
    ("sink", "role", "first", "steps", "of"),
    [
        ("jsonl", "crawler", None, 4, 50),
        ("jsonl", "crawler", FLIGHT, 2, 25),
        ("jsonl", "crawler", MERGE, 2, 20),
        ("sqlite", "worker", None, 4, 40),
        ("parquet", "all", None, 2, 30),
    ],
)
def test_a_death_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path,
    library: Path,
    sink: str,
    role: str,
    first: tuple[str, str, str] | None,
    steps: int,
    of: int,
) -> None:
    """Before, in the middle of and after it; the crawler, a worker, or both; also in a start that takes over from a death."""
    scene = Scene(Place(tmp_path / "place", FILES[sink]), library, sink, role, first)
    figures = Figures()
    scene.points(figures, iter(sorted(random.Random(sink + role).sample(range(of), steps))))
    assert figures.wrong == []
    assert figures.kills >= 2 * steps


def test_no_third_worker_dies_over_an_item(tmp_path: Path, library: Path) -> None:
    """The crawler dies when two deaths over it are written down and nothing has been done about it yet."""
    scene = Scene(Place(tmp_path / "place", FILES["jsonl"]), library, "jsonl", "crawler")
    step, wrong = scene.kill_at("create run/dead_letters.jsonl", "before")
    assert step
    assert wrong == ""


def test_a_run_that_has_no_such_step_is_not_killed(tmp_path: Path, library: Path) -> None:
    """So that the full form ends, and a kill that was meant to be is one."""
    scene = Scene(Place(tmp_path / "place", FILES["jsonl"]), library, "jsonl", "crawler")
    assert scene.kill_at(100_000, "before") == ("", "")
