"""RULE. Which targets are refused: addresses that are not on the public internet, however they are written."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

_CGNAT = ipaddress.ip_network("100.64.0.0/10")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_private_address(text: str) -> bool:
    """Whether the numeric address is loopback, private, link-local, reserved, or any of these inside IPv6."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            address = inner
    return not address.is_global or address.is_multicast or (address.version == 4 and address in _CGNAT)


@lru_cache(maxsize=4096)  # asked for every request, and a crawl has few hosts
def is_private_host(host: str) -> bool:
    """Whether a URL's host names such an address by itself: ``localhost``, 127.0.0.1, 127.1, 0x7f000001, [::1]."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    number = _inet_aton(name)
    return is_private_address(str(ipaddress.IPv4Address(number)) if number is not None else name)


def _inet_aton(text: str) -> int | None:
    """The address of the old forms that resolvers still take (a, a.b, a.b.c; octal and hexadecimal), or None."""
    parts = text.split(".")
    if not 1 <= len(parts) <= 4:
        return None
    try:
        numbers = [int(part, _base(part)) for part in parts]
    except ValueError:
        return None
    last_bits = 8 * (5 - len(numbers))
    if any(n < 0 or n > 255 for n in numbers[:-1]) or not 0 <= numbers[-1] < 1 << last_bits:
        return None
    value = 0
    for number in numbers[:-1]:
        value = value << 8 | number
    return value << last_bits | numbers[-1]


def _base(part: str) -> int:
    if part.startswith("0x"):
        return 16
    return 8 if len(part) > 1 and part.startswith("0") else 10
