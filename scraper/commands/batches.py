"""``scrapy batches``: what a run's storage holds, what is left of it, and how to bring it to its end."""

from __future__ import annotations

import asyncio
import difflib
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from scraper.batches import drain, spool
from scraper.batches.afterwards import finding, replay, rerun, standing, with_ray, wording
from scraper.commands import batches_printing as printing
from scraper.errors import ConfigError, SinkError
from scraper.options import read
from scraper.runs.redact import redact
from scraper.sinks import sql

if TYPE_CHECKING:
    import argparse

# Exit codes: all is stored; something is left, or could not be done; wrong usage, or nothing to do it with.
DONE, LEFT, USAGE = 0, 1, 2
_NAMES = (  # options, in the order of the help
    "json", "csv", "limit", "letters", "key", "step", "id", "dry_run", "out", "steps", "sink", "ray", "log", "workers", "timeout",
)  # fmt: skip
_WORK = {"workers", "timeout"}
WORDS: dict[
    str, tuple[int, int, str, set[str]]
] = {  # word -> arguments at least, at most, what they are, options
    "status": (0, 1000, "[RUN ...]", {"json"}),
    "drain": (1, 1, "RUN", _WORK),
    "inspect": (1, 1, "RUN", {"letters", "key", "step", "limit", "json"}),
    "replay": (1, 1, "RUN", {"step", "id", "steps", "dry_run", *_WORK}),
    "run": (1, 100_000, "SEGMENTS... --out DIR", {"out", "steps", "sink", "ray", *_WORK}),
    "sql": (1, 1000, '"select ..." [RUN ...]', {"json", "csv", "limit"}),
    "work": (0, 20, "--log redis://...", {"log", "workers"}),
}


class Command(ScrapyCommand):
    requires_project = True
    requires_crawler_process = False
    default_settings = {"LOG_ENABLED": False}  # noqa: RUF012  # as Scrapy declares it; -L shows the log

    def syntax(self) -> str:
        return " | ".join(f"{word} {takes}" for word, (_, _, takes, _) in WORDS.items())

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
        add = parser.add_argument
        add("--json", action="store_true", help="status, inspect, sql: JSON lines for scripts")
        add("--csv", action="store_true", help="sql: CSV")
        add(
            "--limit",
            type=int,
            metavar="N",
            help=f"inspect, sql: rows at most; {printing.ROWS} in a table unless told",
        )
        add("--letters", action="store_true", help="inspect: the dead letters")
        add("--key", metavar="KEY", help="inspect: only items whose key holds this")
        add("--step", metavar="NAME", help="inspect --letters, replay: only dead letters of this step")
        add("--id", metavar="ID", help="replay: only the dead letter whose id begins so")
        add("--dry-run", action="store_true", help="replay: only say which")
        add("--out", metavar="DIR", help="run: folder for the records, and for what goes on after a stop")
        add(
            "--steps",
            metavar="STEPS",
            help="replay, run: names with commas between, or JSON, as BATCH_STEPS; none is ''",
        )
        add("--sink", metavar="SINK", help="run: a name, or JSON, as SINK")
        add("--ray", action="store_true", help="run: by Ray Data, an extra")
        add("--log", metavar="URL", help="work: redis://... of the crawls; env:NAME for a variable")
        add("--workers", type=int, metavar="N", help=f"processes, {drain.WORKERS} unless told")
        add(
            "--timeout",
            type=float,
            metavar="S",
            help=f"seconds to deliver, {drain.TIMEOUT_S:g} unless told; run: no limit",
        )

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        is_work = args[:1] == ["work"]  # it has more options, of its own
        if unknown := [word for word in args if word.startswith("-") and not is_work]:
            raise UsageError(f"unknown option: {unknown[0]}")
        if wrong := _misused(args, opts):
            raise UsageError(wrong)
        assert self.settings is not None
        self._data_dir = Path(read(self.settings, "DATA_DIR", str))
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
                print(json.dumps(wording.facts(one, now)))
        elif not found:
            print(f"all {len(folders)} runs in {self._data_dir / 'runs'} have stored everything")
        else:
            printing.status(found, now)
        return DONE if all(one.is_done or one.holder for one in found) else LEFT

    def _inspect(self, words: list[str], opts: argparse.Namespace) -> int:
        folder = self._folder(words[0])
        if opts.step is not None and not opts.letters:
            raise ConfigError("--step", opts.step, "is for dead letters: add --letters")
        if opts.letters:
            found = [
                letter
                for letter in standing.letters(folder)
                if opts.step in (None, letter.step) and (opts.key or "") in wording.key_of(letter.item)
            ]
            printing.letters(found, opts)
            return LEFT if found else DONE
        spool.about(folder / standing.SPOOL)
        batches = standing.waiting(folder / standing.SPOOL)
        printing.items(batches, opts)
        return LEFT if batches else DONE

    def _sql(self, words: list[str], opts: argparse.Namespace) -> int:
        statement, *names = words
        if names:
            folders = [self._folder(name) for name in names]
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

    def _drain(self, words: list[str], opts: argparse.Namespace) -> int:
        folder = self._free(words[0])
        return _end(asyncio.run(drain.drain(folder, **_effort(opts))), "in the spool", folder)

    def _replay(self, words: list[str], opts: argparse.Namespace) -> int:
        folder = self._folder(words[0]) if opts.dry_run else self._free(words[0])
        code = DONE
        for round_dir in [] if opts.dry_run else replay.unfinished(folder):
            done = asyncio.run(drain.replayed(folder, round_dir, **_effort(opts)))
            code = _end(done, "of a replay that was cut off", folder)
            if code:
                return code
        chosen = replay.choose(folder, step=opts.step or "", id=opts.id or "")
        for step, n in chosen.lack.items():
            print(f"{n} dead letters of {step} hold no item and cannot be replayed: crawl their pages again")
        if opts.dry_run or not chosen.ids:
            print(f"{len(chosen.ids)} dead letters to replay")
            return code
        steps = None if opts.steps is None else _listed("--steps", opts.steps)
        round_dir = replay.begin(folder, chosen.ids, steps)
        return _end(asyncio.run(drain.replayed(folder, round_dir, **_effort(opts))), "replayed", folder)

    def _run(self, words: list[str], opts: argparse.Namespace) -> int:
        assert self.settings is not None
        if opts.out is None:
            raise ConfigError("--out", None, "is missing: name a folder for the records, --out DIR")
        out = Path(opts.out).absolute()
        places = [Path(word) if Path(word).exists() else self._folder(word) for word in words]
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
        return _end(done, "in the segments", out)

    def _work(self, words: list[str], opts: argparse.Namespace) -> int:
        from scraper.batches.elsewhere import work

        given = [("--log", opts.log), ("--workers", opts.workers)]
        return work.main(
            [*words, *(str(word) for name, value in given if value is not None for word in (name, value))]
        )

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


def _misused(args: list[str], opts: argparse.Namespace) -> str:
    """What is wrong with the words and options; "" for nothing."""
    word = args[0] if args else ""
    if word not in WORDS:
        near = difflib.get_close_matches(word, WORDS, 1)
        return f"'{word}': did you mean {near[0]}?" if near else f"say scrapy batches {', '.join(WORDS)}"
    least, most, takes, options = WORDS[word]
    if not least <= len(args) - 1 <= most:
        return f"say scrapy batches {word} {takes}"
    given = [name for name in _NAMES if getattr(opts, name) not in (None, False)]
    if unused := [f"--{name.replace('_', '-')}" for name in given if name not in options]:
        return f"{', '.join(unused)}: not for {word}"
    for name in ("limit", "workers", "timeout"):
        if getattr(opts, name) is not None and not getattr(opts, name) >= 0:
            return f"--{name} must be 0 or more"
    return ""


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


def _end(done: tuple[Any, str], found: str, run: Path) -> int:
    counts, failure = done
    print(drain.told(counts, found))
    if counts["batches/dead_letter"]:
        name = run.name if run.parent.name == "runs" else run
        print(f"scrapy batches inspect {name} --letters   tells why")
    if failure:
        print(redact(failure), file=sys.stderr)
    return LEFT if failure else DONE
