"""RULE. Where a file sink on another machine stores: its address and options, checked. Plain values in, a `Place` out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from scraper.errors import ConfigError

FILE = "file"
_RUN = "{run}"
_FROM_ENV = "env:"
_UNUSABLE = re.compile(r"[*?#\[\]{}\s]|//|/\.\.?(/|$)")  # fsspec reads patterns, versions and steps in them
_SECRET = re.compile(r"secret|password|passphrase|token|account_key|connection_string|credential|pkey")
_NO_SECRET = re.compile(
    r"anon|cloud|cache|browser|google_default|.*\.json"
)  # what gcsfs's ``token`` may also be


@dataclass(frozen=True, slots=True)
class Protocol:
    """``extra`` of this project, which installs ``module``; ``preload``: what a worker imports. ``puts_whole``: a file that is put there is seen whole or not at
    all, and cannot be renamed; else it grows under the reader's eyes, and a rename is atomic.
    """

    extra: str
    module: str
    preload: str
    puts_whole: bool


_S3 = Protocol("s3", "s3fs", "s3fs", True)
_GCS = Protocol("gcs", "gcsfs", "gcsfs.core", True)
_AZURE = Protocol("azure", "adlfs", "adlfs", True)
PROTOCOLS = {
    "s3": _S3,
    "gs": _GCS,
    "gcs": _GCS,
    "az": _AZURE,
    "abfs": _AZURE,
    "abfss": _AZURE,
    "sftp": Protocol("sftp", "paramiko", "fsspec.implementations.sftp", False),
}


@dataclass(frozen=True, slots=True)
class Place:
    """The run's folder at ``url``. ``storage``: fsspec's options, with the secrets in it; ``secrets``: those, to be kept out of
    every text.
    """

    protocol: str
    url: str
    storage: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    @property
    def path(self) -> str:
        return urlsplit(self.url).path


def place(to: str, storage: Any, run: str, environment: Mapping[str, str]) -> Place:
    """The place for ``run`` below ``to``, or at ``to`` with ``{run}`` replaced. ConfigError says what is wrong.

    Values of ``storage``, at any depth, may be "env:NAME"; those whose name says that they are secret must be.
    """
    url = (to if _RUN in to else f"{to.rstrip('/')}/{_RUN}").rstrip("/").replace(_RUN, run)
    parted = urlsplit(url)
    known = ", ".join(f"{name}://" for name in (*PROTOCOLS, FILE))
    if parted.password is not None:
        raise ConfigError("SINK", None, 'to: holds a password; write {"storage": {"password": "env:NAME"}}')
    if parted.scheme not in PROTOCOLS and parted.scheme != FILE:
        raise ConfigError("SINK", to, f"to: write an address that begins with one of {known}")
    if bool(parted.netloc) == (parted.scheme == FILE) or not parted.path:
        raise ConfigError("SINK", to, "to: write s3://bucket/folder, sftp://host/folder or file:///folder")
    if odd := _UNUSABLE.search(url.partition("://")[2]):
        raise ConfigError("SINK", to, f"to: {odd[0]!r} cannot be in the address of a folder: {url}")
    if not isinstance(storage, dict):
        raise ConfigError("SINK", None, 'storage: write the options of fsspec as {"option": value}')
    if storage and parted.scheme == FILE:
        raise ConfigError("SINK", to, "storage: a folder of this machine has no options")
    for name, value in _leaves(storage):
        if _SECRET.search(name) and not _is_public(value):
            way_out = f'storage: put {name} into a variable and write {{"{name}": "env:NAME"}}'
            raise ConfigError("SINK", None, way_out)
    taken: list[str] = []
    return Place(parted.scheme, url, _filled(storage, environment, taken), tuple(taken))


def _is_public(value: Any) -> bool:
    return isinstance(value, str) and (value.startswith(_FROM_ENV) or bool(_NO_SECRET.fullmatch(value)))


def _leaves(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if isinstance(value, dict) and not _SECRET.search(name):
            yield from _leaves(value)
        else:
            yield name, value


def _filled(options: Mapping[str, Any], environment: Mapping[str, str], taken: list[str]) -> dict[str, Any]:
    """``options`` with the variables that they name, whose values are added to ``taken``."""
    found = dict(options)
    for option, value in options.items():
        if isinstance(value, dict):
            found[option] = _filled(value, environment, taken)
        elif isinstance(value, str) and value.startswith(_FROM_ENV):
            name = value.removeprefix(_FROM_ENV)
            if name not in environment:
                way_out = f"the environment has no {name}; storage: {option} is to come from it"
                raise ConfigError("SINK", value, way_out)
            found[option] = environment[name]
            taken.append(environment[name])
    return found
