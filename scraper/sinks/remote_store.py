"""I/O. Whole files at a `Place`, through fsspec: put, get, list, move, remove. What goes wrong is an OSError that names the
place and holds no secret.

The file system is made at the first use: its threads and connections would not outlive a fork. Nothing is remembered of
a listing, as other processes write there too.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from scraper.errors import ConfigError
from scraper.sinks.remote_address import PROTOCOLS, Place

CALL_S = 30.0  # for an answer that is not about the bytes of a file; fsspec's libraries try again within it
TRANSFER_BYTES_S = 200_000  # at least that much of a file each second, beside CALL_S
AT_ONCE = 8  # files that are fetched
CHUNK_BYTES = 16 << 20  # of a large file, in memory four times: S3 takes 10,000 of them, 160 GB
REMOVE_S = 0.1  # for each of many files
COPY_S = 300.0  # Azure may copy on after it said that it does
_SHOWN = 300  # characters of an error
_PUT: dict[str, dict[str, Any]] = {  # bounds the memory of an upload
    "s3fs": {"chunksize": CHUNK_BYTES, "max_concurrency": 4},
    "gcsfs": {"chunksize": CHUNK_BYTES},
    "adlfs": {"max_concurrency": 4},
}
_GET: dict[str, dict[str, Any]] = {  # and of a download
    "s3fs": {"max_concurrency": 1},
    "gcsfs": {"concurrency": 1},
    "adlfs": {"max_concurrency": 1},
}


class Store:
    """Paths are relative to the folder above that of the place, e.g. ``run/part-1.csv`` and ``run.csv.manifest.json``."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._protocol = PROTOCOLS[place.protocol]
        self.puts_whole = self._protocol.puts_whole
        self._fs: Any = None
        self._above = ""
        self._until: float | None = None

    def make(self, folder: str) -> None:
        """Make the folder where there are folders. It may be there."""
        if not self.puts_whole:
            self._call("makedirs", self._path(folder), exist_ok=True)

    def sizes(self, folder: str) -> dict[str, int]:
        """The files in it, by name, with their bytes. Empty if there is no such folder."""
        found: list[dict[str, Any]] = []
        with contextlib.suppress(_Absent):
            found = self._call("ls", self._path(folder), detail=True)
        files = (one for one in found if one["type"] == "file")
        return {str(one["name"]).rpartition("/")[2]: int(one["size"]) for one in files}

    def info(self, path: str) -> dict[str, Any] | None:
        """What the store knows of a file, ``size`` at least; it changes with the file. None if there is no such file."""
        with contextlib.suppress(_Absent):
            found: dict[str, Any] = self._call("info", self._path(path))
            return found if found["type"] == "file" else None
        return None

    def read(self, path: str) -> bytes | None:
        """The bytes of a small file. None if there is no such file."""
        with contextlib.suppress(_Absent):
            found: bytes = self._call("cat_file", self._path(path))
            return found
        return None

    def put(self, local: Path, path: str) -> None:
        """Store a file. Where not `puts_whole` it can be seen growing."""
        more = _PUT.get(self._protocol.module, {})
        self._call(
            "put_file", str(local), self._path(path), more_s=local.stat().st_size / TRANSFER_BYTES_S, **more
        )

    def get(self, files: Sequence[tuple[str, Path, int]]) -> None:
        """Fetch (path, where to, its bytes), several at once where many small ones would wait for each other's answers."""

        def one(file: tuple[str, Path, int]) -> None:
            path, local, size = file
            self._call("get_file", self._path(path), str(local), more_s=size / TRANSFER_BYTES_S, **more)
            if local.stat().st_size != size:
                raise OSError(f"{self._place.url}: {path} came with {local.stat().st_size} of {size} bytes")

        more = _GET.get(self._protocol.module, {})
        self._connected()
        with ThreadPoolExecutor(AT_ONCE if self.puts_whole else 1) as threads:
            for _ in threads.map(one, files):
                pass

    def move(self, path: str, to: str) -> None:
        """Atomic where not `puts_whole`; else a copy that the store makes, and then the other one goes."""
        source, target = self._path(path), self._path(to)
        if not self.puts_whole:
            self._call("mv", source, target)
            return
        size = (self.info(path) or {}).get("size") or 0
        self._call("cp_file", source, target, more_s=size / TRANSFER_BYTES_S)
        until = time.monotonic() + COPY_S
        while (self.info(to) or {}).get("size") != size:
            if time.monotonic() > until:
                raise OSError(f"{self._place.url}: {to} is not whole {COPY_S:g} s after it was to be copied")
            time.sleep(0.5)
        self.remove([path])

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files that are there."""
        full = [self._path(path) for path in paths]
        if not full:
            return
        if self.puts_whole:  # many in one request
            self._call("rm", full, more_s=REMOVE_S * len(full))
            return
        for path in full:
            self._call("rm_file", path)

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[Self]:
        """All that is asked of the store in the ``with`` block takes no longer together."""
        self._until = time.monotonic() + seconds
        try:
            yield self
        finally:
            self._until = None

    def close(self) -> None:
        fs, self._fs = self._fs, None
        if fs is not None and hasattr(fs, "client") and self._protocol.module == "paramiko":
            fs.client.close()

    def _path(self, path: str) -> str:
        self._connected()
        return f"{self._above}/{path}"

    def _connected(self) -> Any:
        if self._fs is None:
            with self._errors():
                self._fs = self._connect()
        return self._fs

    def _connect(self) -> Any:
        place, kind = self._place, self._kind()
        self._above = str(kind._strip_protocol(place.url)).rpartition("/")[0]
        options = kind._get_kwargs_from_urls(place.url) | dict(place.storage)
        if self.puts_whole:
            options["use_listings_cache"] = False
        return kind(**options, skip_instance_cache=True)

    def _kind(self) -> Any:
        """The class of the file system."""
        if self._protocol.module == "paramiko":
            from scraper.sinks.remote_sftp import Sftp

            return Sftp
        if (
            self._protocol.module == "gcsfs"
        ):  # not its newer class, whose files are seen growing in a zonal bucket
            from gcsfs.core import GCSFileSystem

            return GCSFileSystem
        import fsspec

        return fsspec.get_filesystem_class(self._place.protocol)

    def _call(self, name: str, *arguments: Any, more_s: float = 0.0, **named: Any) -> Any:
        """What the file system's ``name`` returns, within CALL_S and ``more_s``. OSError; `_Absent` for what is not there."""
        import fsspec.asyn

        fs = self._connected()
        limit_s = CALL_S + more_s
        if self._until is not None:
            limit_s = min(limit_s, max(0.1, self._until - time.monotonic()))
        with self._errors():
            if not fs.async_impl:
                return getattr(fs, name)(*arguments, **named)
            try:
                return fsspec.asyn.sync(
                    fs.loop, getattr(fs, f"_{name}"), *arguments, timeout=limit_s, **named
                )
            except fsspec.FSTimeoutError:
                raise TimeoutError(f"no answer within {limit_s:.0f} s") from None

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """OSError for all that the libraries raise, with no chain: the text of theirs may hold a secret."""
        try:
            yield
        except (_Absent, ConfigError):
            raise
        except FileNotFoundError as error:
            raise _Absent(self._text(error)) from None
        except Exception as error:  # noqa: BLE001  # botocore, aiohttp, azure, google and paramiko have their own
            self.close()  # the next try gets new connections
            raise OSError(self._text(error)) from None

    def _text(self, error: Exception) -> str:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        for secret in filter(None, self._place.secrets):
            text = text.replace(secret, "***")
        return f"{self._place.url}: {text[:_SHOWN]}"


class _Absent(OSError):
    """There is no such file (or bucket); not a FileNotFoundError, which libraries of sinks might take for one of here."""
