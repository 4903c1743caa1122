"""I/O. When each pool was last seen at a site, from the file of what was learned; it is read only, and may be in use."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def last_seen(path: Path, site: str) -> dict[str, float]:
    """Return the Unix time of the newest observation of each pool at ``site``; {} where there is none.

    Raises sqlite3.Error where the file is none of ours.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        found = database.execute("SELECT name, at_s FROM beliefs WHERE kind = 'pool' AND site = ?", (site,))
        return {str(name): float(at_s) for name, at_s in found}
