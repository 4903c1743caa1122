"""The documents name every setting, stat, outcome and rule that the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scraper import settings
from scraper.runs import outcome

ROOT = Path(__file__).parents[1]
OURS = re.compile(r"(PROXY|PROXIES|BAN|FRONTIER|BATCH|SINK|RUN|OUT|DATA|TLS|ALLOW)(_|$)")


def text(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in vars(settings) if name.isupper() and OURS.match(name)])
def test_every_setting_of_ours_is_documented(name: str) -> None:
    assert f"`{name}`" in text("settings.md")


def test_the_documents_name_no_setting_that_does_not_exist() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        for name in re.findall(r"`(?:-s )?([A-Z][A-Z]+_[A-Z_]+)[=`]", page.read_text(encoding="utf-8")):
            assert hasattr(settings, name) or name in (
                "CLOSESPIDER_TIMEOUT",
                "HTTPERROR_ALLOWED_CODES",
                "CLOSESPIDER_TIMEOUT_NO_ITEM",
                "SCRAPY_SETTINGS_MODULE",
            ), (page, name)


@pytest.mark.parametrize("rule", outcome.RULES, ids=lambda rule: rule.name)
def test_every_outcome_and_its_rule_are_documented(rule: outcome.Rule) -> None:
    assert f"`{rule.name}`" in text("outcomes.md")
    assert f"| `{rule.word}` | {outcome.EXIT_CODES[rule.word]}" in text("outcomes.md")


def test_every_stat_written_in_the_code_is_documented() -> None:
    documented = text("stats.md")
    for path in (ROOT / "scraper").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        for found in re.findall(r"(?:inc_value|set_value|_count)\(\s*f?\"([a-z_]+/[^\"]*)\"", source):
            key = re.sub(r"\{[^}]*\}", "<", found)
            assert key.split("<")[0].rstrip("/") in documented, (path.name, found)
