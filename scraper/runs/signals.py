"""I/O: which signals asked this process to stop. Scrapy handles them, and does not say which one came.

SIGHUP and SIGQUIT are given Scrapy's handler too, so that a closed terminal stops a crawl as cleanly as SIGTERM.
"""

from __future__ import annotations

import signal
from types import FrameType

_NAMES = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGBREAK")
_STOP = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
_received: list[int] = []


def received() -> tuple[int, ...]:
    """Numbers of the stop signals so far, the first first."""
    return tuple(_received)


def watch() -> None:
    """Note stop signals before they reach the handler that SIGTERM has now. Call it once the reactor runs."""
    inner = signal.getsignal(signal.SIGTERM)
    if not callable(inner):  # after the second signal Scrapy ignores all further ones
        return

    def note(number: int, frame: FrameType | None) -> None:
        _received.append(number)
        inner(number, frame)  # installs another handler for the next signal
        watch()

    for number in _STOP:
        # nohup and a shell's background jobs ask for SIGHUP and SIGQUIT to be ignored
        if number in (signal.SIGTERM, signal.SIGINT) or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, note)
