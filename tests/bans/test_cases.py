"""Pages around the published marks: tests/bans/<vendor>/<case>/ holds a page and case.toml, which says what it is taken for.

case.toml: ``status``; ``headers`` (a table); ``rule`` (of the verdict; "good", "status_404", ... for honest pages); ``url`` where it matters.
page.html, page.json, page.xml, page.txt or none: the body. Folders ordinary/ and hard/ hold honest pages.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scraper.bans import rules, signature_file
from scraper.bans.answers import Answer
from scraper.verdicts import BLOCKED, RATE_LIMITED, SITE_ERROR

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in HERE.glob("*/*/case.toml"))
HONEST = ("ordinary", "hard")
TABLE = signature_file.load()
NOW = datetime(2026, 11, 24, tzinfo=UTC)
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".xml": "application/xml",
    ".txt": "text/plain",
}


def read(folder: Path) -> tuple[Answer, dict[str, Any]]:
    told = tomllib.loads((folder / "case.toml").read_text(encoding="utf-8"))
    page = next(folder.glob("page.*"), None)
    headers = {"content-type": TYPES[page.suffix]} if page else {}
    headers |= {name.lower(): value for name, value in told.get("headers", {}).items()}
    url = told.get("url", "https://shop.example/p/1")
    return Answer(url, told["status"], headers, page.read_bytes() if page else b""), told


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_a_page_is_taken_for_what_it_is(folder: Path) -> None:
    answer, told = read(folder)
    verdict = rules.judge(answer, TABLE, NOW)
    assert verdict.rule == told["rule"], verdict
    if folder.parent.name in HONEST:
        assert verdict.outcome not in (BLOCKED, RATE_LIMITED) or not verdict.proven
    else:
        assert verdict.outcome in (BLOCKED, RATE_LIMITED, SITE_ERROR)
        assert verdict.vendor == folder.parent.name


def test_every_signature_has_a_page_that_fires_it() -> None:
    fired = {read(folder)[1]["rule"] for folder in CASES}
    assert sorted({entry.id for entry in TABLE} - fired) == []


def test_twenty_vendors_have_three_pages_each() -> None:
    n_pages = Counter(
        folder.parent.name for folder in CASES if folder.parent.name not in (*HONEST, "generic")
    )
    assert sum(n >= 3 for n in n_pages.values()) >= 20
