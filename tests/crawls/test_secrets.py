"""Planted passwords are in nothing that a run writes or prints, whatever goes wrong, at the most talkative log level."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scraper.lab import process as lab_process

CANARY = "canary-4f1c-example"


@pytest.mark.parametrize("password", ["right", "wrong"])
def test_no_proxy_password_in_any_artefact(crawl: Callable[..., Any], tmp_path: Path, password: str) -> None:
    with lab_process.start(tmp_path / "lab", pages=1) as lab:
        folder = tmp_path / "lab"
        secrets = {(folder / f"{name}.password").read_text().strip() for name in ("residential", "mobile")}
        secrets |= {
            line.split("@")[0].rpartition(":")[2] for line in (folder / "datacentre.txt").read_text().split()
        }
        if password == "wrong":
            for name in ("residential", "mobile"):
                (folder / f"{name}.password").write_text(CANARY)
            listed = (folder / "datacentre.txt").read_text()
            (folder / "datacentre.txt").write_text(
                listed.replace(listed.split("@")[0].rpartition(":")[2], CANARY)
            )
        urls = ",".join(lab.info["sites"][label]["start_url"] for label in ("captcha", "flaky", "redirect"))
        run = crawl(
            "shop", "-a", f"urls={urls}", "-s", f"PROXIES_FILE={folder}/proxies.toml", "-s", f"TLS_CA_FILE={folder}/ca.pem",
            "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", "DOWNLOAD_DELAY=0.02", "-s", "DOWNLOAD_TIMEOUT=2", "-s", "COOKIES_DEBUG=1",
            "-L", "DEBUG",
        ).wait()  # fmt: skip
    texts = {"stdout": run.out.encode(), "stderr": run.err.encode()}
    texts |= {str(path): path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    assert any("report.json" in name for name in texts)
    assert ("SUCCEEDED" in run.out) == (password == "right"), run.out
    for secret in secrets | {CANARY}:
        plain = secret.encode()
        for form in (plain, base64.b64encode(b"customer-lab:" + plain)):
            assert not [name for name, content in texts.items() if form in content]
