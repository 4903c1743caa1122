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

# Size of the receive buffer until the headers are read; the kernel doubles it and lets the peer send about 14 KB unread.
# That is what a fresh connection carries in its first flight anyway (10 segments, RFC 6928). Of a block that its headers
# show, the gateway has brought little more (a page of 480 KB: 21-37 KB instead of 170-345); a good page above 14 KB pays
# for it with one more round trip (at 80 ms: 200 KB in 581 ms instead of 495).
HEAD_WINDOW = 8 * 1024
BODY_WINDOW = 64 * 1024  # doubled it is Linux's default for a new socket; from there on it grows as we read
_BUF_LOCK, _RECEIVE = 72, 2  # asm-generic/socket.h: SO_BUF_LOCK; linux/socket.h: SOCK_RCVBUF_LOCK
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

    def let_in(self) -> None:
        """The headers are good: from now on the peer may send as much as the network bears."""

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
    """Asks the kernel. Linux 4.2 or later; since 5.16 HEAD_WINDOW holds until ``let_in``."""

    _narrow = False

    def connect(self, address: Any) -> None:
        try:
            self.setsockopt(socket.SOL_SOCKET, _BUF_LOCK, 0)
        except OSError:  # before 5.16 a window that was made small could not grow again
            super().connect(address)
            return
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HEAD_WINDOW)
        self.setsockopt(socket.SOL_SOCKET, _BUF_LOCK, 0)  # else its scale is chosen for this size
        try:
            super().connect(address)
        finally:
            self.setsockopt(socket.SOL_SOCKET, _BUF_LOCK, _RECEIVE)  # else it grows as we read
            self._narrow = True

    def let_in(self) -> None:
        if self._narrow:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BODY_WINDOW)
            self.setsockopt(socket.SOL_SOCKET, _BUF_LOCK, 0)
            # The window was clamped to the small buffer when the connection was set up, and no larger buffer lifts that.
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, 2 * BODY_WINDOW)
            self._narrow = False

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
