"""The house rules: what may import what, and that nothing of this machine or of a registry is in the tree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUBJECTS = ("proxies", "bans", "browser", "frontier", "batches", "sinks", "runs", "schedule", "deploy")
SHARED = {
    "scraper.names",
    "scraper.verdicts",
    "scraper.errors",
    "scraper.items",
    "scraper.named",
}  # where subjects meet
ARROWS = {("batches", "sinks")}  # the only way from one subject into another
IMPURE = {
    "scrapy", "twisted", "asyncio", "os", "socket", "subprocess", "multiprocessing", "threading", "time", "random",
    "logging", "shutil", "tempfile", "pathlib", "aiohttp", "uvloop",
}  # fmt: skip
TYPES_ONLY = {"random", "pathlib"}  # a rule may name random.Random and Path, it is given one


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def kind_of(path: Path) -> str:
    """RULE, I/O or ADAPTER: the first word of the module's docstring, in any case."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.replace(":", ".").split(".")[0].upper()


def imports_of(path: Path) -> Iterator[tuple[str, int, bool]]:
    """(module, line, only for types) of every import; relative ones do not occur here."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in typing_only
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                is_module = (ROOT / (full.replace(".", "/") + ".py")).exists()
                yield full if is_module else str(node.module), node.lineno, id(node) in typing_only


def broken_rules(path: Path) -> list[str]:
    name, kind, found = name_of(path), kind_of(path), []
    parts = name.split(".")
    subject = parts[1] if len(parts) > 1 and parts[1] in SUBJECTS else ""
    for module, line, typing_only in imports_of(path):
        top = module.split(".")[0]
        target = module.split(".")[1] if module.startswith("scraper.") else ""

        def broken(why: str, module: str = module, line: int = line) -> None:
            found.append(f"{path.relative_to(ROOT)}:{line}: imports {module}: {why}")

        if top in ("tests", "data"):
            broken("nothing imports tests/ or data/")
        if parts[0] == "scraper" and top == "spiders":
            broken("scraper never imports spiders")
        if parts[:2] == ["scraper", "lab"] and top == "scraper" and target != "lab":
            broken(
                "the lab imports nothing else of ours, so it cannot share a misunderstanding with what it tests"
            )
        if not subject:
            continue
        if target in SUBJECTS and target != subject and (subject, target) not in ARROWS:
            broken("subjects meet in scraper.names, signals and stats, never in imports")
        if kind == "RULE":
            if top in IMPURE and not typing_only and top not in TYPES_ONLY:
                broken(
                    "a rule file decides on plain data: clock, chance, files and logs belong to its callers"
                )
            if target and target not in SUBJECTS and module not in SHARED:
                broken("a rule imports rules, items, named, names, verdicts and errors")
        elif kind == "I/O" and top in ("scrapy", "twisted") and not typing_only:
            broken("an I/O file touches files, sockets and processes, and no Scrapy")
    return found


@pytest.mark.parametrize("path", modules("scraper") + modules("spiders"), ids=name_of)
def test_imports_run_the_way_the_house_is_drawn(path: Path) -> None:
    assert not broken_rules(path)


@pytest.mark.parametrize("subject", [name for name in SUBJECTS if (ROOT / "scraper" / name).exists()])
def test_every_file_of_a_subject_says_what_kind_it_is(subject: str) -> None:
    for path in modules(f"scraper/{subject}"):
        if path.name != "__init__.py":
            assert kind_of(path) in ("RULE", "I/O", "ADAPTER"), path


def test_the_import_rules_can_be_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule fires on a file that breaks it, so that a green run means something."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    bad = {
        "scraper/proxies/choice.py": '"""RULE. x"""\nimport time\nfrom scraper.bans import rules\nfrom scraper.options import read\n',
        "scraper/sinks/disk.py": '"""I/O. x"""\nimport scrapy\n',
        "scraper/lab/site.py": '"""x"""\nfrom scraper.errors import ConfigError\n',
        "scraper/runs/extension.py": '"""ADAPTER. x"""\nimport spiders\nimport tests\n',
    }
    for file, text in bad.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    assert {file: len(broken_rules(tmp_path / file)) for file in bad} == {
        "scraper/proxies/choice.py": 3,
        "scraper/sinks/disk.py": 1,
        "scraper/lab/site.py": 1,
        "scraper/runs/extension.py": 2,
    }


@pytest.mark.parametrize(
    "module",
    [
        "scraper.batches.worker",
        "scraper.batches.elsewhere.work",
        "scraper.sinks.parquet",
        "scraper.lab.server",
    ],
)
def test_a_process_that_is_not_the_crawl_never_loads_scrapy(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('scrapy', 'twisted') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        pytest.skip("not a git checkout: nothing is tracked here")
    return [path for line in done.stdout.splitlines() if (path := ROOT / line).is_file()]


def test_no_file_names_this_machine_or_a_registrys_host() -> None:
    forbidden = [f"{ROOT.parent}/", "pythonhost" + "ed", "py" + "pi.org/simple", "registry.npm" + "js"]
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        assert not [word for word in forbidden if word in text], path


def test_every_dependency_is_pinned_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = project["tool"]["uv"]["constraint-dependencies"]
    named = {pin.split("==")[0].lower() for pin in pins}
    twice = [
        pin for pin in pins if pin.partition(";")[2]
    ]  # one version by Python's, another by a newer one's
    assert len(named) == len(pins) - len(twice) // 2
    assert all("==" in pin for pin in pins)
    wanted = project["project"]["dependencies"] + [
        d for group in project["dependency-groups"].values() for d in group
    ]
    for line in wanted:
        assert re.split(r"[\[>=;]", line)[0].strip().lower().replace(".", "-") in named, line
