"""I/O. Memory: rows kept in this object, for tests; in worker processes they go with them: a dry run."""

from __future__ import annotations

from scraper.sinks.contract import Row, check


class MemorySink:
    """``batches`` is batch id -> rows."""

    name = "memory"
    preload: tuple[str, ...] = ()
    folder = ""

    def __init__(self, out_dir: str) -> None:
        self.batches: dict[str, list[Row]] = {}

    def prepare(self) -> None:
        pass

    def commit(self, batch_id: str, rows: list[Row]) -> None:
        for row in rows:
            check(row)
        self.batches.setdefault(batch_id, list(rows))

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass
