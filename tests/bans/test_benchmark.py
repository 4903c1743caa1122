"""benchmarks/bans.py counts what it says, on a folder of four pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import bans

CHALLENGE = "<html><head><title>Just a moment...</title></head></html>"
ROWS = (
    ("b1", "block", "cloudflare", "challenge", "403", "", "b1.html", "b1.headers"),
    ("b2", "block", "nobody", "custom", "", "200", "b2.html", ""),
    ("o1", "ordinary", "", "", "200", "", "o1.html", ""),
    ("f1", "site-403", "app", "", "403", "", "f1.html", ""),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = ["id\tlabel\tvendor\tkind\tstatus\tstatus_assumed\turl\tfile\theaders"]
    for number, label, vendor, kind, status, assumed, file, headers in ROWS:
        lines.append("\t".join((number, label, vendor, kind, status, assumed, "", file, headers)))
        (tmp_path / file).write_text(CHALLENGE if number == "b1" else "<html><p>A page.</p></html>")
    (tmp_path / "b1.headers").write_text(
        "403 Forbidden\nCF-Mitigated: challenge\nSet-Cookie: a=1\nSet-Cookie: b=2\n"
    )
    (tmp_path / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_recall_and_accusations_are_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bans", str(folder), "--list"])
    bans.main()
    said = capsys.readouterr().out
    assert "| cloudflare | 1 | 1 | 1 | cloudflare_challenge 1 |" in said
    assert "recall 1 of 2 (50.0%)" in said
    assert "| ordinary | 1 | 0 | 0.00% | 0 |" in said
    assert "| site-403 | 1 | 0 | 0.00% | 1 |" in said
    assert "missed: b2" in said


def test_the_body_alone_is_judged_as_if_served_with_200(folder: Path) -> None:
    verdicts = {page.id: page.verdict for page in bans.judged(folder, body_only=True)}
    assert verdicts["b1"].rule != "cloudflare_challenge"
    assert verdicts["f1"].rule == "good"


def test_headers_of_one_name_are_joined(folder: Path) -> None:
    assert bans.headers_of(folder / "b1.headers") == {"cf-mitigated": "challenge", "set-cookie": "a=1, b=2"}


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("b3\tblok\t\t\t200\t\t\tb1.html\t", "line 6: label 'blok' is none of block, ordinary, hard, site-"),
        ("b3\tblock\t\t\tx\t\t\tb1.html\t", "line 6: status 'x' is no number"),
        ("b3\tblock\t\t\t200\t\t\tno.html\t", "line 6: .*no.html"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(folder: Path, line: str, word: str) -> None:
    manifest = folder / "manifest.tsv"
    manifest.write_text(manifest.read_text() + line + "\n")
    with pytest.raises(SystemExit, match=word):
        list(bans.judged(folder))


def test_two_columns_are_enough(folder: Path) -> None:
    (folder / "manifest.tsv").write_text("label\tfile\nordinary\to1.html\n")
    assert [(page.id, page.verdict.rule) for page in bans.judged(folder)] == [("line 2", "good")]
    (folder / "manifest.tsv").write_text("file\no1.html\n")
    with pytest.raises(SystemExit, match="no column label"):
        list(bans.judged(folder))
