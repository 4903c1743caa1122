"""A proxy that is itself spoken to over TLS, to http and https pages."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trustme

from scraper.lab import process as lab_process


class TlsFront:
    """TLS on a port of its own, in front of a plain proxy."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "front.pem")
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        self._behind = host, port
        self._loop = asyncio.new_event_loop()
        self.port = 0
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(*self._behind)
        try:
            await asyncio.gather(self._pump(reader, outer), self._pump(inner, writer))
        except OSError:
            pass
        finally:
            writer.close()
            outer.close()

    @staticmethod
    async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
        sink.close()


@pytest.mark.parametrize("label", ["open", "captcha"])  # http, https
def test_pages_come_through_a_proxy_that_speaks_tls(
    crawl: Callable[..., Any], tmp_path: Path, label: str
) -> None:
    with lab_process.start(tmp_path / "lab", pages=1) as lab:
        front = TlsFront(tmp_path, "127.0.0.1", lab.info["ports"]["residential"])
        text = (tmp_path / "lab" / "proxies.toml").read_text()
        text = text[text.index("[pools.residential]") : text.index("[pools.mobile]")]
        plain = f'"http://127.0.0.1:{lab.info["ports"]["residential"]}"'
        assert plain in text
        (tmp_path / "lab" / "tls.toml").write_text(text.replace(plain, f'"https://127.0.0.1:{front.port}"'))
        both = (tmp_path / "front.pem").read_text() + (tmp_path / "lab" / "ca.pem").read_text()
        (tmp_path / "both.pem").write_text(both)
        run = crawl(
            "shop", "-a", f"url={lab.info['sites'][label]['start_url']}", "-s", f"PROXIES_FILE={tmp_path}/lab/tls.toml",
            "-s", f"TLS_CA_FILE={tmp_path}/both.pem", "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", "DOWNLOAD_DELAY=0.02",
            "-s", "BAN_FAULT_WAIT_S=0.05",
        ).wait(60)  # fmt: skip
        front.stop()
    assert (run.exit_code, len(run.rows())) == (0, 10), run.out + run.err[-2000:]
