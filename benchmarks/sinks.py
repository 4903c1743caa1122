"""Rows per second into each sink, beside Scrapy's own exporters, on the same rows.

    python -m benchmarks.sinks [--rows 2500] [--batch 100] [--runs 3]

The rows are pages of Debian's python3-doc cut into pieces of about 3 kB, with the fields of a shop around them: 14 typed
fields, about 3.7 kB of JSON, no text twice. Sinks commit durable batches, one process, as a worker does; "merge" is finish(),
once at the end. Scrapy's exporters write one file and sync nothing. Sizes are what lies there in the end, to that of the
rows as JSON. PostgreSQL is started for it; executemany is the same rows in the same transactions without COPY, once as the
server is installed and once with lz4 for long texts, as the sink asks for. Prints the median of the runs, which take turns;
the bars also from the quickest run of each, as what else the machine does slows a durable sink (it waits for the disk and for
the server) more than an exporter.

The bars: Parquet at least 0.7 x the JSON Lines exporter at 0.36 x its size at most; COPY at least 1.3 x executemany.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from psycopg.types.json import Jsonb
from resiliparse.extract.html2text import extract_plain_text
from scrapy.exporters import BaseItemExporter, CsvItemExporter, JsonLinesItemExporter, XmlItemExporter

from scraper.sinks.contract import Row, load
from tests.services import python_docs
from tests.sinks.postgres_server import Server, running

PIECE = 3000  # characters
Measured = tuple[
    float, float, float, int
]  # seconds of wall and of CPU for all commits, seconds of finish(), bytes
Way = Callable[[list[list[Row]], Path], Measured]


def rows_of(n: int) -> list[Row]:
    chance = random.Random(1)
    texts: list[str] = []
    for path in sorted(python_docs().rglob("*.html")):
        text = extract_plain_text(path.read_text("utf-8"), main_content=True)
        texts += (text[at : at + PIECE] for at in range(0, len(text) - PIECE, PIECE))
        if len(texts) >= n:
            break
    start = datetime(2026, 1, 2, 3, tzinfo=UTC)
    return [
        {
            "_key": f"shop-20260102T030405Z-1a2b/{chance.randbytes(20).hex()}/0",
            "_url": f"https://shop.example/p/{chance.randrange(10**8)}?from=list",
            "_scraped_at": start + timedelta(milliseconds=7 * at),
            "_type": "Product",
            "site": "shop.example",
            "sku": f"{chance.randrange(10**8):08}",
            "title": text[:60],
            "price": round(chance.uniform(1, 500), 2),
            "currency": "EUR",
            "in_stock": chance.random() < 0.8,
            "rating": chance.randrange(1, 6),
            "tags": chance.sample(["red", "blue", "new", "sale", "shoe", "table"], 2),
            "links": [f"https://shop.example/p/{chance.randrange(10**8)}" for _ in range(10)],
            "description": text,
        }
        for at, text in enumerate(texts[:n])
    ]


def sink(spec: Any, batches: list[list[Row]], folder: Path) -> Measured:
    to = load(spec, str(folder), {})
    to.prepare()
    to.commit("warm", batches[0])  # imports, connections, columns
    wall, cpu = time.perf_counter(), time.process_time()
    for n, batch in enumerate(batches):
        to.commit(f"b{n:06}", batch)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    started = time.perf_counter()
    to.finish()
    to.close()
    merged = time.perf_counter() - started
    size = sum(path.stat().st_size for path in folder.iterdir()) if folder.exists() else 0
    return wall, cpu, merged, size


def exporter(kind: type[BaseItemExporter], batches: list[list[Row]], folder: Path) -> Measured:
    folder.mkdir()
    wall, cpu = time.perf_counter(), time.process_time()
    with (folder / "items").open("wb") as file:
        export = kind(file)
        export.start_exporting()
        for batch in batches:
            for row in batch:
                export.export_item(row)
        export.finish_exporting()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall, cpu, 0.0, (folder / "items").stat().st_size


def executemany(server: Server, compression: str, batches: list[list[Row]], folder: Path) -> Measured:
    """The same table, transactions and rows as the sink's, row by row (psycopg sends them in a pipeline)."""
    names = list(batches[0][0])
    table = f"t_{uuid.uuid4().hex[:12]}"
    to = load({"postgres": {"table": table, "url": "env:U"}}, "", {"U": server.url})
    to.prepare()
    to.commit("warm", batches[0])  # makes the columns
    to.close()
    listed, marks = ", ".join(f'"{name}"' for name in names), ", ".join(["%s"] * len(names))
    json = {"tags", "links"}
    with psycopg.connect(server.url, autocommit=True) as connection, connection.cursor() as cursor:
        connection.execute(f"SET default_toast_compression = {compression}")
        wall, cpu = time.perf_counter(), time.process_time()
        for n, batch in enumerate(batches):
            with connection.transaction():
                connection.execute(f"INSERT INTO {table}_batches VALUES (%s, %s)", (f"b{n}", len(batch)))
                cursor.executemany(
                    f"INSERT INTO {table} ({listed}) VALUES ({marks})",
                    [
                        [Jsonb(v, msgspec.json.encode) if name in json else v for name, v in row.items()]
                        for row in batch
                    ],
                )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        (size,) = connection.execute("SELECT pg_total_relation_size(%s)", (table,)).fetchone() or (0,)
    return wall, cpu, 0.0, size


def postgres(server: Server, key: list[str], batches: list[list[Row]], folder: Path) -> Measured:
    table = f"t_{uuid.uuid4().hex[:12]}"
    to = load({"postgres": {"table": table, "url": "env:U", "key": key}}, "", {"U": server.url})
    to.prepare()
    to.commit("warm", batches[0])
    wall, cpu = time.perf_counter(), time.process_time()
    for n, batch in enumerate(batches):
        to.commit(f"b{n}", batch)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    to.close()
    ((size,),) = server.query(f"SELECT pg_total_relation_size('{table}')")
    return wall, cpu, 0.0, size


def candidates(stack: ExitStack) -> Iterator[tuple[str, Way]]:
    yield "Scrapy JSON Lines exporter, no sync", lambda b, f: exporter(JsonLinesItemExporter, b, f)
    yield "Scrapy CSV exporter, no sync", lambda b, f: exporter(CsvItemExporter, b, f)
    yield "Scrapy XML exporter, no sync", lambda b, f: exporter(XmlItemExporter, b, f)
    for name, spec in {
        "parquet": "parquet",
        "jsonl": "jsonl",
        "jsonl, zstd": {"jsonl": {"compress": "zstd"}},
        "csv": "csv",
        "sqlite": "sqlite",
        "sqlite, synchronous NORMAL": {"sqlite": {"synchronous": "NORMAL"}},
        "sqlite, by key": {"sqlite": {"key": ["site", "sku"]}},
    }.items():
        yield name, lambda b, f, spec=spec: sink(spec, b, f)  # type: ignore[misc]  # a lambda with a default has no type
    server = stack.enter_context(running())
    yield "postgres", lambda b, f: postgres(server, [], b, f)
    yield "postgres, by key", lambda b, f: postgres(server, ["site", "sku"], b, f)
    yield "PostgreSQL with executemany", lambda b, f: executemany(server, "pglz", b, f)
    yield "PostgreSQL with executemany, lz4", lambda b, f: executemany(server, "lz4", b, f)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sinks", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--rows", type=int, default=2500, help="at most about 2,600")
    parser.add_argument("--batch", type=int, default=100, help="rows in a batch")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    rows = rows_of(given.rows)
    raw = sum(len(msgspec.json.encode(row)) + 1 for row in rows)
    batches = [rows[at : at + given.batch] for at in range(0, len(rows), given.batch)]
    print(
        f"{len(rows)} rows of {raw / len(rows):.0f} bytes as JSON, batches of {given.batch}, {given.runs} runs\n"
    )
    measured: dict[str, list[Measured]] = {}
    with ExitStack() as stack:
        ways = list(candidates(stack))
        for _ in range(given.runs):
            for name, way in ways:
                folder = Path(tempfile.mkdtemp(prefix="sinks-"))
                measured.setdefault(name, []).append(way(batches, folder / "out"))
                shutil.rmtree(folder)
    print("| sink | rows/s | to the JSON Lines exporter | CPU us/row | size | merge s |")
    print("|---|---|---|---|---|---|")
    middle = {
        name: [statistics.median(column) for column in zip(*runs, strict=True)]
        for name, runs in measured.items()
    }
    baseline = middle["Scrapy JSON Lines exporter, no sync"]
    for name, (wall, cpu, merged, size) in middle.items():
        print(
            f"| {name} | {len(rows) / wall:,.0f} | {baseline[0] / wall:.2f} x | {cpu / len(rows) * 1e6:.0f} "
            f"| {size / raw:.2f} | {merged:.2f} |"
        )
    size = middle["parquet"][3] / baseline[3]
    quickest = {name: min(wall for wall, *_ in runs) for name, runs in measured.items()}
    for of, wall in (
        ("median", {name: found[0] for name, found in middle.items()}),
        ("quickest run", quickest),
    ):
        faster = wall["Scrapy JSON Lines exporter, no sync"] / wall["parquet"]
        copy, equal = (wall[f"PostgreSQL with executemany{as_}"] / wall["postgres"] for as_ in ("", ", lz4"))
        print(
            f"\n{of}: Parquet {faster:.2f} x the exporter's rows/s (bar 0.7), {size:.2f} x its size (bar 0.36); "
            f"COPY {copy:.2f} x executemany (bar 1.3), {equal:.2f} x with lz4 there, too"
        )


if __name__ == "__main__":
    main()
