"""RULE. The words of SOCKS5 (RFC 1928, user and password by RFC 1929): what to send, how much to read, what it means.

The target's name goes to the proxy, which resolves it, whether the pool says ``socks5`` or ``socks5h``.
"""

from __future__ import annotations

from collections.abc import Generator
from ipaddress import ip_address

from scraper.proxies.gateway import CONFIG, FORBIDDEN, TARGET, TRANSIENT

_OPEN, _USER_PASSWORD, _NONE_FITS = 0x00, 0x02, 0xFF
_IPV4, _NAME, _IPV6 = 0x01, 0x03, 0x04
_REPLIES = {
    0x01: (TRANSIENT, "general failure"),
    0x02: (FORBIDDEN, "not allowed by its rules"),
    0x03: (TARGET, "network unreachable"),
    0x04: (TARGET, "host unreachable"),
    0x05: (TARGET, "connection refused"),
    0x06: (TARGET, "time to live expired"),
    0x07: (CONFIG, "does not know CONNECT"),
    0x08: (FORBIDDEN, "does not know this kind of address"),
}


class SocksRefused(Exception):
    """``kind``: a class of scraper.proxies.gateway; ``reason``: in words, without any secret."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason


def handshake(host: str, port: int, user: str, password: str) -> Generator[tuple[bytes, int], bytes, None]:
    """Yields (bytes to send, number of bytes to read then) and is sent what was read; ends when the way is open.

    With credentials nothing else is offered: they name the session, and a proxy that let us in without would give
    us another exit. Raises SocksRefused.
    """
    method = _USER_PASSWORD if user or password else _OPEN
    version, chosen = yield bytes((5, 1, method)), 2
    if version != 5:
        raise SocksRefused(TRANSIENT, "does not speak SOCKS5")
    if chosen != method:
        why = "wants user and password" if method == _OPEN else "does not take user and password"
        raise SocksRefused(
            CONFIG, why if chosen in (_NONE_FITS, _USER_PASSWORD) else "chose what was not offered"
        )
    if method == _USER_PASSWORD:
        _, status = yield b"\x01" + _counted(user, "user") + _counted(password, "password"), 2
        if status:
            raise SocksRefused(CONFIG, "does not know user and password")
    version, reply, _, kind = yield b"\x05\x01\x00" + _address(host) + port.to_bytes(2), 4
    if version != 5:
        raise SocksRefused(TRANSIENT, "does not speak SOCKS5")
    if reply:
        raise SocksRefused(*_REPLIES.get(reply, (TRANSIENT, f"reply {reply}")))
    n_address = {_IPV4: 4, _IPV6: 16}.get(kind)
    if n_address is None:
        if kind != _NAME:
            raise SocksRefused(TRANSIENT, "does not speak SOCKS5")
        (n_address,) = yield b"", 1
    yield b"", n_address + 2  # where it is bound, which is of no use to us


def _counted(text: str, what: str) -> bytes:
    data = text.encode()
    if not 1 <= len(data) <= 255:
        raise SocksRefused(CONFIG, f"takes a {what} of 1 to 255 bytes only")
    return bytes((len(data),)) + data


def _address(host: str) -> bytes:
    try:
        address = ip_address(host)
    except ValueError:
        name = host.encode()
        if len(name) > 255:
            raise SocksRefused(TARGET, "takes names of up to 255 bytes only") from None
        return bytes((_NAME, len(name))) + name
    return bytes((_IPV4 if address.version == 4 else _IPV6,)) + address.packed
