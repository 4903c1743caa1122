"""Proxies: credentials, errors, sessions, connections, meters, and the switch that kills them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from scraper.lab.process import LabProcess, start

GATEWAYS = ["residential", "mobile"]


def site(lab: Any, name: str) -> str:
    return lab.info["sites"][name]["start_url"]


@pytest.mark.parametrize("pool", ["datacentre", "residential", "mobile"])
@pytest.mark.parametrize("name", ["open", "slow"])
def test_a_wrong_password_gets_407_for_both_kinds_of_request(
    lab: Any, client_for: Any, pool: str, name: str
) -> None:
    """Absolute-form and CONNECT; the site never hears of it."""
    client, before = client_for(lab, pool), len(lab.served())
    client.password = "example"
    reply = client.get(site(lab, name))
    assert reply.status == 407
    assert reply.headers["Proxy-Authenticate"].startswith("Basic")
    assert reply.headers["X-Error-Code"] == "auth_failed"
    assert len(lab.served()) == before


@pytest.mark.parametrize(
    ("user", "status", "code"),
    [
        ("customer-other", 407, "auth_failed"),
        ("customer-lab-country-xx", 400, "unknown_country"),
        ("customer-lab-sesstime-100", 407, "bad_parameter"),
        ("customer-lab-session-", 407, "bad_parameter"),
    ],
)
def test_wrong_usernames_are_told_why(lab: Any, client_for: Any, user: str, status: int, code: str) -> None:
    """Status, header and reason."""
    reply = client_for(lab, "residential", user).get(site(lab, "geo"))
    assert (reply.status, reply.headers["X-Error-Code"]) == (status, code)
    assert reply.headers["X-Error-Description"]


def test_a_list_proxy_knows_no_parameters(lab: Any, client_for: Any) -> None:
    """Its exit is fixed."""
    assert client_for(lab, "datacentre", "customer-lab-country-us").get(site(lab, "open")).status == 407


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("http://example.com/", 403),
        ("https://example.com/", 403),
        ("http://localhost:{control}/truth", 403),
        ("http://open.localhost:{control}/truth", 403),
        ("https://127.0.0.1:{https}/", 403),
        ("http://open.localhost:x/", 400),
    ],
)
def test_proxies_reach_only_the_sites_of_the_lab(
    lab: Any, client_for: Any, address: str, status: int
) -> None:
    """Not the world, and not its control port."""
    client = client_for(lab, "mobile")
    with client.connect(None) as sock:
        address = address.format(**lab.info["ports"])
        if address.startswith("https"):
            reply = client.tunnel(sock, urlsplit(address).netloc)
        else:
            sock.sendall(f"GET {address} HTTP/1.1\r\n{client.authorization()}\r\n\r\n".encode())
            said = sock.recv(65536).decode()
            assert said.startswith(f"HTTP/1.1 {status} ")
            return
    assert reply.status == status


def test_without_a_session_each_connection_has_another_exit(lab: Any, client_for: Any) -> None:
    """And with one all have the same, over both kinds of request."""
    exits = []
    for user in ("customer-lab-country-us", "customer-lab-country-us-session-same"):
        client = client_for(lab, "residential", user)
        for name in ("open", "captcha", "open", "captcha", "open", "captcha"):
            client.get(site(lab, name))
        exits.append({line["exit"] for line in lab.served()[-6:]})
    assert len(exits[0]) >= 3
    assert len(exits[1]) == 1
    assert next(iter(exits[1])).startswith("residential-us-")


def test_absolute_form_keeps_the_connection_and_the_exit(lab: Any, client_for: Any, ask: Any) -> None:
    """Ten requests on one connection; another session on it goes out through another exit."""
    client = client_for(lab, "residential", "customer-lab-country-gb")
    parts = urlsplit(site(lab, "open"))
    before = lab.truth()["pools"]["residential"]["connections"]
    with client.connect(None) as sock:
        for n in range(10):
            client.user = f"customer-lab-country-gb-session-k{n}" if n > 4 else client.user
            headers = [f"Host: {parts.netloc}", client.authorization()]
            reply = ask(sock, f"GET http://{parts.netloc}/?page={1 + n % 2}", headers)
            assert (reply.status, reply.headers["Connection"]) == (200, "keep-alive")
    exits = [line["exit"] for line in lab.served()[-10:]]
    assert len(set(exits[:5])) == 1
    assert len(set(exits[5:])) > 1
    assert lab.truth()["pools"]["residential"]["connections"] == before + 1


def test_a_failed_connect_leaves_the_connection_to_the_client(lab: Any, client_for: Any) -> None:
    """As at many gateways: the right password on the same connection works."""
    client = client_for(lab, "mobile")
    right, client.password = client.password, "example"
    target = urlsplit(site(lab, "captcha")).netloc
    with client.connect(None) as sock:
        assert client.tunnel(sock, target).status == 407
        client.password = right
        assert client.tunnel(sock, target) is None


def test_a_request_with_a_body_passes(lab: Any, client_for: Any, ask: Any) -> None:
    """Content-Length yes, chunked no, half of it neither."""
    client = client_for(lab, "mobile")
    parts = urlsplit(site(lab, "open"))
    headers = [f"Host: {parts.netloc}", client.authorization()]
    length = [*headers, "Content-Length: 5"]
    with client.connect(None) as sock:
        sock.sendall("\r\n".join([f"POST http://{parts.netloc}/ HTTP/1.1", *length, "", "sk"]).encode())
    with client.connect(None) as sock:
        assert ask(sock, f"POST http://{parts.netloc}/basket", length, body=b"sku=1").status == 404
        chunked = [*headers, "Transfer-Encoding: chunked"]
        assert ask(sock, f"POST http://{parts.netloc}/", chunked).status == 411


@pytest.mark.parametrize(
    "noise", [b"\r\n\r\n", b"\x16\x03\x01 nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"]
)
def test_noise_on_a_proxy_port_ends_the_connection_and_nothing_else(
    lab: Any, client_for: Any, noise: bytes
) -> None:
    """The next client is served."""
    client = client_for(lab, "residential")
    with client.connect(None) as sock:
        sock.sendall(noise)
        try:
            said = sock.recv(65536)
        except ConnectionResetError:
            said = b""
    assert said == b"" or said.startswith(b"HTTP/1.1 400 ")
    assert client.get(site(lab, "open")).status == 200


def test_more_tunnels_than_threads_get_429(lab: Any, client_for: Any) -> None:
    """And pass again when one has ended."""
    client = client_for(lab, "mobile")
    target = urlsplit(site(lab, "captcha")).netloc
    with ExitStack() as tunnels:
        for _ in range(32):
            sock = tunnels.enter_context(client.connect(None))
            assert client.tunnel(sock, target) is None
        for name in ("captcha", "open"):
            reply = client.get(site(lab, name))
            assert (reply.status, reply.headers["X-Error-Code"]) == (429, "too_many_threads")
    until(lambda: client.get(site(lab, "captcha")).status == 200)


def until(true: Any, seconds: float = 3.0) -> None:
    """Wait until ``true()``."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@dataclass
class Counter:
    """Bytes that passed a relay, client to gateway and back."""

    up: int = 0
    down: int = 0


@contextmanager
def counting_relay(target: tuple[str, int], counter: Counter) -> Iterator[str]:
    """A relay before a proxy that counts independently; gives its "host:port"."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def pump(source: socket.socket, sink: socket.socket, way: str) -> None:
        try:
            while data := source.recv(65536):
                setattr(counter, way, getattr(counter, way) + len(data))
                sink.sendall(data)
        except OSError:
            pass
        for sock in (source, sink):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, socket.create_connection(target) as upstream:
                back = threading.Thread(target=pump, args=(upstream, client, "down"))
                back.start()
                pump(client, upstream, "up")
                back.join()

    threads.append(threading.Thread(target=serve))
    threads[0].start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        threads[0].join()


@pytest.mark.parametrize("pool", ["datacentre", "residential", "mobile"])
def test_bytes_are_those_that_an_independent_counter_sees(lab: Any, client_for: Any, pool: str) -> None:
    """Plain and TLS, refusals included, at the price of the pool."""
    client, counter = client_for(lab, pool), Counter()
    host, _, port = client.proxy.partition(":")
    before = lab.truth()["pools"][pool]
    with counting_relay((host, int(port)), counter) as client.proxy:
        for name in ("open", "slow", "captcha", "open"):
            assert client.get(site(lab, name)).status in (200, 429)
        client.password = "example"
        assert client.get(site(lab, "slow")).status == 407
    after = lab.truth()["pools"][pool]
    up, down = (after[way] - before[way] for way in ("bytes_up", "bytes_down"))
    assert (up, down) == (counter.up, counter.down)
    assert up > 2000
    assert down > 6000
    assert after["bytes"] == after["bytes_up"] + after["bytes_down"]
    assert after["usd"] == pytest.approx(
        after["bytes"] * {"datacentre": 0.6, "residential": 3, "mobile": 8}[pool] / 1e9
    )
    assert after["connections"] - before["connections"] == after["requests"] - before["requests"] == 5


def test_killed_pools_serve_nobody_and_revived_ones_do(lab: Any, client_for: Any) -> None:
    """Gateways say 502, list proxies do not listen, open tunnels break; the other pools go on."""
    gateway, listed, other = (client_for(lab, pool) for pool in ("residential", "datacentre", "mobile"))
    target = urlsplit(site(lab, "captcha")).netloc
    with gateway.connect(None) as sock:
        assert gateway.tunnel(sock, target) is None
        assert lab.control({"kill": ["residential", "datacentre"]}) == {"dead": ["datacentre", "residential"]}
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    before = len(lab.served())
    for name in ("open", "captcha"):
        reply = gateway.get(site(lab, name))
        assert (reply.status, reply.headers["X-Error-Code"]) == (502, "pool_down")
        with pytest.raises(ConnectionRefusedError):
            listed.get(site(lab, name))
    assert len(lab.served()) == before
    assert other.get(site(lab, "open")).status == 200
    assert lab.control({"revive": ["residential", "datacentre"]}) == {"dead": []}
    assert gateway.get(site(lab, "open")).status == listed.get(site(lab, "open")).status == 200


def test_list_proxies_have_addresses_of_their_own_where_the_system_lends_them(
    lab: Any, client_for: Any
) -> None:
    """Each is one exit."""
    lines = Path(lab.info["pools"]["datacentre"]["file"]).read_text().split()
    assert len(lines) == len(set(lines)) == 6
    hosts = {urlsplit(line).hostname for line in lines}
    assert hosts == ({f"127.0.7.{n}" for n in range(1, 7)} if lab.info["lends_addresses"] else {"127.0.0.1"})
    client = client_for(lab, "datacentre")
    for line in lines:
        client.proxy = f"{urlsplit(line).hostname}:{urlsplit(line).port}"
        assert client.get(site(lab, "open")).status == 200
    assert [row["exit"] for row in lab.served()[-6:]] == [f"datacentre-{n}" for n in range(1, 7)]


def test_exits_that_die_lose_their_session_and_their_tunnels(lab: Any, client_for: Any, ask: Any) -> None:
    """The session gets one 502 with a reason, then another exit; a tunnel through the dead exit is cut."""
    parts = urlsplit(site(lab, "captcha"))
    lost = 0
    for n in range(60):
        client = client_for(lab, "residential", f"customer-lab-country-us-session-d{n}")
        client.get(site(lab, "captcha"))
        first = lab.served()[-1]["exit"]
        for _ in range(41):
            reply = client.get(f"http://{parts.hostname}:{lab.info['ports']['http']}/robots.txt")
            if reply.status != 200:
                break
        if reply.status == 502:
            lost += 1
            assert reply.headers["X-Error-Code"] == "session_lost"
            assert client.get(site(lab, "captcha")).status == 200
            assert lab.served()[-1]["exit"] != first
            break
    assert lost


def test_a_session_on_an_exit_that_changes_moves_without_a_word(lab: Any, client_for: Any) -> None:
    """All answers are 200, through more than one exit."""
    address = site(lab, "open") + "robots.txt"
    for n in range(60):
        client = client_for(lab, "mobile", f"customer-lab-country-gb-session-m{n}")
        assert {client.get(address).status for _ in range(41)} == {200}
        exits = [line["exit"] for line in lab.served()[-41:]]
        if len(set(exits)) > 1:
            return
    raise AssertionError("no exit changed")


@pytest.fixture
def poor_lab(tmp_path: Path) -> Iterator[LabProcess]:
    """A lab without residential exits, whose sessions end soon."""
    with start(tmp_path, pages=1, residential_exits=0, idle_seconds=0.2) as running:
        yield running


def test_no_exit_left_is_503_and_idle_sessions_move(poor_lab: Any, client_for: Any) -> None:
    """Both are the pool's doing, not the site's."""
    reply = client_for(poor_lab, "residential", "customer-lab-country-de").get(site(poor_lab, "geo"))
    assert (reply.status, reply.headers["X-Error-Code"]) == (503, "no_exit")
    client = client_for(poor_lab, "mobile", "customer-lab-session-idle")
    for _ in range(5):
        client.get(site(poor_lab, "open"))
        time.sleep(0.25)
    assert len({line["exit"] for line in poor_lab.served()}) > 1
