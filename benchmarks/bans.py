"""Recall by vendor, and every accused ordinary page, of the recognisers over a folder of saved pages.

    python -m benchmarks.bans FOLDER [--body-only] [--list]

FOLDER holds manifest.tsv, with tabs between, a line of names first, and the files it names (docs/blocks.md describes the
columns). A block is recognised where its verdict is blocked or rate limited; an honest page is accused where a mark says so.
``--body-only`` judges the body alone, with status 200: what is recognised where a site hides its refusal. A refusal without a mark
(a bare 403) is shown apart: it goes to another exit, and counts against none until that one gets the page.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from scraper.bans import rules, signature_file
from scraper.bans.answers import Answer
from scraper.verdicts import BLOCKED, RATE_LIMITED, Verdict

LABELS = ("block", "ordinary", "hard")  # "site-403" and the like: refusals that are the site's own


@dataclass(frozen=True)
class Page:
    """One row of the manifest, judged."""

    id: str
    label: str
    vendor: str
    kind: str
    status: int
    n_bytes: int
    verdict: Verdict
    cost_s: float = 0.0

    @property
    def by_a_mark(self) -> bool:
        return self.verdict.proven and not self.verdict.rule.startswith(("status_", "empty_"))

    @property
    def taken_for_a_block(self) -> bool:
        return self.verdict.outcome in (BLOCKED, RATE_LIMITED)


def judged(folder: Path, *, body_only: bool = False) -> Iterator[Page]:
    """Judge every page of ``folder``. Raises SystemExit where it has no manifest."""
    manifest = folder / "manifest.tsv"
    if not manifest.is_file():
        raise SystemExit(f"{manifest} is not there; docs/blocks.md says what it holds")
    table, now = signature_file.load(), datetime.now(UTC)
    with manifest.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        if missing := {"label", "file"} - set(rows.fieldnames or ()):
            raise SystemExit(f"{manifest}: its first line has no column {min(missing)}")
        for row in rows:
            try:
                page, answer = _read(folder, row, rows.line_num, body_only=body_only)
            except (OSError, ValueError) as error:
                raise SystemExit(f"{manifest}, line {rows.line_num}: {error}") from error
            began = time.perf_counter()
            verdict = rules.judge(answer, table, now)
            yield replace(page, verdict=verdict, cost_s=time.perf_counter() - began)


def _read(folder: Path, row: dict[str, str], number: int, *, body_only: bool) -> tuple[Page, Answer]:
    """One row, not judged yet. OSError or ValueError where it cannot be used."""
    label = row["label"]
    if label not in LABELS and not label.startswith("site-"):
        raise ValueError(f"label {label!r} is none of {', '.join(LABELS)}, site-...")
    told = row.get("status") or row.get("status_assumed") or "200"
    if not told.isdecimal():
        raise ValueError(f"status {told!r} is no number")
    body = (folder / row["file"]).read_bytes()
    headers = {} if body_only or not row.get("headers") else headers_of(folder / row["headers"])
    status = 200 if body_only else int(told)
    answer = Answer(row.get("url") or "https://site.example/", status, headers, body)
    name = row.get("id") or f"line {number}"
    vendor, kind = row.get("vendor") or "", row.get("kind") or ""
    return Page(name, label, vendor, kind, int(told), len(body), Verdict("", "")), answer


def headers_of(path: Path) -> dict[str, str]:
    """Headers by lower-case name; several of one name are joined with a comma."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        name, colon, value = line.partition(":")
        if colon:
            name = name.strip().lower()
            found[name] = f"{found[name]}, {value.strip()}" if name in found else value.strip()
    return found


def recall(pages: list[Page]) -> str:
    """Markdown table of the block pages by vendor."""
    lines = ["| vendor | block pages | recognised | by a mark | rules |", "|---|---|---|---|---|"]
    for vendor in sorted({page.vendor for page in pages}):
        these = [page for page in pages if page.vendor == vendor]
        found = [page for page in these if page.taken_for_a_block]
        named = Counter(page.verdict.rule for page in found)
        lines.append(
            f"| {vendor} | {len(these)} | {len(found)} | {sum(page.by_a_mark for page in found)} "
            f"| {', '.join(f'{rule} {n}' for rule, n in named.most_common())} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--body-only", action="store_true", help="judge the body alone, with status 200")
    parser.add_argument("--list", action="store_true", help="also name every block page that was missed")
    options = parser.parse_args()
    pages = list(judged(options.folder, body_only=options.body_only))
    blocks = [page for page in pages if page.label == "block"]
    if not pages:
        raise SystemExit(f"{options.folder / 'manifest.tsv'} names no page")
    print(recall(blocks))
    found = sum(page.taken_for_a_block for page in blocks)
    print(
        f"\nrecall {found} of {len(blocks)} ({found / len(blocks):.1%})"
        if blocks
        else "\nno page is labelled block"
    )
    print("\n| honest pages | n | accused | share | without a mark, asked elsewhere | status codes as such |")
    print("|---|---|---|---|---|---|")
    for label in sorted({page.label for page in pages} - {"block"}):
        these = [page for page in pages if page.label == label]
        accused = [page for page in these if page.taken_for_a_block and page.verdict.proven]
        bare = [page for page in these if page.taken_for_a_block and not page.verdict.proven]
        by_status = sum(page.verdict.rule.startswith("status_") for page in accused)
        print(
            f"| {label} | {len(these)} | {len(accused)} | {len(accused) / len(these):.2%} | {len(bare)} | {by_status} |"
        )
    for page in pages:
        wrong = page.taken_for_a_block and page.verdict.proven and page.label != "block"
        missed = options.list and page.label == "block" and not page.taken_for_a_block
        if wrong or missed:
            print(
                f"{'accused' if wrong else 'missed'}: {page.id} {page.label} {page.vendor} {page.kind} "
                f"{page.status} {page.n_bytes:,} bytes: {page.verdict.rule} ({page.verdict.evidence})"
            )
    costs = [1000 * page.cost_s for page in pages if page.verdict.rule == "good"]
    if costs:
        print(f"\na good page: {statistics.median(costs):.3f} ms median, {max(costs):.2f} ms worst")


if __name__ == "__main__":
    main()
