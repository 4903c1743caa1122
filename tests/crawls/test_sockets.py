"""The benchmark of sockets in small: it still measures what it says, and nothing is left open."""

from __future__ import annotations

import pytest

from benchmarks.handlers import AT_ONCE
from benchmarks.sockets import CASES, case


@pytest.mark.parametrize(("manner", "n_requests", "error"), CASES)
def test_no_socket_is_left(manner: str, n_requests: int, error: str) -> None:
    run = case(manner, max(AT_ONCE, n_requests // 100), error)
    assert run["left"] == 0
    assert run["peak"] <= 2 * AT_ONCE
