"""I/O. A socket that counts what crosses it: CONNECT, TLS handshakes and refused answers included.

On Linux the kernel counts (TCP_INFO), whatever event loop drives the socket. Elsewhere the socket's own methods count,
which needs an event loop that calls them: asyncio's does, uvloop does not.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

Report = Callable[[int], None]  # called with the bytes, both directions, since the last report

_TCP_INFO = 11  # linux/tcp.h
# struct tcp_info, all u64: since 4.2 tcpi_bytes_acked at 120 and tcpi_bytes_received at 128, since 4.19 tcpi_bytes_sent
# at 200 and tcpi_bytes_retrans at 208. Sent less retransmitted is what the gateway was given.
_TWO = struct.Struct("=QQ")
_ACKED_AT, _SENT_AT, _WANTED = 120, 200, 216


class MeteredSocket(socket.socket):
    """Reports to ``on_bytes`` whenever ``account`` is called, and a last time when it is closed.

    uvloop closes the descriptor itself and detaches the object after that: account before the connection is lost.
    """

    on_bytes: Report | None = None
    _reported = 0

    def account(self) -> None:
        """Report the bytes since the last call; nothing happens where nothing moved."""
        total = self._total()
        if total > self._reported and self.on_bytes is not None:
            self.on_bytes(total - self._reported)
            self._reported = total

    def close(self) -> None:
        if self.fileno() != -1:
            self.account()
        super().close()

    def _total(self) -> int:
        raise NotImplementedError


class KernelMeteredSocket(MeteredSocket):
    """Asks the kernel. Linux 4.2 or later."""

    def _total(self) -> int:
        try:
            info = self.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _WANTED)
        except OSError:  # never connected
            return 0
        if len(info) < _ACKED_AT + _TWO.size:
            return 0
        sent, received = _TWO.unpack_from(info, _ACKED_AT)
        if len(info) >= _WANTED:
            sent_in_all, again = _TWO.unpack_from(info, _SENT_AT)
            sent = sent_in_all - again
        return int(sent + received)


class CountingSocket(MeteredSocket):
    """Counts in the methods that asyncio's selector event loop moves data with."""

    _counted = 0

    def _total(self) -> int:
        return self._counted

    def send(self, *args: Any) -> int:
        n = super().send(*args)
        self._counted += n
        return n

    def sendmsg(self, *args: Any) -> int:
        n = super().sendmsg(*args)
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


PLATFORM_SOCKET: type[MeteredSocket] = KernelMeteredSocket if sys.platform == "linux" else CountingSocket
