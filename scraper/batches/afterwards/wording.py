"""RULE. What the commands say about a run's storage: words and next steps from figures."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from scraper.batches.afterwards.standing import Standing
    from scraper.batches.dead_letters import Letter


def count(n: int, word: str) -> str:
    """``n`` of them: 1 batch, 2,000 batches, 1 dead letter."""
    return f"{n:,} {word}{'' if n == 1 else 'es' if word.endswith('ch') else 's'}"


def typed(run_dir: Path, runs: Path | None) -> str:
    """How to name the run in a command: by its id if it is in ``runs``, where the commands look untold, else by its folder."""
    return run_dir.name if run_dir.parent == runs else shlex.quote(str(run_dir))


def size(n: float) -> str:
    """``n`` bytes: 512 B, 3.4 kB, 1.2 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" or n >= 10 else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:,.1f} TB"


def age(since: datetime | None, now: datetime) -> str:
    """How long ago: 41 s, 3 min, 5 h, 2 d."""
    if since is None:
        return "-"
    seconds = max(0.0, (now - since).total_seconds())
    for unit, length_s in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def plain(text: object, most: int = 0) -> str:
    """What a page may have said, safe for a terminal: one line, no control signs, cut at ``most`` characters."""
    words = " ".join(str(text).split())
    shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in words)
    return shown if not most or len(shown) <= most else f"{shown[: most - 1]}…"


def state(found: Standing) -> str:
    """One word for a run."""
    if found.holder:
        return f"delivering (pid {found.holder})"
    if found.waiting or found.replaying:
        return "waits"
    return "dead letters" if found.letters else "done"


def next_steps(found: Standing, runs: Path | None) -> list[str]:
    """What to type, the first thing first; nothing if nothing is to be done. ``runs``: see `typed`."""
    run, steps = typed(found.folder, runs), []
    if found.holder and (found.waiting or found.replaying):
        steps.append(f"process {found.holder} is delivering it: wait")
    elif found.waiting:
        steps.append(f"scrapy batches drain {run}   delivers {count(found.waiting, 'item')}")
    if found.replaying and not found.holder:
        steps.append(f"scrapy batches replay {run}   completes a replay that was cut off")
    can = sum(found.letters.values()) - found.unreplayable
    if can:
        steps.append(f"scrapy batches inspect {run} --letters   says why; mend it, then")
        steps.append(
            f"scrapy batches replay {run}   sends {count(can, 'dead letter')} through the steps again"
        )
    if found.unreplayable:
        steps.append(
            f"{count(found.unreplayable, 'dead letter')} without an item (never encoded, or damaged): crawl the pages again; "
            f"scrapy batches inspect {run} --letters   names them"
        )
    return steps


def facts(found: Standing, now: datetime, runs: Path | None) -> dict[str, Any]:
    """The same for scripts; seconds, bytes and counts."""
    return {
        "run": found.run,
        "folder": str(found.folder),
        "state": state(found).partition(" (")[0].replace(" ", "_"),
        "pid": found.holder or None,
        "waiting": found.waiting,
        "waiting_bytes": found.waiting_bytes,
        "batches": found.batches,
        "oldest_s": round((now - found.oldest).total_seconds(), 1) if found.oldest else None,
        "damaged": found.damaged,
        "quarantined": found.quarantined,
        "replaying": found.replaying,
        "replaying_bytes": found.replaying_bytes,
        "dead_letters": dict(found.letters),
        "unreplayable": found.unreplayable,
        "kept_segments": found.kept_segments,
        "kept_bytes": found.kept_bytes,
        "next": next_steps(found, runs),
    }


def key_of(item: Any) -> str:
    """The key of a row, "" if it has none."""
    return str(item.get("_key", "")) if isinstance(item, dict) else ""


def letter_lines(letter: Letter) -> list[str]:
    """A dead letter in full, for people."""
    lines = [f"{letter.id}  {letter.step}  {letter.at:%Y-%m-%d %H:%M:%S}Z", f"  {plain(letter.reason)}"]
    for line in letter.traceback.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        lines.append(f"    {indent}{plain(line)}")
    if isinstance(letter.item, dict):
        lines += [f"  {plain(name)}: {plain(value, 200)}" for name, value in letter.item.items()]
    return lines
