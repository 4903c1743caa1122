"""ADAPTER. The signatures that a crawl goes by: those of BAN_SIGNATURES_FILE first, then the shipped ones."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from scraper.bans import signature_file
from scraper.bans.signatures import Table
from scraper.errors import ConfigError
from scraper.options import read


def table_of(settings: Any) -> Table:
    """Read both. Raises ConfigError where the file of one's own cannot be read or has an entry that cannot work."""
    name = read(settings, "BAN_SIGNATURES_FILE", str)
    if not name:
        return _table(None)
    try:
        text = Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError("BAN_SIGNATURES_FILE", name, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError("BAN_SIGNATURES_FILE", name, f"is not UTF-8 (byte {error.start})") from error
    try:
        return _table(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("BAN_SIGNATURES_FILE", name, f"is not TOML: {error}") from error
    except ValueError as error:
        raise ConfigError("BAN_SIGNATURES_FILE", name, f"{error}; docs/blocks.md lists the keys") from error


@lru_cache(maxsize=4)
def _table(own: str | None) -> Table:
    """Built once for both phases: it takes 40 ms."""
    return signature_file.load(own)
