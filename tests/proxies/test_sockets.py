"""The metered sockets report every byte once, in both directions, also at their end."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from scraper.proxies.sockets import (
    BODY_WINDOW,
    HEAD_WINDOW,
    CountingSocket,
    KernelMeteredSocket,
    MeteredSocket,
)

SORTS = [
    CountingSocket,
    pytest.param(
        KernelMeteredSocket, marks=pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's TCP_INFO")
    ),
]


@pytest.mark.parametrize("sort", SORTS)
def test_bytes_are_reported_once_and_the_rest_at_close(sort: type[MeteredSocket]) -> None:
    """Moved by asyncio's own loop, as a download is."""
    seen: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(100_000)
        writer.write(b"y" * 500_000)
        await writer.drain()
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async def talk() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        client = sort(socket.AF_INET, socket.SOCK_STREAM)
        client.on_bytes = seen.append
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, server.sockets[0].getsockname())
        reader, writer = await asyncio.open_connection(sock=client)
        writer.writelines([b"x" * 40_000, b"x" * 60_000])
        await reader.readexactly(500_000)
        client.account()
        client.account()
        assert sum(seen) == 600_000
        writer.write(b"z" * 10)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    asyncio.run(talk())
    assert sum(seen) == 600_010


@pytest.mark.parametrize("sort", SORTS)
def test_a_socket_that_never_connected_counts_nothing(sort: type[MeteredSocket]) -> None:
    seen: list[int] = []
    client = sort(socket.AF_INET, socket.SOCK_STREAM)
    client.on_bytes = seen.append
    client.account()
    client.close()
    assert seen == []


@pytest.mark.skipif(sys.platform != "linux", reason="the window is Linux's")
def test_the_receive_window_is_small_until_the_headers_are_good_and_then_free() -> None:
    """A clamp that stayed made a page of 1 MB take 8 s at 80 ms round trip; loopback does not show it."""
    clamp = 10  # TCP_WINDOW_CLAMP
    with socket.create_server(("127.0.0.1", 0)) as server, KernelMeteredSocket() as client:
        client.connect(server.getsockname())
        peer, _ = server.accept()
        with peer:
            if client.getsockopt(socket.IPPROTO_TCP, clamp) > 4 * HEAD_WINDOW:
                pytest.skip("a kernel before 5.16")
            client.let_in()
            assert client.getsockopt(socket.IPPROTO_TCP, clamp) >= BODY_WINDOW
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= BODY_WINDOW
