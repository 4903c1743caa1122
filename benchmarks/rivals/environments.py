"""The others, each with its own packages in a virtual environment of its own, made with uv when it is first needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from scraper.lab.process import LabProcess

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / "data" / "bench"
SESSIONS = 300  # that a rival is given of each gateway: as many as users put into such lists
# for each environment: what is installed with its dependencies, and what without. The 2019 wheel of
# scrapy-rotating-proxies wants the PyPI package `typing`, which hides the standard library's.
PACKAGES = {
    "scrapy": (["scrapy==2.19.0"], []),
    "rotating": (["scrapy==2.19.0", "six", "attrs"], ["scrapy-rotating-proxies==0.6.2"]),
    "crawlee": (["crawlee[parsel]==1.11.0"], []),
}


def _python(environment: str) -> Path:
    folder = ENVIRONMENTS / environment
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "ready").exists():
        whole, alone = PACKAGES[environment]
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        _uv("venv", "--clear", "--python", version, str(folder))
        _uv("pip", "install", "--python", str(python), *whole)
        if alone:
            _uv("pip", "install", "--python", str(python), "--no-deps", *alone)
        (folder / "ready").touch()
    return python


def _uv(*arguments: str) -> None:
    subprocess.run(["uv", *arguments, "--quiet"], check=True)


def proxies(lab: LabProcess) -> dict[str, list[str]]:
    """By pool, the cheapest first: addresses with credentials, for a gateway one for each of SESSIONS sessions."""
    found = {}
    for name, pool in sorted(lab.info["pools"].items(), key=lambda item: item[1]["usd_per_gb"]):
        if pool["kind"] == "list":
            found[name] = Path(pool["file"]).read_text(encoding="utf-8").split()
            continue
        password = quote(Path(pool["password_file"]).read_text(encoding="utf-8").strip(), safe="")
        netloc = urlsplit(pool["gateway"]).netloc
        users = (f"{pool['username']}-session-s{number}" for number in range(SESSIONS))
        found[name] = [f"http://{user}:{password}@{netloc}" for user in users]
    return found


def _player(environment: str, script: str, mode: str) -> Callable[[LabProcess, Path, Any], list[str]]:
    def command(lab: LabProcess, folder: Path, place: Any) -> list[str]:
        job = folder / "job.json"
        (folder / "out").mkdir(exist_ok=True)
        urls = [site["start_url"] for site in lab.info["sites"].values() if not site["needs_browser"]]
        told = {
            "mode": mode,
            "urls": urls,
            "proxies": proxies(lab),
            "out": str(folder / "out" / "rows.jsonl"),
            "ca": lab.info["ca"],
            "seed": place.seed,
        }
        job.write_text(json.dumps(told), encoding="utf-8")
        return [str(_python(environment)), str(HERE / script), str(job)]

    return command


PLAYERS = {
    "scrapy-all-pools": _player("scrapy", "with_scrapy.py", "all"),
    "scrapy-residential": _player("scrapy", "with_scrapy.py", "residential"),
    "scrapy-rotating-proxies": _player("rotating", "with_scrapy.py", "rotating"),
    "crawlee-plain": _player("crawlee", "with_crawlee.py", "plain"),
    "crawlee-tiered": _player("crawlee", "with_crawlee.py", "tiered"),
}
