"""``scrapy proxies``, as it is typed: against the lab, and against a gateway that refuses."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scraper.lab import process as lab_process

ROOT = Path(__file__).parents[2]
CANARY = "canary-7f3a"  # a password that may be seen nowhere


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab_process.LabProcess]:
    with lab_process.start(tmp_path_factory.mktemp("lab"), pages=1) as running:
        yield running


def proxies(lab: lab_process.LabProcess, folder: Path, *words: str, **settings: object) -> Any:
    """Run it with the lab's pools, its data in ``folder``."""
    given = {
        "PROXIES_FILE": lab.info["proxies"],
        "ALLOW_PRIVATE_ADDRESSES": 1,
        "PROXY_CHECK_URL": lab.info["check_url"],
        "DATA_DIR": folder / "data",
        **settings,
    }
    command = [sys.executable, "-m", "scrapy", "proxies", *words]
    for name, value in given.items():
        command += ["-s", f"{name}={value}"]
    return subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=60)


def test_check_asks_every_pool_for_its_exits_and_leaves_nothing_behind(
    lab: lab_process.LabProcess, tmp_path: Path
) -> None:
    found = proxies(lab, tmp_path, "check", "--json")
    assert (found.returncode, found.stderr) == (0, "")
    rows = {row["pool"]: row for row in json.loads(found.stdout)["pools"]}
    assert list(rows) == ["datacentre", "residential", "mobile"], "cheapest first"
    for row in rows.values():
        assert (row["answers"], row["tries"], row["errors"]) == (3, 3, [])
        assert len(row["exits"]) >= 2
        assert 0 < row["latency_median_s"] <= row["latency_worst_s"]
    assert rows["mobile"]["usd_per_gb"] == 8.0
    assert not (tmp_path / "data").exists()
    assert lab.served() == [], "only the page that tells who asks was asked"


def test_the_table_is_for_people_and_shows_no_secret(lab: lab_process.LabProcess, tmp_path: Path) -> None:
    found = proxies(lab, tmp_path, "check", "-L", "DEBUG")
    lines = found.stdout.splitlines()
    (header,) = [line for line in lines if "USD/GB" in line]
    assert "countries" in header
    assert [line for line in lines if "residential" in line and "3 of 3" in line]
    assert "every pool works" in found.stdout
    for secret in Path(lab.info["proxies"]).parent.glob("*.password"):
        assert secret.read_text().strip() not in found.stdout + found.stderr


def test_check_by_country_names_the_pools_that_have_none_there(
    lab: lab_process.LabProcess, tmp_path: Path
) -> None:
    found = proxies(lab, tmp_path, "check", "--country", "DE", "--tries", "2", "--json")
    assert found.returncode == 0, found.stderr
    rows = {row["pool"]: row for row in json.loads(found.stdout)["pools"]}
    assert (rows["residential"]["countries"], rows["mobile"]["countries"]) == ({"de": 2}, {"de": 2})
    assert (rows["datacentre"]["tries"], rows["datacentre"]["works"]) == (0, None)
    assert "cannot be asked for de" in rows["datacentre"]["notes"][0]
    every = proxies(lab, tmp_path, "check", "--countries", "--tries", "1", "--json")
    asked = [(row["pool"], row["asked"]) for row in json.loads(every.stdout)["pools"]]
    assert asked == [
        ("datacentre", ""),
        *((pool, code) for pool in ("residential", "mobile") for code in ("de", "fr", "gb", "us")),
    ]


def test_check_of_a_country_that_no_pool_has_fails_and_says_what_to_do(
    lab: lab_process.LabProcess, tmp_path: Path
) -> None:
    found = proxies(lab, tmp_path, "check", "--country", "jp")
    assert found.returncode == 1
    assert "no pool can be asked for jp: add it to `countries` of a pool" in found.stdout
    assert "works" not in found.stdout
    answer = json.loads(proxies(lab, tmp_path, "check", "--country", "jp", "--json").stdout)
    assert answer["works"] is None
    assert {row["works"] for row in answer["pools"]} == {None}


def test_the_help_has_no_option_for_a_heading() -> None:
    for width in (80, 100, 120):  # in narrower ones Scrapy's own options break so
        found = subprocess.run(
            [sys.executable, "-m", "scrapy", "proxies", "check", "-h"],
            cwd=ROOT, env={**os.environ, "COLUMNS": str(width)}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        lines = found.stdout.splitlines()
        headings = [before for before, line in itertools.pairwise(lines) if line and set(line) <= {"=", "-"}]
        assert headings == ["Usage", "Options", "Global Options"]


BROKEN = """
[pools.wrong]
kind = "gateway"
gateway = "http://127.0.0.1:{port}"
username = "customer-lab"
country_part = "-country-{{country}}"
session_part = "-session-{{session}}"
password_file = "wrong.password"
usd_per_gb = 2
countries = ["us", "de"]

[pools.closed]
kind = "list"
proxies = ["http://127.0.0.1:1"]
usd_per_gb = 1
"""


def test_what_does_not_work_is_told_in_plain_words_with_the_way_out(
    lab: lab_process.LabProcess, tmp_path: Path
) -> None:
    (tmp_path / "wrong.password").write_text(CANARY)
    file = tmp_path / "proxies.toml"
    file.write_text(BROKEN.format(port=lab.info["ports"]["residential"]))
    found = proxies(lab, tmp_path, "check", "--countries", PROXIES_FILE=file)
    assert found.returncode == 1, found.stdout + found.stderr
    lines = found.stdout.splitlines()
    (wrong,) = [line for line in lines if line.startswith("wrong, de: ")]
    assert "check username and password" in wrong
    assert "or this country" in wrong
    assert "407" in wrong
    (closed,) = [line for line in lines if line.startswith("closed: ")]
    assert "check host and port" in closed
    assert "does not work: closed, wrong" in found.stdout
    assert CANARY not in found.stdout + found.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "--countrie-s"], "--countrie-s"),
        (["chek"], "'chek': did you mean check?"),
        (["list"], "'list': say scrapy proxies check, or scrapy proxies why <site>"),
        (["why", "a.b", "c.d"], "why a.b c.d: one site only"),
        (["check", "home"], "check home: check takes options only"),
        (["why"], "scrapy proxies why <site>"),
        (["check", "--tries", "0"], "--tries"),
        (["check", "--country", "germany"], "two-letter"),
        (["check", "-s", "PROXIES_FILE=/nowhere.toml"], "/nowhere.toml"),
        (["check", "-s", "PROXY_STRATEGY=best"], "thompson"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_right(words: list[str], said: str) -> None:
    command = [sys.executable, "-m", "scrapy", "proxies", *words]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert found.returncode == 2
    assert said in found.stdout + found.stderr
    assert "Traceback" not in found.stderr


def test_why_tells_what_a_crawl_learnt_even_while_it_runs(
    lab: lab_process.LabProcess, tmp_path: Path, crawl: Callable[..., Any]
) -> None:
    options = [
        "-s", f"PROXIES_FILE={lab.info['proxies']}", "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", f"TLS_CA_FILE={lab.info['ca']}",
        "-s", "PROXY_STATE_SAVE_S=1",
    ]  # fmt: skip
    url = lab.info["sites"]["captcha"]["start_url"]
    run = crawl("shop", "-a", f"url={url}", *options, "-s", "DOWNLOAD_DELAY=0.4", folder=tmp_path / "data")
    deadline = time.monotonic() + 30
    while not (tmp_path / "data" / "proxies.sqlite").exists() or len(lab.served()) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(2)  # PROXY_STATE_SAVE_S, and a tick
    assert run.process.poll() is None
    during = json.loads(proxies(lab, tmp_path, "why", url, "--json").stdout)
    assert during["known"], "the file is at most PROXY_STATE_SAVE_S old"
    run.wait()
    after = proxies(lab, tmp_path, "why", "captcha.localhost", "--json")
    answer = json.loads(after.stdout)
    rows = {row["pool"]: row for row in answer["rows"]}
    assert answer["site"] == during["site"] == "captcha.localhost"
    assert rows["residential"]["right"] > 5
    assert rows["residential"]["chosen"] > rows["mobile"]["chosen"]
    assert sum(row["chosen"] for row in rows.values()) == pytest.approx(1)
    assert 0 <= rows["residential"]["seen_s_ago"] < 60
    assert rows["residential"]["low"] < rows["residential"]["share"] <= rows["residential"]["high"]
    text = proxies(lab, tmp_path, "why", "captcha.localhost").stdout
    assert f"{answer['rows'][0]['pool']} is taken for" in text
    assert "As a run that starts now would begin: 30 observations a pool at most." in text
    unknown = proxies(lab, tmp_path, "why", "captcha.example").stdout
    assert "Nothing is known about captcha.example" in unknown
    assert "captcha.localhost" in unknown


def test_why_before_any_run_makes_no_file(lab: lab_process.LabProcess, tmp_path: Path) -> None:
    found = proxies(lab, tmp_path, "why", "shop.example")
    assert (found.returncode, found.stderr) == (0, "")
    assert "Nothing is known about shop.example" in found.stdout
    assert not (tmp_path / "data").exists()
