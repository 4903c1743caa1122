"""``scrapy genspider`` in this project: what it writes is clean, typed, and runs."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from parsel import Selector

from scraper.bans import contracts

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def generate(tmp_path: Path):
    """Run ``scrapy genspider`` into a package of the test's own and return the file it wrote."""

    def run(name: str, domain: str, template: str) -> Path:
        package = tmp_path / f"made_{template}"
        package.mkdir()
        (package / "__init__.py").write_text('"""Made by a test."""\n', "utf-8")
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "scrapy",
                "genspider",
                "-t",
                template,
                "-s",
                f"NEWSPIDER_MODULE={package.name}",
                name,
                domain,
            ],
            cwd=PROJECT,
            env={"PYTHONPATH": f"{tmp_path}:{PROJECT}", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert f"Created spider '{name}'" in done.stdout
        return package / f"{name.replace('-', '_')}.py"

    return run


@pytest.mark.parametrize("template", ["basic", "shop"])
def test_a_generated_spider_crawls(template: str, generate, crawl, web) -> None:
    """Unchanged, it reads a page of the structure that its selectors name."""
    file = generate("corner-shop", "127.0.0.1", template)
    head = "<h1>Tea</h1><b class=price>€ 3,50</b><p class=product><a href=/tea>Tea</a></p>"
    web.routes["/"] = (
        200,
        {"Content-Type": "text/html"},
        f"<title>one</title>{head}<a rel=next href=/2>2</a>".encode(),
    )
    web.routes["/2"] = (200, {"Content-Type": "text/html"}, f"<title>two</title>{head}".encode())
    web.routes["/tea"] = web.routes["/2"]
    done = crawl(f"{file.parent.name}.{file.stem}", path=file.parent.parent, url=web.url)
    assert done.log == ""
    if template == "basic":
        assert [item["title"] for item in done.items] == ["one", "two"]
    else:
        (tea,) = done.items
        assert (tea["title"], tea["price"], tea["currency"], tea["site"]) == ("Tea", 3.5, "EUR", "127.0.0.1")


@pytest.mark.parametrize(
    ("template", "callback"), [("basic", "parse"), ("shop", "parse"), ("shop", "parse_product")]
)
def test_the_contract_of_a_generated_spider_refuses_a_wall_with_a_title(
    template: str, callback: str, generate
) -> None:
    """And says how to try it on a page."""
    file = generate("corner-shop", "shop.example.com", template)
    assert "CHANGE ME" in file.read_text("utf-8")
    assert "scrapy bans explain ADDRESS --spider corner-shop" in file.read_text("utf-8")
    spec = importlib.util.spec_from_file_location(f"made_{template}_corner_shop", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)
    spider = next(one for name, one in vars(module).items() if name.endswith("Spider") and name != "Spider")
    table = contracts.parse(spider.name, spider.good_page, lambda name: hasattr(spider, name))
    wall = "<html><title>Just a moment...</title><p>Please wait while we check your browser.</p></html>"
    asked = table.of(callback, "https://shop.example.com/", 200)
    assert contracts.judge(asked, wall.encode(), wall, lambda: Selector(text=wall)) is not None


@pytest.mark.parametrize("template", ["basic", "shop"])
def test_a_generated_spider_passes_the_linters(template: str, generate) -> None:
    """ruff (lint and format) and mypy in strict mode have nothing to say."""
    ruff, mypy = _program("ruff"), _program("mypy")
    file = generate("corner-shop", "shop.example.com", template)
    for command in (
        [ruff, "check", "--no-cache", "--config", str(PROJECT / "pyproject.toml"), str(file)],
        [ruff, "format", "--no-cache", "--check", "--config", str(PROJECT / "pyproject.toml"), str(file)],
        [
            mypy,
            "--strict",
            "--no-incremental",
            "--follow-imports=silent",
            "--python-executable",
            sys.executable,
            str(file),
        ],
    ):
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _program(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (uv sync --group lint)")
    return found
