"""``scrapy batches``: what a run's storage holds, what is left of it, and how to bring it to its end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError
from scrapy.settings import SETTINGS_PRIORITIES

from scraper.batches import drain, spool
from scraper.batches.afterwards import finding, replay, rerun, standing, with_ray, wording
from scraper.commands import batches_printing as printing
from scraper.commands import batches_words as words
from scraper.errors import ConfigError, SinkError
from scraper.options import read
from scraper.runs.redact import redact
from scraper.sinks import sql

if TYPE_CHECKING:
    import argparse

# Exit codes: all is stored; something is left, or could not be done; wrong usage, or nothing to do it with.
DONE, LEFT, USAGE = 0, 1, 2


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False
    default_settings = {"LOG_ENABLED": False}  # noqa: RUF012  # as Scrapy declares it; -L shows the log

    def syntax(self) -> str:
        return " | ".join(f"{word} {takes}" for word, (_, _, takes, _) in words.WORDS.items())

    def short_desc(self) -> str:
        return "Show what is left of a run, deliver it, replay dead letters, query the records"

    def long_desc(self) -> str:
        return (
            "status: what waits, dead letters, who delivers it, what to do; without RUN all runs with something left. "
            "drain: deliver what a killed run left. inspect: the items that wait, or the dead letters. "
            "replay: dead letters through the steps again. run: steps over segments that were kept. "
            'sql: a SELECT over the view "records" of the newest run, or of RUNs or folders. '
            "work: a worker for crawls elsewhere. RUN is a run's id, how it begins, or its folder. "
            "The exit code is 0 when all is stored, 1 when something is left, 2 for wrong usage. docs/batches.md"
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        words.add_options(parser)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        if unknown := [word for word in args if word.startswith("-")]:
            raise UsageError(f"unknown option: {unknown[0]}")
        if wrong := words.misused(args, opts):
            raise UsageError(wrong)
        assert self.settings is not None
        self._data_dir = Path(read(self.settings, "DATA_DIR", str))
        untold = (self.settings.getpriority("DATA_DIR") or 0) < SETTINGS_PRIORITIES["cmdline"]
        self._runs = (
            (self._data_dir / "runs").absolute() if untold else None
        )  # a run there is named by its id
        word, *rest = args
        doers: dict[str, Callable[[list[str], argparse.Namespace], int]] = {
            "status": self._status, "drain": self._drain, "inspect": self._inspect, "replay": self._replay,
            "run": self._run, "sql": self._sql, "work": self._work,
        }  # fmt: skip
        try:
            self.exitcode = doers[word](rest, opts)
        except (ConfigError, SinkError, sql.BadStatement, OSError) as error:
            print(f"scrapy batches: {redact(str(error))}", file=sys.stderr)
            self.exitcode = USAGE
        except KeyboardInterrupt:
            print("stopped; nothing is lost, the same command goes on", file=sys.stderr)
            self.exitcode = drain.STOPPED

    # --- looking ----------------------------------------------------------------------------------------------------

    def _status(self, runs: list[str], opts: argparse.Namespace) -> int:
        folders = [self._folder(name) for name in runs] or finding.with_storage(self._data_dir)
        found = [standing.of(folder) for folder in folders]
        if not runs:
            found = [one for one in found if not one.is_done]
        now = datetime.now(UTC)
        if opts.json:
            for one in found:
                print(json.dumps(wording.facts(one, now, self._runs)))
        elif not found:
            print(f"{wording.count(len(folders), 'run')} in {self._data_dir / 'runs'}, all stored")
        else:
            printing.status(found, now, self._runs)
        return DONE if all(one.is_done or one.holder for one in found) else LEFT

    def _inspect(self, given: list[str], opts: argparse.Namespace) -> int:
        folder = self._folder(given[0])
        for name in ("step", "id"):
            if (wanted := getattr(opts, name)) is not None and not opts.letters:
                raise ConfigError(f"--{name}", wanted, "is for dead letters: add --letters")
        if opts.letters:
            found = _chosen(list(standing.letters(folder)), opts)
            printing.letters(found, opts)
            return LEFT if found else DONE
        spool.about(folder / standing.SPOOL)
        batches = standing.waiting(folder / standing.SPOOL)
        printing.items(batches, opts)
        return LEFT if batches else DONE

    def _sql(self, given: list[str], opts: argparse.Namespace) -> int:
        statement, *names = given
        if names:
            folders = [finding.run_dir(name, self._data_dir, any_folder=True) for name in names]
        else:
            folders = finding.with_storage(self._data_dir)[-1:]
            if not folders:
                raise ConfigError(
                    "RUN", None, f"no run in {self._data_dir / 'runs'} has stored anything; name a folder"
                )
            print(f"reading {folders[0].name}", file=sys.stderr)
        sources = [self._source(folder) for folder in folders]
        limit = opts.limit if opts.limit is not None or opts.json or opts.csv else printing.ROWS + 1
        with sql.query(statement, sources, os.environ, limit) as answer:
            printing.answer(answer, opts)
        return DONE

    # --- doing ------------------------------------------------------------------------------------------------------

    def _drain(self, given: list[str], opts: argparse.Namespace) -> int:
        folder = self._free(given[0])
        for round_dir in replay.unfinished(folder):
            replay.go_on(folder, round_dir)
        return self._end(asyncio.run(drain.drain(folder, **_effort(opts))), "in the spool", folder)

    def _replay(self, given: list[str], opts: argparse.Namespace) -> int:
        folder = self._folder(given[0]) if opts.dry_run else self._free(given[0])
        code, steps = DONE, None if opts.steps is None else _listed("--steps", opts.steps)
        for round_dir in [] if opts.dry_run else replay.unfinished(folder):
            replay.go_on(folder, round_dir, steps)
            done = asyncio.run(drain.replayed(folder, round_dir, **_effort(opts)))
            code = max(code, self._end(done, "of a replay that was cut off", folder))
            if done[1]:
                return code
        chosen = replay.choose(folder, step=opts.step or "", id=opts.id or "")
        for step, n in chosen.lack.items():
            print(f"{n} dead letters of {step} hold no item and cannot be replayed: crawl their pages again")
        if opts.dry_run or not chosen.ids:
            print(f"{wording.count(len(chosen.ids), 'dead letter')} to replay")
            return code
        round_dir = replay.begin(folder, chosen.ids, steps)
        done = asyncio.run(drain.replayed(folder, round_dir, **_effort(opts)))
        return max(code, self._end(done, "replayed", folder))

    def _run(self, given: list[str], opts: argparse.Namespace) -> int:
        assert self.settings is not None
        if opts.out is None:
            raise ConfigError("--out", None, "is missing: name a folder for the records, --out DIR")
        out = Path(opts.out).absolute()
        places = [Path(word) if Path(word).exists() else self._folder(word) for word in given]
        files = [path for place in places for path in rerun.segments_of(place)]
        steps = None if opts.steps is None else _listed("--steps", opts.steps)
        sink = None if opts.sink is None else _listed("--sink", opts.sink)
        default = tuple(_listed(name, self.settings[name]) for name in ("BATCH_STEPS", "SINK"))
        options = {
            "item_deadline_s": read(self.settings, "BATCH_ITEM_DEADLINE_S", float, at_least=0.1),
            "worker_bytes": read(self.settings, "BATCH_WORKER_MAX_MB", int, at_least=64) << 20,
        }
        rerun.prepare(out, files, steps, sink, (default[0], default[1]), options)
        if pid := standing.holder(out / standing.SPOOL):
            raise drain.in_use(out, pid)
        effort = _effort(opts, rerun.NO_LIMIT_S)
        if opts.ray:
            done = with_ray.run(out, workers=int(effort["workers"]))
        else:
            done = asyncio.run(drain.drain(out, **effort))
        print(f"records: {out / rerun.RECORDS}")
        return self._end(done, "in the segments", out)

    def _work(self, rest: list[str], opts: argparse.Namespace) -> int:
        from scraper.batches.elsewhere import work

        given = [*rest]
        for name in words.MACHINE:
            value = getattr(opts, name)
            for one in value if isinstance(value, list) else [] if value is None else [value]:
                given += [f"--{name.replace('_', '-')}", str(one)]
        return work.main(given)

    def _end(self, done: tuple[Any, str], found: str, run: Path) -> int:
        counts, failure = done
        print(drain.told(counts, found))
        if counts["batches/dead_letter"]:
            print(f"scrapy batches inspect {wording.typed(run, self._runs)} --letters   tells why")
        if failure:
            print(redact(failure), file=sys.stderr)
        return LEFT if failure or counts["batches/dead_letter"] else DONE

    # --- names ------------------------------------------------------------------------------------------------------

    def _folder(self, name: str) -> Path:
        return finding.run_dir(name, self._data_dir)

    def _free(self, name: str) -> Path:
        folder = self._folder(name)
        if pid := standing.holder(folder / standing.SPOOL):
            raise drain.in_use(folder, pid)
        return folder

    def _source(self, folder: Path) -> sql.Source:
        if not (folder / standing.SPOOL / "spool.json").exists():
            return sql.Source(folder.name, None, folder)
        job = spool.about(folder / standing.SPOOL)["job"]
        places = [
            Path(job["out_dir"]),
            self._data_dir / "out" / folder.name,
        ]  # the second: the data were moved
        return sql.Source(
            folder.name, job["sink"], next((place for place in places if place.exists()), places[0])
        )


def _effort(opts: argparse.Namespace, timeout_s: float = drain.TIMEOUT_S) -> Any:
    return {
        "workers": drain.WORKERS if opts.workers is None else opts.workers,
        "timeout_s": timeout_s if opts.timeout is None else opts.timeout,
    }


def _listed(name: str, value: Any) -> list[Any]:
    """Steps or sinks: a list, names with commas between, or JSON."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ConfigError(name, value, f"is not JSON: {error}") from error
    if isinstance(value, str):
        value = [word.strip() for word in value.split(",") if word.strip()]
    return [value] if isinstance(value, dict) else list(value)


def _chosen(letters: list[Any], opts: argparse.Namespace) -> list[Any]:
    """Those that --step, --id and --key name. ConfigError if there are letters and none of them is meant."""
    steps = ", ".join(sorted({letter.step for letter in letters}))
    for name, fits, way_out in (
        ("step", lambda one, word: one.step == word, f"no dead letter is of it; there are those of {steps}"),
        ("id", lambda one, word: one.id.startswith(word), "no dead letter's id begins so"),
        ("key", lambda one, word: word in wording.key_of(one.item), "no dead letter's key holds it"),
    ):
        word = getattr(opts, name)
        fitting = [one for one in letters if word is None or fits(one, word)]
        if letters and not fitting:
            raise ConfigError(f"--{name}", word, way_out)
        letters = fitting
    return letters
