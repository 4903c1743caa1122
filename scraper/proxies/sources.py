"""I/O. Reads proxies.toml, the secrets it names (``${VARIABLE}`` of the environment, or a file beside it) and the
files of the providers: ours under providers/, and a user's own beside proxies.toml."""

from __future__ import annotations

import functools
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from scraper.errors import ConfigError
from scraper.proxies import provider_file
from scraper.proxies.dialect import Provider
from scraper.proxies.pools import Pool, parse

_PROVIDERS = Path(__file__).parent / "providers"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def load(path: str) -> tuple[Pool, ...]:
    """Return the pools of the file, cheapest first. Raises ConfigError where it is missing, unreadable or wrong."""
    file = Path(path)
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            "PROXIES_FILE",
            path,
            f'does not exist in {Path.cwd()}; docs/proxies.md shows one (kind = "direct" uses no proxy)',
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("PROXIES_FILE", path, f"cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("PROXIES_FILE", path, f"is not TOML: {error}") from error
    known = dict(providers())
    for name, entry in table.get("pools", {}).items() if isinstance(table.get("pools"), dict) else ():
        if isinstance(entry, dict):
            where = f"{path}: pools.{name}"
            _fill_in(where, entry, file.parent)
            named = entry.get("provider")
            if isinstance(named, str) and named.endswith(".toml") and named not in known:
                known[named] = _provider(named, file.parent / named, f"{where}.provider")
    return parse(table, path, known)


@functools.cache
def providers() -> Mapping[str, Provider]:
    """Return the providers that come with the project, by name; their files are read once."""
    files = sorted(_PROVIDERS.glob("*.toml"))
    return MappingProxyType({file.stem: _provider(file.stem, file, file.name) for file in files})


def _provider(name: str, file: Path, where: str) -> Provider:
    try:
        table = tomllib.loads(_read(where, file))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(where, str(file), f"is not TOML: {error}") from error
    return provider_file.parse(table, name, str(file))


def _fill_in(where: str, entry: dict[str, Any], folder: Path) -> None:
    if "password" in entry:
        entry["password"] = _secret(f"{where}.password", entry["password"])
    if "password_file" in entry:
        entry["password"] = _read(f"{where}.password_file", folder / str(entry["password_file"])).strip()
    if "file" in entry:
        entry["proxies"] = _lines(f"{where}.file", folder / str(entry["file"]))
    elif isinstance(entry.get("proxies"), list):
        for number, line in enumerate(entry["proxies"], 1):
            if "@" in str(line) and not _VARIABLE.search(str(line)):
                _refuse(f"{where}.proxies, line {number}")
        entry["proxies"] = [_expand(f"{where}.proxies", str(line)) for line in entry["proxies"]]


def _secret(where: str, value: Any) -> str:
    if not _VARIABLE.fullmatch(str(value)):
        _refuse(where)
    return _expand(where, str(value))


def _refuse(where: str) -> None:
    raise ConfigError(
        where, "(not shown)", "a secret may not stand in this file; write ${VARIABLE} or name a file"
    )


def _expand(where: str, text: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise ConfigError(
                where, match.group(0), f"the environment has no {name}; set it before the crawl starts"
            )
        return os.environ[name]

    return _VARIABLE.sub(value, text)


def _read(where: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(where, str(path), f"cannot be read: {error}") from error


def _lines(where: str, path: Path) -> Iterator[str]:
    """One line after the other: a list may be large. The errors of ``_read`` come with the first."""
    try:
        with path.open(encoding="utf-8") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(where, str(path), f"cannot be read: {error}") from error
