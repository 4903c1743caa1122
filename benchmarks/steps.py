"""What each step costs a worker: microseconds of CPU per row, for a page of 10 kB with 3 kB of text.

    python -m benchmarks.steps [--rows 300] [--repeats 5]

The median over repeats, each with its own rows, after one to warm up. The steps that share an index pay for SQLite too:
100 rows a batch, judged, and told that they are stored.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydantic

from scraper.batches import steps

WORDS = (  # noqa: SIM905  # a list of 80 lines says no more
    "the a of and to in is that it was for on are with as his they at be this from have or by one had not but what all were "
    "when we there can an your which their said if do will each about how up out them then she many some so these would other "
    "harbour winter ship stone river lamp market north paper glass bread window letter garden mountain evening silver road"
).split()


class Product(pydantic.BaseModel):
    title: str = pydantic.Field(max_length=500)
    price: str
    published: datetime
    main_text: str = pydantic.Field(min_length=1)


SCHEMA = {
    "type": "object",
    "required": ["title", "price"],
    "properties": {
        "title": {"type": "string", "maxLength": 500},
        "price": {"type": "string"},
        "published": {"type": "string"},
        "main_text": {"type": "string", "minLength": 1},
    },
}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("clean", "clean", {}),
    ("redact, all patterns", "redact", {"patterns": ["email", "phone", "card", "iban", "ipv4"]}),
    ("content_hash", "content_hash", {}),
    ("content_hash, sha256", "content_hash", {"algorithm": "sha256"}),
    ("main_text", "main_text", {"into": "t"}),
    ("main_text, trafilatura", "main_text", {"into": "t", "by": "trafilatura"}),
    ("structured_data", "structured_data", {}),
    ("structured_data, json-ld only", "structured_data", {"syntaxes": ["json-ld"]}),
    ("language", "language", {}),
    ("price", "price", {}),
    ("date, ISO", "date", {"fields": ["published"]}),
    ("date, known text", "date", {"fields": ["known"]}),
    ("date, new text", "date", {"fields": ["new"], "languages": ["en"]}),
    ("date, new text, any language", "date", {"fields": ["new"]}),
    ("schema, JSON Schema", "schema", {"file": "{folder}/schema.json"}),
    ("schema, pydantic", "schema", {"model": "benchmarks.steps.Product"}),
    ("dedupe_exact", "dedupe_exact", {"fields": ["main_text"]}),
    ("dedupe_near", "dedupe_near", {}),
]


def row(number: int) -> steps.Row:
    """A product page that no other is like."""
    chance = random.Random(number)
    paragraphs = [" ".join(chance.choices(WORDS, k=60)) + "." for _ in range(10)]
    moment = datetime.fromtimestamp(1_600_000_000 + number * 86_399, UTC)
    said = {
        "@context": "https://schema.org",
        "@type": "Product",
        "name": f"Lamp {number}",
        "sku": str(number),
    }
    links = "".join(
        f'<li class="nav-item"><a href="/c/{n}" class="nav-link">Category {n}</a></li>' for n in range(60)
    )
    page = (
        f"<!doctype html><html><head><meta charset=utf-8><title>Lamp {number}</title><meta property='og:title' content='Lamp'>"
        f"<script type='application/ld+json'>{json.dumps(said)}</script></head><body><nav><ul>{links}</ul></nav><main><article>"
        f"<h1>Lamp {number}</h1>{''.join(f'<p class=text>{text}</p>' for text in paragraphs)}</article></main>"
        f"<footer>{links[:2000]}</footer></body></html>"
    )
    return {
        "title": f"Lamp {number}",
        "price": f"{chance.randrange(1, 2000)},{chance.randrange(100):02} €",
        "published": moment.isoformat(),
        "known": f"{number % 28 + 1} March 2024",
        "new": f"{moment:%B %d, %Y} {number % 12 + 1}:{number % 60:02} pm",
        "main_text": "\n\n".join(paragraphs),
        "body": page.encode(),
        "_key": f"run/page{number}/0",
        "_url": f"http://shop.example/{number}",
        "_scraped_at": moment,
        "_type": "Product",
    }


def pass_over(step: steps.RowStep | steps.BatchStep, rows: list[steps.Row], batch: str) -> float:
    """Microseconds of CPU per row."""
    began_ns = time.thread_time_ns()
    if isinstance(step, steps.RowStep):
        for one in rows:
            step.run(one)
    else:
        for at in range(0, len(rows), 100):
            looks = {n: step.look(one) for n, one in enumerate(rows[at : at + 100])}
            dropped = step.judge(f"{batch}-{at}", looks)
            step.stored(f"{batch}-{at}", looks.keys() - dropped.keys())
    return (time.thread_time_ns() - began_ns) / 1000 / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    sets = [
        [row(repeat * options.rows + n) for n in range(options.rows)] for repeat in range(options.repeats + 1)
    ]
    sizes = [len(one["body"]) for one in sets[0]], [len(one["main_text"]) for one in sets[0]]
    print(f"page {statistics.mean(sizes[0]):,.0f} bytes, text {statistics.mean(sizes[1]):,.0f} characters\n")
    print("| step | us per row |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "schema.json").write_text(json.dumps(SCHEMA))
        for label, name, given in CASES:
            fitted = {
                key: value.format(folder=folder) if key == "file" else value for key, value in given.items()
            }
            (loaded,) = steps.load([{name: fitted}], steps.Place(folder, folder))
            loaded.step.prepare()
            loaded.step.open()
            figures = [
                pass_over(loaded.step, copy.deepcopy(rows), f"s-{number}") for number, rows in enumerate(sets)
            ]
            loaded.step.close()
            print(
                f"| `{name}`{label.removeprefix(name)} | {statistics.median(figures[1:]):,.1f} |", flush=True
            )


if __name__ == "__main__":
    main()
