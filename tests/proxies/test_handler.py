"""The tunnels: whatever a proxy or a site does, the right word comes out, no socket stays, and the bytes are counted."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
import uvloop
from scrapy import Request, signals
from scrapy.exceptions import (
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    ResponseDataLossError,
    StopDownload,
)
from scrapy.utils.test import get_crawler

from scraper import names
from scraper.errors import CertificateRefused, GatewayError, TargetRefused
from scraper.proxies.connections import Connections
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.handler import ProxyDownloadHandler
from scraper.proxies.pools import Pool
from tests.proxies.servers import HOST, Gateway, Server, Site, Socks

USER, PASSWORD = "customer-session-{}", "example-canary"


class Identities:
    """What the handler asks of IdentityMiddleware: every id is a live identity of ``pool`` until it is retired."""

    def __init__(self, connections: Connections, endpoint: Endpoint | None) -> None:
        self.connections = connections
        self.on_retired: list[Callable[[str], None]] = []
        self.roster = self
        self.endpoint = endpoint
        self.gone: set[str] = set()
        self.n_bytes: Counter[str] = Counter()

    def get(self, identity_id: str) -> Any:
        if not identity_id or identity_id in self.gone:
            return None
        endpoint = self.endpoint
        if endpoint is not None and endpoint.user:
            user = endpoint.user.format(identity_id)
            endpoint = Endpoint(endpoint.scheme, endpoint.host, endpoint.port, user, endpoint.password)
        pool = Pool("home", "gateway" if endpoint else "direct", endpoints=(endpoint,) if endpoint else ())
        return SimpleNamespace(
            id=identity_id, endpoint=endpoint, proxy_headers={}, arm=SimpleNamespace(pool=pool)
        )

    def retire(self, identity_id: str) -> None:
        self.gone.add(identity_id)
        for close in self.on_retired:
            close(identity_id)

    def spent(self, identity: Any, site: str, n_bytes: int) -> None:
        self.n_bytes[site] += n_bytes


class Tried:
    """A handler and what it is used with."""

    def __init__(self, endpoint: Endpoint | None, ca_file: str = "", **settings: Any) -> None:
        wanted = {"PROXY_CONNECT_TIMEOUT_S": 0.5, "PROXY_IDENTITY_MAX_IDLE_S": 48.0, "ALLOW_PRIVATE_ADDRESSES": True,
                  "DOWNLOAD_VERIFY_CERTIFICATES": True, "TLS_CA_FILE": ca_file, **settings}  # fmt: skip
        self.crawler = get_crawler(settings_dict=wanted)
        self.identities = Identities(Connections.read(self.crawler.settings), endpoint)
        self.crawler.get_downloader_middleware = lambda _: self.identities  # type: ignore[method-assign,assignment]  # no middlewares run here: the handler asks for the one it needs
        self.handler = ProxyDownloadHandler(self.crawler)

    async def get(self, url: str, identity: str = "a", timeout_s: float = 5.0, **request: Any) -> Any:
        meta = {names.IDENTITY: identity, "download_timeout": timeout_s, **request.pop("meta", {})}
        self.request = Request(url, meta=meta, **request)
        return await self.handler.download_request(self.request)


LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request: Any) -> Callable[[Awaitable[None]], None]:
    """Runs a test's coroutine function on each event loop that a crawl may have."""

    async def until_stopped(main: Any) -> None:
        try:
            await main()
        finally:
            while Server.started:
                await Server.started.pop().stop()

    def run(main: Any) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(until_stopped(main))

    return run


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """The context of a server that is 127.0.0.1 and site.localhost, and the file of its authority."""
    authority = trustme.CA()
    path: Path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST, "site.localhost").configure_cert(context)
    return context, str(path)


def endpoint_of(server: Server, scheme: str = "http") -> Endpoint:
    return Endpoint(scheme, HOST, server.port, USER, PASSWORD)


@contextmanager
def raises(kind: str) -> Iterator[None]:
    """A GatewayError of that class, which tells no secret."""
    with pytest.raises(GatewayError) as caught:
        yield
    assert caught.value.kind == kind, caught.value
    assert PASSWORD not in f"{caught.value!r}{caught.value}"


# --- no socket stays ------------------------------------------------------------------------------------------------

WRONG = {
    "refuses": "config",
    "says it in the body": "no_exit",
    "garbage": "transient",
    "half a head, and leaves": "transient",
    "endless head": "transient",
    "leaves": "transient",
}


@pytest.mark.parametrize("manner", WRONG)
@pytest.mark.parametrize("over_tls", [False, True])
def test_a_refused_connect_has_its_class_and_leaves_no_socket(
    run: Any, tls: Any, manner: str, over_tls: bool
) -> None:
    async def main() -> None:
        proxy = await Gateway(manner, tls[0] if over_tls else None).start()
        tried = Tried(endpoint_of(proxy, "https" if over_tls else "http"), tls[1])
        for n in range(3):
            with raises(WRONG[manner]):
                await tried.get(f"https://site.localhost:{n + 1}/")
        assert tried.request.meta[names.WIRE_BYTES] > 100
        assert (await proxy.until_closed(), len(proxy.wires)) == (0, 3)
        await tried.handler.close()

    run(main)


@pytest.mark.parametrize("manner", ["silent", "half a head", "opens, then is silent"])
@pytest.mark.parametrize("over_tls", [False, True])
def test_a_silent_proxy_ends_with_the_connect_timeout_and_leaves_no_socket(
    run: Any, tls: Any, manner: str, over_tls: bool
) -> None:
    async def main() -> None:
        proxy = await Gateway(manner, tls[0] if over_tls else None).start()
        tried = Tried(endpoint_of(proxy, "https" if over_tls else "http"), tls[1])
        began_s = time.monotonic()
        found = await asyncio.gather(
            *(tried.get("https://site.localhost/", f"i{n}") for n in range(5)), return_exceptions=True
        )
        assert [type(error) for error in found] == [DownloadTimeoutError] * 5
        assert 0.4 < time.monotonic() - began_s < 2.0
        assert await proxy.until_closed() == 0
        await tried.handler.close()

    run(main)


def test_the_end_of_a_tunnel_before_tls_and_a_wrong_certificate_leave_no_socket(run: Any, tls: Any) -> None:
    async def main() -> None:
        proxy, site = await Gateway("opens, then leaves").start(), await Site(tls[0]).start()
        tried = Tried(endpoint_of(proxy))  # which trusts no authority of ours
        with pytest.raises(DownloadFailedError, match="broke before TLS"):
            await tried.get("https://site.localhost/")
        proxy.manner = "well"
        with pytest.raises(CertificateRefused):
            await tried.get(f"https://site.localhost:{site.port}/")
        assert (await proxy.until_closed(), await site.until_closed(), site.asked) == (0, 0, [])
        await tried.handler.close()

    run(main)


def test_a_proxy_that_is_not_there_is_unreachable_and_its_name_is_looked_up_again(run: Any) -> None:
    async def main() -> None:
        proxy = await Gateway().start()
        tried = Tried(Endpoint("http", "gateway.localhost", proxy.port))
        await proxy.stop()
        with raises("unreachable"):
            await tried.get("https://site.localhost/")
        assert "gateway.localhost" not in tried.handler._resolver._known

    run(main)


def test_400_refusals_and_200_fresh_sessions_leave_nothing_open(run: Any, tls: Any) -> None:
    """benchmarks/sockets.py in small: at no time more than 2 x the concurrency is open, at the end only what is idle."""

    async def main() -> None:
        proxy, site = await Gateway("refuses").start(), await Site(tls[0]).start()
        tried, gate, peak = (
            Tried(endpoint_of(proxy), tls[1], CONCURRENT_REQUESTS=16),
            asyncio.Semaphore(16),
            0,
        )

        async def one(n: int) -> Any:
            nonlocal peak
            async with gate:
                try:
                    return await tried.get(f"https://site.localhost:{site.port}/bytes/1000", f"i{n}")
                except GatewayError as error:
                    return error.kind
                finally:
                    peak = max(peak, proxy.open)

        assert set(await asyncio.gather(*map(one, range(400)))) == {"config"}
        assert await proxy.until_closed() == 0
        proxy.manner = "well"
        pages = await asyncio.gather(*map(one, range(400, 600)))
        assert {page.status for page in pages} == {200}
        assert peak <= 2 * 16 + 8  # the proxy sees a few of our closings only after the next opening
        assert await proxy.until_closed(16) == 16  # idle, for identities that may come back
        for n in range(600):
            tried.identities.retire(f"i{n}")
        assert await proxy.until_closed() == 0
        await tried.handler.close()

    run(main)


# --- whose connection it is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_identities_never_share_a_connection_and_one_reuses_its_own(run: Any, tls: Any, scheme: str) -> None:
    async def main() -> None:
        site = await Site(tls[0] if scheme == "https" else None).start()
        proxy = await Gateway().start()
        tried = Tried(endpoint_of(proxy), tls[1])
        for n in range(30):
            answer = await tried.get(f"{scheme}://site.localhost:{site.port}/bytes/500", f"i{n % 3}")
            assert (answer.status, len(answer.body)) == (200, 512)
        users: dict[int, set[str]] = {}
        for number, user, _ in proxy.users:
            users.setdefault(number, set()).add(user)
        assert sorted(map(list, users.values())) == [[USER.format(f"i{n}")] for n in range(3)]
        assert len(site.wires) == (3 if scheme == "https" else 30)  # this proxy asks the site anew each time
        await tried.handler.close()
        assert await proxy.until_closed() == 0

    run(main)


def test_idle_connections_are_bounded_in_number_the_longest_idle_goes_first(run: Any) -> None:
    async def main() -> None:
        site = await Site().start()
        tried = Tried(None, CONCURRENT_REQUESTS=4)
        for n in range(10):
            await tried.get(f"http://{HOST}:{site.port}/", f"i{n}")
        assert await site.until_closed(4) == 4
        await tried.get(f"http://{HOST}:{site.port}/", "i9")
        assert len(site.wires) == 10
        await tried.get(f"http://{HOST}:{site.port}/", "i0")
        assert len(site.wires) == 11
        await tried.handler.close()
        assert await site.until_closed() == 0

    run(main)


def test_idle_connections_are_bounded_in_time_and_end_with_their_identity(run: Any) -> None:
    async def main() -> None:
        site = await Site().start()
        tried = Tried(None, PROXY_IDENTITY_MAX_IDLE_S=1.0)
        began_s = time.monotonic()
        for name in "abc":
            await tried.get(f"http://{HOST}:{site.port}/", name)
        tried.identities.retire("b")
        assert await site.until_closed(2, 0.5) == 2
        assert await site.until_closed() == 0
        assert 0.9 < time.monotonic() - began_s < 2.0

    run(main)


def test_a_request_in_flight_outlives_its_identity_and_its_connection_does_not(run: Any) -> None:
    async def main() -> None:
        site = await Site().start()
        tried = Tried(None)
        page = asyncio.create_task(tried.get(f"http://{HOST}:{site.port}/blocked/200000"))
        await asyncio.sleep(0.05)
        tried.identities.retire("a")
        assert (await page).status == 403
        assert await site.until_closed() == 0
        with pytest.raises(TargetRefused):
            await tried.get(f"http://{HOST}:{site.port}/")

    run(main)


def test_a_connection_that_was_closed_while_idle_is_opened_again_unseen(run: Any) -> None:
    async def main() -> None:
        site = await Site().start()
        tried = Tried(None)
        for _ in range(3):
            assert (await tried.get(f"http://{HOST}:{site.port}/leaves")).status == 200
        assert len(site.wires) == 3
        await tried.handler.close()

    run(main)


def test_what_a_site_sends_unasked_is_never_the_next_page(run: Any) -> None:
    async def main() -> None:
        site = await Site().start()
        tried = Tried(None)
        for _ in range(5):
            answer = await tried.get(f"http://{HOST}:{site.port}/talks-on")
            assert b"not yours" not in answer.body
            await asyncio.sleep(0.01)
        await tried.handler.close()

    run(main)


# --- what comes out -------------------------------------------------------------------------------------------------


def test_a_stopped_download_costs_no_body_and_its_connection(run: Any, tls: Any) -> None:
    async def main() -> None:
        proxy, site = await Gateway().start(), await Site(tls[0]).start()
        tried = Tried(endpoint_of(proxy), tls[1])
        seen = []

        def stop(body_length: int, status: int) -> None:
            seen.append((body_length, status))
            raise StopDownload(fail=False)

        tried.crawler.signals.connect(stop, signals.headers_received, weak=False)
        answer = await tried.get(f"https://site.localhost:{site.port}/blocked/2000000")
        assert (answer.status, answer.body, answer.flags) == (403, b"", ["download_stopped"])
        assert seen == [(2_000_000, 403)]
        assert await proxy.until_closed() == 0
        assert proxy.by_host["site.localhost"] < 100_000
        assert tried.request.meta[names.WIRE_BYTES] < 100_000

    run(main)


@pytest.mark.parametrize("path", ["cut", "bad-chunk"])
def test_a_body_that_breaks_off_is_data_loss(run: Any, path: str) -> None:
    async def main() -> None:
        site = await Site().start()
        tried = Tried(None)
        with pytest.raises((ResponseDataLossError, DownloadFailedError)):
            await tried.get(f"http://{HOST}:{site.port}/{path}", timeout_s=2)
        assert await site.until_closed() == 0

    run(main)


def test_a_stalled_page_ends_with_its_own_timeout_and_its_connection(run: Any) -> None:
    async def main() -> None:
        site = await Site().start()
        tried = Tried(None)
        with pytest.raises(DownloadTimeoutError, match="longer than"):
            await tried.get(f"http://{HOST}:{site.port}/stalls", timeout_s=0.3)
        assert tried.handler._lines.n_idle == 0

    run(main)


def test_what_is_sent_is_what_was_asked(run: Any) -> None:
    async def main() -> None:
        site = await Site().start()
        tried = Tried(None)
        url = f"http://ann:example@site.localhost:{site.port}/a;b/c?d=%20e#f"
        await tried.get(
            url, method="POST", body=b"form", headers={"X-One": ["1", "2"], "Proxy-Authorization": "no"}
        )
        assert "".join(site.heads).split("\r\n") == [
            "POST /a;b/c?d=%20e HTTP/1.1", f"Host: site.localhost:{site.port}", "X-One: 1", "X-One: 2",
            "Authorization: Basic YW5uOmV4YW1wbGU=", "Content-Length: 4", "", "",
        ]  # fmt: skip
        with pytest.raises(DownloadFailedError, match="line break"):
            await tried.get(f"http://{HOST}:{site.port}/", headers={"X-One": b"1\r\nX-Two: 2"})
        with pytest.raises(DownloadConnectionRefusedError):
            await tried.get(f"http://{HOST}:1/")
        await tried.handler.close()

    run(main)


@pytest.mark.parametrize("host", ["127.0.0.1", "site.localhost"])
def test_our_own_address_asks_no_private_one_unless_told(run: Any, host: str) -> None:
    async def main() -> None:
        site = await Site().start()
        tried = Tried(None, ALLOW_PRIVATE_ADDRESSES=False)
        with pytest.raises(TargetRefused, match="private"):
            await tried.get(f"http://{host}:{site.port}/")
        assert site.wires == []

    run(main)


def test_credentials_that_a_gateway_repeats_are_not_repeated_by_us(run: Any) -> None:
    async def main() -> None:
        proxy = await Gateway("repeats").start()
        tried = Tried(endpoint_of(proxy))
        for url in ("https://site.localhost/", "http://site.localhost/"):
            with pytest.raises(GatewayError) as caught:
                await tried.get(url)
            assert str(caught.value) == "pool home answered 407 no (hidden):(hidden) (hidden) (config)"
        await tried.handler.close()
        assert await proxy.until_closed() == 0

    run(main)


# --- SOCKS5 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("kind", ["socks5", "socks5h"])
def test_pages_come_through_socks5_which_is_told_the_name(run: Any, tls: Any, scheme: str, kind: str) -> None:
    async def main() -> None:
        site = await Site(tls[0] if scheme == "https" else None).start()
        proxy = await Socks(USER.format("a"), PASSWORD).start()
        tried = Tried(endpoint_of(proxy, kind), tls[1])
        for _ in range(3):
            assert (await tried.get(f"{scheme}://site.localhost:{site.port}/bytes/10000")).status == 200
        assert proxy.names == ["3 site.localhost"]  # by name, and once
        assert "Proxy" not in "".join(site.heads)
        await tried.handler.close()
        assert await proxy.until_closed() == 0
        assert tried.identities.n_bytes["site.localhost"] == pytest.approx(
            proxy.by_host["site.localhost"], rel=0.01
        )

    run(main)


@pytest.mark.parametrize(
    ("reply", "kind"), [(1, "transient"), (2, "forbidden"), (3, "target"), (4, "target"), (5, "target")]
)
def test_a_refusal_of_socks5_has_its_class_and_leaves_no_socket(run: Any, reply: int, kind: str) -> None:
    async def main() -> None:
        proxy = await Socks(USER.format("a"), PASSWORD, reply=reply).start()
        tried = Tried(endpoint_of(proxy, "socks5"))
        for url in ("http://site.localhost/", "https://site.localhost/"):
            with raises(kind):
                await tried.get(url)
        assert await proxy.until_closed() == 0

    run(main)


def test_socks5_with_a_wrong_password_or_silence_ends_and_leaves_no_socket(run: Any) -> None:
    async def main() -> None:
        proxies = [await Socks(USER.format("a"), "another").start(), await Socks().start()]
        for proxy in proxies:
            with raises("config"):
                await Tried(endpoint_of(proxy, "socks5")).get("http://site.localhost/")
        for step in ("greeting", "connect"):
            proxies.append(await Socks(USER.format("a"), PASSWORD, silent_at=step).start())
            with pytest.raises(DownloadTimeoutError):
                await Tried(endpoint_of(proxies[-1], "socks5")).get("http://site.localhost/")
        for proxy in proxies:
            assert await proxy.until_closed() == 0

    run(main)


# --- names --------------------------------------------------------------------------------------------------------------


def test_a_name_is_looked_up_once_for_all_who_ask_and_again_when_nobody_answers(run: Any) -> None:
    async def main() -> None:
        site = await Site().start()
        tried = Tried(None)
        asked = Counter[str]()

        async def look_up(host: str, **_: Any) -> Any:
            asked[host] += 1
            await asyncio.sleep(0.05)
            return [(2, 1, 6, "", ("127.0.0.2" if asked[host] == 1 else HOST, 0))]

        with pytest.MonkeyPatch.context() as patch:  # no name server here: its answers are what is tested
            patch.setattr("scraper.proxies.resolver.look_up", look_up)
            url = f"http://moved.example:{site.port}/"
            found = await asyncio.gather(*(tried.get(url, f"i{n}") for n in range(8)), return_exceptions=True)
            assert {type(error) for error in found} == {DownloadConnectionRefusedError}
            assert asked["moved.example"] == 1
            assert (await tried.get(url)).status == 200  # it has moved, and is found
            assert asked["moved.example"] == 2
            for n in range(8):
                await tried.get(url, f"j{n}")
            assert asked["moved.example"] == 2
        await tried.handler.close()

    run(main)
