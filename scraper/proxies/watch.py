"""I/O. Whether the file of pools, or a file that it names, was changed."""

from __future__ import annotations

import tomllib
from pathlib import Path

Stamp = tuple[tuple[str, int, int], ...]
_NAMED = ("file", "password_file", "provider")  # keys of a pool whose value may be a file


def stamp(path: str) -> Stamp:
    """Return name, size and time of change of each file; a file that cannot be read counts as (name, -1, -1)."""
    folder = Path(path).parent
    try:
        pools = tomllib.loads(Path(path).read_text(encoding="utf-8")).get("pools")
    except (OSError, ValueError):
        pools = None
    entries = (
        [entry for entry in pools.values() if isinstance(entry, dict)] if isinstance(pools, dict) else []
    )
    named = [folder / str(entry[key]) for entry in entries for key in _NAMED if key in entry]
    return tuple(_of(file) for file in [Path(path), *named])


def _of(file: Path) -> tuple[str, int, int]:
    try:
        found = file.stat()
    except OSError:
        return (str(file), -1, -1)
    return (str(file), found.st_size, found.st_mtime_ns)
