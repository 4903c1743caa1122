"""The metered socket reports every byte once, in both directions, also at its end."""

from __future__ import annotations

import socket

from scraper.proxies.sockets import MeteredSocket


def test_bytes_are_reported_once_and_the_rest_at_close() -> None:
    seen: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = MeteredSocket(socket.AF_INET, socket.SOCK_STREAM)
        client.on_bytes = seen.append
        client.connect(server.getsockname())
        peer, _ = server.accept()
        with peer:
            client.sendall(b"x" * 1000)
            peer.recv(2000)
            peer.sendall(b"y" * 5000)
            got = 0
            while got < 5000:
                got += len(client.recv(6000))
            client.account()
            client.account()
            assert sum(seen) == 6000
            client.sendall(b"z" * 10)
            client.close()
    assert sum(seen) == 6010


def test_a_socket_that_never_connected_counts_nothing() -> None:
    seen: list[int] = []
    client = MeteredSocket(socket.AF_INET, socket.SOCK_STREAM)
    client.on_bytes = seen.append
    client.account()
    client.close()
    assert seen == []
