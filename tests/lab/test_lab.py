"""Starting and ending: the command, the process, the lab inside a running loop."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from scraper.lab.__main__ import main
from scraper.lab.options import LabError, LabOptions
from scraper.lab.process import start
from scraper.lab.server import Lab

COMMAND = [sys.executable, "-m", "scraper.lab"]


@dataclass(frozen=True)
class Ended:
    """How the command ended."""

    code: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    try:
        code = main(list(arguments))
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    said = capsys.readouterr()
    return Ended(code, said.out, said.err)


def test_it_ends_when_its_standard_input_closes(tmp_path: Path) -> None:
    """So it dies with whoever started it, and says nothing."""
    process = subprocess.Popen(
        [*COMMAND, "--json", "--while-stdin", "--dir", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline()) == json.loads((tmp_path / "lab.json").read_text())
        process.stdin.close()
        assert process.wait(5) == 0
        assert process.stdout.read() == process.stderr.read() == b""


def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Nobody has to clean up after a crawl that got SIGKILL."""
    code = (
        f"from scraper.lab.process import start; start({str(tmp_path)!r}); print('up', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().strip() == b"up"
        port = json.loads((tmp_path / "lab.json").read_text())["ports"]["control"]
        parent.kill()
    for _ in range(100):
        with socket.socket() as sock:
            sock.settimeout(1)
            if sock.connect_ex(("127.0.0.1", port)):
                return
        subprocess.run([sys.executable, "-c", ""], check=True)
    raise AssertionError("the lab still listens")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_on_a_signal_and_prints_how_to_use_it(tmp_path: Path, number: signal.Signals) -> None:
    """With open connections too."""
    process = subprocess.Popen(
        [*COMMAND, "--dir", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        text = ""
        while "Ctrl-C" not in text:
            text += process.stdout.readline()
        info = json.loads((tmp_path / "lab.json").read_text())
        ports = info["ports"]
        with (
            socket.create_connection(("127.0.0.1", ports["http"])),
            socket.create_connection(("127.0.0.1", ports["mobile"])),
        ):
            process.send_signal(number)
            assert process.wait(5) == 0
        assert process.stderr.read() == ""
    for part in (
        info["sites"]["geo"]["start_url"],
        "--cacert",
        "PROXIES_FILE=",
        f"PROXY_CHECK_URL={info['check_url']}",
        info["truth_url"],
    ):
        assert part in text


def test_without_a_folder_it_makes_one(tmp_path: Path) -> None:
    """A new one in the place for temporary files."""
    process = subprocess.Popen(
        [*COMMAND, "--json", "--while-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path), "TEMP": str(tmp_path)},
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        info = json.loads(process.stdout.readline())
        process.stdin.close()
        assert process.wait(5) == 0
    assert Path(info["dir"]).parent == tmp_path.resolve()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--http-port", "70000"], "--http-port 70000: must be from 0 to 65535"),
        (["--pages", "0"], "--pages 0: must be from 1 to 1000"),
        (["--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["--geo-country", "xx"], "--geo-country xx: must be one of us, de, fr, gb"),
        (["--datacentre-port", "65535"], "--datacentre-port 65535: the last of the list would be port 65540"),
        (["--prt", "1"], "unrecognized arguments: --prt 1"),
    ],
)
def test_wrong_options_are_named_with_the_way_out(
    arguments: list[str], said: str, tmp_path: Path, capsys: Any
) -> None:
    """Exit code 2, no traceback."""
    ended = run(capsys, "--dir", str(tmp_path / "lab"), *arguments)
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""


@pytest.mark.parametrize("option", ["http", "control", "residential"])
def test_a_port_that_is_taken_is_named(option: str, tmp_path: Path, capsys: Any) -> None:
    """Whichever it is."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(capsys, "--dir", str(tmp_path), f"--{option}-port", str(port))
    assert ended.code == 2
    assert f"--{option}-port {port}: " in ended.err
    assert "choose another port" in ended.err
    assert "Traceback" not in ended.err


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: Any) -> None:
    """A file is in its way."""
    (tmp_path / "file").touch()
    ended = run(capsys, "--dir", str(tmp_path / "file" / "lab"))
    assert ended.code == 2
    assert "--dir " in ended.err
    assert "Traceback" not in ended.err


def test_start_says_what_the_lab_said_when_it_cannot_start(tmp_path: Path) -> None:
    """And refuses unknown and wrong options before it starts anything."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LabError, match=rf"ended at once.*--http-port {port}"):
            start(tmp_path, http_port=port)
    with pytest.raises(TypeError, match="colour"):
        start(tmp_path, colour="red")
    with pytest.raises(LabError, match="--pages"):
        start(tmp_path, pages=0)


def test_the_folder_holds_what_a_crawler_needs_and_secrets_only_where_they_belong(tmp_path: Path) -> None:
    """Passwords differ from start to start, and are in the files of credentials alone."""
    passwords = []
    for _ in range(2):
        with start(tmp_path, seed=5) as lab:
            config = tomllib.loads((tmp_path / "proxies.toml").read_text())["pools"]
            found = [
                (tmp_path / f"{name}.password").read_text().strip() for name in ("residential", "mobile")
            ]
            found += [urlsplit((tmp_path / "datacentre.txt").read_text().split()[0]).password]
            passwords += found
            for open_file in ("lab.json", "proxies.toml", "lab.log"):
                assert not any(secret in (tmp_path / open_file).read_text() for secret in found)
    assert len(set(passwords)) == 6
    assert [pool["kind"] for pool in config.values()] == ["list", "gateway", "gateway"]
    assert config["residential"]["gateway"] == f"http://127.0.0.1:{lab.info['ports']['residential']}"
    assert config["residential"]["usd_per_gb"] == 3.0
    for name in ("datacentre.txt", "residential.password", "mobile.password"):
        assert os.name == "nt" or (tmp_path / name).stat().st_mode & 0o077 == 0


def test_control_refuses_what_it_does_not_know(lab: Any) -> None:
    """With a word about what there is."""
    with pytest.raises(LabError, match=r"no such pool.*satellite"):
        lab.control({"kill": ["satellite"]})
    with pytest.raises(LabError, match="wanted"):
        lab.control(["kill"])


def test_the_same_seed_gives_the_same_lab(tmp_path: Path, client_for: Any) -> None:
    """Catalogues, exits of sessions, and faults, whatever the ports."""

    async def scenario(seed: int) -> tuple[Any, Any]:
        async with Lab(tmp_path, LabOptions(seed=seed, pages=1, stall_seconds=0)) as lab:
            view = type("View", (), {"info": lab.info})
            for n in range(40):
                client = client_for(view, "residential", f"customer-lab-session-{n}")
                with contextlib.suppress(OSError, http.client.HTTPException):
                    await asyncio.to_thread(client.get, f"{lab.info['sites']['flaky']['start_url']}none/{n}")
            served = [(line.path, line.exit, line.detail) for line in lab.control.served()]
            return lab.control.truth()["sites"]["open.localhost"]["products"], served

    first, second, other = (asyncio.run(scenario(seed)) for seed in (1, 1, 2))
    assert first == second
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_where_only_one_address_is_lent_exits_are_told_apart_by_the_gateway(
    tmp_path: Path, client_for: Any
) -> None:
    """As on macOS; here in the loop of the test."""

    async def scenario() -> None:
        async with Lab(tmp_path, LabOptions(pages=1), lends=False) as lab:
            view = type("View", (), {"info": lab.info})
            for pool in ("datacentre", "residential", "mobile", "direct"):
                client = client_for(view, pool)
                for name in ("open", "captcha"):
                    reply = await asyncio.to_thread(client.get, lab.info["sites"][name]["start_url"])
                    assert reply.status == 200
            lines = lab.control.truth()["served"]
            assert lines["open.localhost"] == {"listing": 4}
            assert lines["captcha.localhost"] == {"captcha": 2, "listing": 2}

    asyncio.run(scenario())


def test_a_lab_in_a_running_loop_ends_with_its_connections(tmp_path: Path, client_for: Any) -> None:
    """Stalled requests and open tunnels do not hold it up."""

    async def scenario() -> None:
        async with Lab(tmp_path, LabOptions(pages=1, fault_share=1.0)) as lab:
            view = type("View", (), {"info": lab.info})
            client = client_for(view, "mobile")
            sock = await asyncio.to_thread(client.connect, None)
            await asyncio.to_thread(
                client.tunnel, sock, urlsplit(lab.info["sites"]["geo"]["start_url"]).netloc
            )
            waiting = [
                asyncio.create_task(
                    asyncio.to_thread(client.get, lab.info["sites"]["flaky"]["start_url"] + f"none/{n}")
                )
                for n in range(20)
            ]
            await asyncio.sleep(0.3)
        await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 2)
        sock.close()

    asyncio.run(asyncio.wait_for(scenario(), 5))
