"""I/O. One file per batch at another place: what `Parts` promises for a folder of this machine, for S3, GCS, Azure and SFTP.

Beside the run's folder, which holds nothing but data:

    <run>.<suffix>.manifest.json   what was merged, once the run has ended
    <run>.<suffix>.merge.json      while merged files take the place of parts: completed by the next start
    <run>.<suffix>.aside/          files on their way; emptied by the next start

A put is atomic at S3, GCS and Azure, which cannot rename; SFTP can, and a put there grows under the eyes of readers. So a
part is put under its name, or aside and renamed; merged files are put aside, and copied by the store, or renamed, once
the journal says that they are whole.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from scraper.errors import ConfigError, SinkError
from scraper.sinks.parts import Manifest, Parts
from scraper.sinks.remote_address import FILE, PROTOCOLS, Place, place
from scraper.sinks.remote_store import Store

ADD_S = (
    35.0  # for one try to store a part: three of them and the waits between end before the worker is given up
)


class _Journal(msgspec.Struct):
    files: dict[str, int]  # name, aside and then in the folder -> bytes
    replaced: list[str]
    batches: list[str]  # that are in the files


def parts_for(out_dir: str, suffix: str, to: str, storage: Mapping[str, Any] | None) -> Parts | RemoteParts:
    """The files of a sink: in ``out_dir``, or in a folder of its name below ``to``. ConfigError if that cannot be."""
    if not to:
        if storage:
            raise ConfigError("SINK", None, 'storage: is for another place, which {"to": "s3://..."} names')
        return Parts(out_dir, suffix)
    found = place(to, storage or {}, Path(out_dir).name, os.environ)
    if found.protocol == FILE:
        return Parts(found.path, suffix)
    extra, module = PROTOCOLS[found.protocol].extra, PROTOCOLS[found.protocol].module
    if not all(map(importlib.util.find_spec, (module, "fsspec"))):
        way_out = f"{found.protocol}:// needs {module}: pip install 'scraper[{extra}]'"
        raise ConfigError("SINK", to, way_out)
    return RemoteParts(found, out_dir, suffix)


class RemoteParts:
    """As `Parts`, at ``place``. ``out_dir``: beside it lie the files of this machine that are on their way."""

    def __init__(self, place: Place, out_dir: str, suffix: str) -> None:
        self.suffix = suffix
        self.folder = place.url
        self.preload = (PROTOCOLS[place.protocol].preload,)
        self._store = Store(place)
        self._run = place.path.rpartition("/")[2]
        self._manifest = f"{self._run}.{suffix}.manifest.json"
        self._journal = f"{self._run}.{suffix}.merge.json"
        self._aside = f"{self._run}.{suffix}.aside"
        local = Path(out_dir)
        self._local = local.with_name(f"{local.name}.{suffix}.upload")
        # What the store says of the manifest, and the batches in it.
        self._merged: tuple[str, set[str]] = ("", set())

    def prepare(self) -> None:
        """See whether files can be put, listed and removed; complete a merge that was cut off, remove what was left aside.

        SinkError names the place if not.
        """
        shutil.rmtree(self._local, ignore_errors=True)
        try:
            self._store.make(self._run)
            self._store.make(self._aside)
            self._write(f"{self._aside}/try-{uuid.uuid4().hex}", b"{}")
            self._settle()
            self._store.remove([f"{self._aside}/{name}" for name in self._store.sizes(self._aside)])
        except OSError as error:
            raise SinkError(self.suffix.partition(".")[0], "(none yet)", str(error)) from None
        finally:
            self._tidy()

    def add(self, batch_id: str, write: Callable[[Path], None]) -> None:
        """Store the part that ``write(path)`` writes, unless the batch has one. OSError if it cannot be stored."""
        final = f"{self._run}/part-{batch_id}.{self.suffix}"
        with self._store.within(ADD_S):
            if self._store.info(final) or batch_id in self._batches_merged():
                return
            with self._folder() as folder:
                write(folder / "part")
                self._put(folder / "part", final)

    def merge(self, write: Callable[[list[Path], Callable[[], Path]], None]) -> None:
        """Replace all files by those that ``write(files, new_path)`` makes of them, on this machine."""
        self._settle()
        sizes = self._files()
        merged = self._batches_merged()
        parts = {self._batch_of(name): name for name in sizes if name.startswith("part-")}
        late = [name for batch, name in parts.items() if batch in merged]  # put by a worker after its death
        self._store.remove([f"{self._run}/{name}" for name in late])
        old = [name for name in sizes if name not in late]
        if len(late) == len(parts):
            return
        generation = 1 + max((int(name.split("-")[1]) for name in old if name.startswith("data-")), default=0)
        new: list[Path] = []
        with self._folder() as folder:

            def new_path() -> Path:
                new.append(folder / f"data-{generation:03d}-{len(new):05d}.{self.suffix}")
                return new[-1]

            here = [folder / f"{number}.{self.suffix}" for number in range(len(old))]
            self._store.get(
                [(f"{self._run}/{name}", path, sizes[name]) for name, path in zip(old, here, strict=True)]
            )
            write(here, new_path)
            for path in new:
                self._store.put(path, f"{self._aside}/{path.name}")
            journal = _Journal(
                {path.name: path.stat().st_size for path in new}, old, sorted(merged | parts.keys())
            )
            self._write(self._journal, msgspec.json.encode(journal))
        self._settle()
        self._tidy()

    def close(self) -> None:
        self._store.close()

    def _files(self) -> dict[str, int]:
        """Those that hold rows, with their bytes, the merged ones of an earlier merge first."""
        found = self._store.sizes(self._run)
        end = f".{self.suffix}"
        return {
            name: found[name]
            for name in sorted(found)
            if name.startswith(("data-", "part-")) and name.endswith(end)
        }

    def _batch_of(self, part: str) -> str:
        return part.removeprefix("part-").removesuffix(f".{self.suffix}")

    def _batches_merged(self) -> set[str]:
        about = self._store.info(self._manifest)
        if about is None:
            return set()
        if self._merged[0] != str(about):
            text = self._store.read(self._manifest)
            self._merged = (str(about), set(msgspec.json.decode(text or b"", type=Manifest).batches))
        return self._merged[1]

    def _settle(self) -> None:
        """Complete the merge that the journal tells of. If its files are not there, whole, it came from a process that was dead
        already, and another start has cleaned up behind it: nothing is replaced.
        """
        text = self._store.read(self._journal)
        if text is None:
            return
        journal = msgspec.json.decode(text, type=_Journal)
        aside, there = self._store.sizes(self._aside), self._store.sizes(self._run)
        if all(size in (aside.get(name), there.get(name)) for name, size in journal.files.items()):
            for name in journal.files.keys() & aside.keys():
                self._store.move(f"{self._aside}/{name}", f"{self._run}/{name}")
            self._write(self._manifest, msgspec.json.encode(Manifest(journal.files, journal.batches)))
            self._store.remove([f"{self._run}/{name}" for name in journal.replaced if name in there])
        self._store.remove([self._journal])

    def _put(self, local: Path, final: str) -> None:
        """So that it is seen whole or not at all."""
        if self._store.puts_whole:
            self._store.put(local, final)
            return
        aside = f"{self._aside}/{uuid.uuid4().hex}"
        self._store.put(local, aside)
        self._store.move(aside, final)

    def _write(self, final: str, data: bytes) -> None:
        with self._folder() as folder:
            (folder / "file").write_bytes(data)
            self._put(folder / "file", final)

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        """A folder of this machine for files on their way; a killed process leaves it to the next `prepare`."""
        self._local.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._local) as folder:
            yield Path(folder)

    def _tidy(self) -> None:
        with contextlib.suppress(OSError):  # another process is at work in it
            self._local.rmdir()
