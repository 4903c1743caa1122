"""I/O. Which run is meant: by its id, the beginning of it, or its folder."""

from __future__ import annotations

import difflib
from pathlib import Path

from scraper.batches import dead_letters
from scraper.batches.afterwards import standing
from scraper.errors import ConfigError


def run_dir(name: str, data_dir: Path, *, any_folder: bool = False) -> Path:
    """The folder of the run; with ``any_folder`` one that is no run's will do. ConfigError names the nearest ones if there is none,
    or several begin so.
    """
    runs = data_dir / "runs"
    if not name.strip():
        raise ConfigError("RUN", name, "is empty; write a run's id or folder")
    for folder in (Path(name),) if name in (".", "..") else (runs / name, Path(name)):
        if _is_run(folder) or (any_folder and folder.is_dir()):
            return folder.absolute()
    if Path(name).is_dir():
        raise ConfigError("RUN", name, "is a folder, but no run's: it has no spool/ with spool.json")
    known = sorted(path.name for path in runs.glob("*") if path.is_dir())
    begin_so = [other for other in known if other.startswith(name)]
    if len(begin_so) == 1:
        return (runs / begin_so[0]).absolute()
    if begin_so:
        raise ConfigError("RUN", name, f"{len(begin_so)} runs begin so: {_few(begin_so)}")
    near = difflib.get_close_matches(name, known, 3, 0.5)
    there = (
        f"did you mean {_few(near)}?"
        if near
        else f"there are {_few(known)}"
        if known
        else "there is none yet"
    )
    raise ConfigError("RUN", name, f"no such run in {runs}; {there}")


def with_storage(data_dir: Path) -> list[Path]:
    """The folders of all runs that have stored, or tried to, in the order in which they began."""
    found = [path for path in (data_dir / "runs").glob("*") if _has_stored(path)]
    return sorted((path.absolute() for path in found), key=lambda path: (_began_ns(path), path.name))


def _has_stored(path: Path) -> bool:
    return (path / standing.SPOOL / "spool.json").exists() or (path / dead_letters.FILE).exists()


def _is_run(path: Path) -> bool:
    signs = (
        "claimed",
        f"{standing.SPOOL}/ledger.jsonl",
    )  # a run that stored nothing; a spool whose spool.json is lost
    return _has_stored(path) or any((path / sign).exists() for sign in signs)


def _began_ns(path: Path) -> int:
    for name in ("claimed", standing.SPOOL):  # the first is written once, when the run takes its folder
        if (path / name).exists():
            return (path / name).stat().st_mtime_ns
    return 0


def _few(names: list[str]) -> str:
    return ", ".join(names[-5:]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
