"""Rule: numbers as a person reads them."""

from __future__ import annotations

from math import floor, log10


def count(number: int) -> str:
    """``1,204``."""
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """``1 record``, ``1,204 records``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def share(part: int, whole: int, noun: str) -> str:
    """``3 of 40 pages (7.5 %)``."""
    return f"{part:,} of {plural(whole, noun)}" + (f" ({percent(part, whole)})" if whole else "")


def percent(part: float, whole: float) -> str:
    """``94.2 %``; ``0 %`` of nothing. 100 is said of all only, 0 of none only."""
    if not whole or not part:
        return "0 %"
    value = 100 * part / whole
    if part != whole and value > 99.9:
        return "> 99.9 %"
    if value < 0.1:
        return "< 0.1 %"
    return f"{value:.1f} %".replace(".0 %", " %")


def money(usd: float) -> str:
    """``$6.31``; below a dollar three digits that mean something: ``$0.129``, ``$0.0042``."""
    if usd == 0:
        return "$0"
    if usd >= 1:
        return f"${usd:,.2f}"
    if usd < 0.000001:
        return "< $0.000001"
    digits = f"{usd:.{2 - floor(log10(usd))}f}".partition(".")[2].rstrip("0")
    return f"$0.{digits:0<2}" if usd < 0.9995 else "$1.00"


def size(number: float) -> str:
    """Bytes in decimal units, as proxies are billed: ``1.58 GB``."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= factor:
            return (
                f"{number / factor:.3g} {unit}" if number < 100 * factor else f"{number / factor:,.0f} {unit}"
            )
    return f"{number:.0f} B"


def duration(seconds: float) -> str:
    """``41s``, ``41m12s``, ``3h05m``, ``2d04h``."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"
