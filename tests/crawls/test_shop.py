"""The main job: blocks are met and passed, records are right, money is counted, the data open everywhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import duckdb
import pandas
import pytest

FIELDS = ("title", "price", "currency", "in_stock", "rating", "brand", "description")


@pytest.mark.timeout(180)
def test_the_demo_gets_the_labs_records_right_and_says_what_they_cost(crawl: Callable[..., Any]) -> None:
    run = crawl("shop").wait(170)
    assert run.exit_code == 0, run.err[-3000:]
    truth = json.loads((run.run_dir / "lab" / "truth.json").read_text(encoding="utf-8"))
    shops = {host: shop["products"] for host, shop in truth["sites"].items() if not shop["needs_browser"]}
    wanted = sum(len(products) for products in shops.values())

    rows = run.rows()
    right = {
        (row["site"], row["sku"])
        for row in rows
        if all(row[name] == pytest.approx(_told(shops[row["site"]][row["sku"]][name])) for name in FIELDS)
    }
    assert len(right) >= 0.95 * wanted, Counter(row["site"] for row in rows)
    assert len(rows) == len({row["_key"] for row in rows}) == len({(row["site"], row["sku"]) for row in rows})

    (folder,) = (path for path in (run.folder / "out").iterdir() if path.is_dir())
    counts = duckdb.sql(f"select count(*), count(price) from read_parquet('{folder}/*.parquet')").fetchall()
    assert counts == [(len(rows), len(rows))]
    assert len(pandas.read_parquet(folder)) == len(rows)

    assert not [line for line in truth["requests"] if line["pool"] == "direct"], (
        "nothing leaves from our own address"
    )
    report = run.report
    counted = {pool["pool"]: pool["bytes"] for pool in report["pools"]}
    for name, books in truth["pools"].items():
        assert counted.get(name, 0) == pytest.approx(books["bytes"], rel=0.001), name
    usd = sum(books["usd"] for books in truth["pools"].values())
    assert report["cost"]["usd"] == pytest.approx(usd, rel=0.001)
    for word in ("SUCCEEDED", "records", "cost", "$", "blocks", "data", str(folder)):
        assert word in run.out, run.out


def _told(value: Any) -> Any:
    """The truth has prices as text, so that they are exact."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
