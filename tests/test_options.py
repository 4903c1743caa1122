"""A setting is read as what it must be, or refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from scraper.errors import ConfigError
from scraper.options import read


@pytest.mark.parametrize(
    ("value", "kind", "result"),
    [
        ("3", int, 3),
        ("2.5", float, 2.5),
        (7, str, "7"),
        ("Yes", bool, True),
        ("", bool, False),
        ("a,b", list, ["a", "b"]),
        ('{"a": 1}', dict, {"a": 1}),
    ],
)
def test_a_setting_is_read_as_its_kind(value: Any, kind: type[Any], result: Any) -> None:
    assert read({"RUN_X": value}, "RUN_X", kind) == result


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        ("ten", float, "RUN_X = 'ten': must be a number"),
        ("2.5", int, "RUN_X = '2.5': must be a whole number"),
        ("maybe", bool, "RUN_X = 'maybe': must be true or false"),
        (5, list, "RUN_X = 5: must be a list, or texts with commas between"),
        ("{", dict, "RUN_X = '{': must be a JSON object"),
        (-1, int, "RUN_X = -1: must be at least 0"),
        (None, int, "RUN_X: has no value; give one with -s RUN_X=... or in scraper/settings.py"),
    ],
)
def test_a_wrong_setting_is_refused_in_words(value: Any, kind: type[Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read({"RUN_X": value}, "RUN_X", kind, at_least=0)
    assert str(caught.value) == says
