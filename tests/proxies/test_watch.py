"""A change of the file of pools, or of a file it names, is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scraper.proxies.watch import stamp

POOLS = """
[pools.dc]
file = "dc.txt"
[pools.home]
provider = "own.toml"
password_file = "secret/home"
[pools.known]
provider = "oxylabs"
"""


@pytest.fixture
def pools(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    for name in ("dc.txt", "own.toml", "secret/home"):
        (tmp_path / name).write_text("one\n")
    (tmp_path / "proxies.toml").write_text(POOLS)
    return tmp_path / "proxies.toml"


def test_nothing_changed_is_nothing_new(pools: Path) -> None:
    assert stamp(str(pools)) == stamp(str(pools))


@pytest.mark.parametrize("name", ["proxies.toml", "dc.txt", "own.toml", "secret/home"])
def test_every_file_that_the_pools_are_made_of_is_watched(pools: Path, name: str) -> None:
    before, file = stamp(str(pools)), pools.parent / name
    file.write_text(file.read_text() + "\n")
    changed = stamp(str(pools))
    assert changed != before
    os.utime(file, ns=(1, 1))
    assert stamp(str(pools)) != changed, "of the same size, written at another time"
    file.unlink()
    assert stamp(str(pools)) not in (before, changed)


def test_a_file_that_is_wrong_or_half_written_stops_nothing_and_is_new_when_it_is_right_again(
    pools: Path,
) -> None:
    right = stamp(str(pools))
    for text in ("[pools.dc\n", "pools = 3\n", "[pools]\nhome = 3\n", ""):
        pools.write_text(text)
        assert stamp(str(pools)) != right
    pools.write_bytes(b"\xff\xfe")
    assert stamp(str(pools)) != right
    pools.unlink()
    assert stamp(str(pools)) == ((str(pools), -1, -1),)
