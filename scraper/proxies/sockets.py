"""I/O. A socket that counts what crosses it: CONNECT, TLS handshakes and refused answers included.

On Linux the kernel counts (TCP_INFO, 4.2 and later), whatever event loop drives the socket. Elsewhere the socket's
own send and recv count, which needs an event loop that calls them (asyncio's does, uvloop does not).
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

Report = Callable[[int], None]  # called with the bytes, both directions, since the last report

_LINUX = sys.platform == "linux"
_TCP_INFO = 11  # linux/tcp.h
# struct tcp_info: tcpi_bytes_acked at 120, tcpi_bytes_received at 128; since 4.19 tcpi_bytes_sent at 200 and
# tcpi_bytes_retrans at 208, all u64. Sent less retransmitted is what the gateway was given.
_ACKED_RECEIVED = struct.Struct("=QQ")
_ACKED_AT, _SENT_AT, _WANTED = 120, 200, 216


class MeteredSocket(socket.socket):
    """Reports to ``on_bytes`` whenever ``account`` is called, and a last time when it is closed or detached."""

    on_bytes: Report | None = None
    _reported = 0
    _counted = 0

    def account(self) -> None:
        """Report the bytes since the last call; nothing happens where nothing moved."""
        total = self._kernel_count() if _LINUX else self._counted
        if total > self._reported and self.on_bytes is not None:
            self.on_bytes(total - self._reported)
            self._reported = total

    def close(self) -> None:
        if self.fileno() != -1:
            self.account()
        super().close()

    def detach(self) -> int:
        if self.fileno() != -1:
            self.account()
        return super().detach()

    def _kernel_count(self) -> int:
        try:
            info = self.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _WANTED)
        except OSError:  # closed by the peer before it was connected
            return 0
        if len(info) < _ACKED_AT + 16:
            return 0
        acked, received = _ACKED_RECEIVED.unpack_from(info, _ACKED_AT)
        sent = acked
        if len(info) >= _WANTED:
            sent_all, again = _ACKED_RECEIVED.unpack_from(info, _SENT_AT)
            sent = sent_all - again
        return int(sent + received)


if not _LINUX:  # pragma: no cover  # counted by hand

    class _CountingSocket(MeteredSocket):
        def send(self, *args: Any) -> int:
            n = super().send(*args)
            self._counted += n
            return n

        def recv(self, *args: Any) -> bytes:
            data = super().recv(*args)
            self._counted += len(data)
            return data

        def recv_into(self, *args: Any) -> int:
            n = super().recv_into(*args)
            self._counted += n
            return n

    MeteredSocket = _CountingSocket  # type: ignore[misc]
