"""The servers that other tests rely on do what those tests take for granted."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.services import Request, nginx, python_docs, tinyproxy

pytestmark = pytest.mark.service


def test_nginx_says_who_asked_for_what_through_which_proxy(tmp_path: Path) -> None:
    """The access log tells a request through tinyproxy, by its own address, from a direct one."""
    with nginx(python_docs(), tmp_path) as web, tinyproxy(tmp_path, goes_out_as="127.0.0.9") as proxy:
        through = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy.url}))
        assert through.open(f"{web.url}index.html", timeout=10).status == 200
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert direct.open(f"{web.url}about.html?x=1", timeout=10).status == 200
        first, second = web.requests(at_least=2)
    assert (first.address, first.status, first.path) == ("127.0.0.9", 200, "/index.html")
    assert second == Request("127.0.0.1", 200, second.bytes, "/about.html?x=1")


def test_tinyproxy_asks_for_its_password(tmp_path: Path) -> None:
    with tinyproxy(tmp_path, user="example", password="example") as proxy:
        nobody = urllib.request.build_opener(
            urllib.request.ProxyHandler({"http": f"http://{proxy.host}:{proxy.port}"})
        )
        with pytest.raises(urllib.error.HTTPError) as raised:
            nobody.open("http://127.0.0.1:9/", timeout=10)
        raised.value.close()
    assert raised.value.code in (401, 407)
