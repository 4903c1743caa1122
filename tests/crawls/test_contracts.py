"""What a spider says a good page holds is held; where it says nothing, pages that look like a soft block are reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from scraper.lab import process

SPIDERS = {"PYTHONPATH": str(Path(__file__).parent)}
OPTIONS = ["-s", "SPIDER_MODULES=spiders_of_contracts"]
PRODUCT = "<!doctype html><html><body><h1>Lamp</h1><p class=price>9.90</p></body></html>"
HTML, JSON = "text/html; charset=utf-8", "application/json"
# path: the answers to the first, the second ... request for it, the last one for all that follow
ANSWERS: dict[str, list[tuple[int, str, str]]] = {
    "p/honest": [(200, HTML, PRODUCT)],
    "p/poisoned-once": [(200, HTML, PRODUCT.replace("price", "stock")), (200, HTML, PRODUCT)],
    "p/json-once": [(200, JSON, '{"error": "slow down"}'), (200, HTML, PRODUCT)],
    "p/plain": [(200, "text/plain", PRODUCT)],
    "p/gone": [(404, HTML, "<html><body>We do not have this lamp.</body></html>")],
    "p/nothing": [(204, HTML, "")],
    "list/full": [(200, HTML, "<html><body><div class=grid><a href=/p/1>Lamp</a></div></body></html>")],
    "list/empty": [(200, HTML, "<html><body>No products found</body></html>")],
    "list/wall-once": [
        (200, HTML, "<html><body>Sign in</body></html>"),
        (200, HTML, "<html><body>No products found</body></html>"),
    ],
    "api/full": [(200, JSON, '{"items": [{"name": "Lamp"}, {"price": 9.9}]}')],
    "api/empty-once": [(200, JSON, '{"items": []}'), (200, JSON, '{"items": [{"price": 9.9}]}')],
    "about": [(200, HTML, "<html><body><p>Nothing is for sale here.</p></body></html>")],
}


@pytest.fixture
def site() -> Iterator[tuple[str, Counter[str]]]:
    asked: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.strip("/")
            answers = ANSWERS.get(path, [(404, HTML, "none")])
            status, kind, text = answers[min(asked[path], len(answers) - 1)]
            asked[path] += 1
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if status != 204:
                self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_page_must_hold_what_its_address_promises_and_only_if_its_status_says_that_it_is_the_page(
    crawl: Callable[..., Any], site: tuple[str, Counter[str]], direct: list[str]
) -> None:
    url, asked = site
    run = crawl(
        "by_address", "-a", f"url={url}", "-a", f"paths={','.join(ANSWERS)}", *direct, *OPTIONS, env=SPIDERS
    ).wait()
    stored = {row["path"]: (row["status"], row["size"]) for row in run.rows()}
    assert stored == {path: (answers[-1][0], len(answers[-1][2])) for path, answers in ANSWERS.items()}, (
        run.err[-3000:]
    )
    assert run.report["blocks"] == {
        "contract_url_p_css": 2,
        "contract_url_api_json": 1,
        "contract_url_list_any_of": 1,
    }
    assert f"  samples   {run.run_dir}/blocks\n            3 refused pages, one a rule" in run.out
    assert {path: asked[path] for path in ANSWERS} == {
        path: len(answers) for path, answers in ANSWERS.items()
    }


def test_a_contract_for_a_callback_that_a_spider_of_any_base_does_not_have_stops_the_start(
    crawl: Callable[..., Any], direct: list[str]
) -> None:
    run = crawl("misspelt", *direct, *OPTIONS, env=SPIDERS).wait()
    assert run.outcome == "failed_start"
    assert "misspelt.good_page['parse_prodcut']: is no callback of spider misspelt" in run.out + run.err


@pytest.mark.timeout(120)
def test_without_a_contract_a_wall_that_nothing_marks_is_stored_and_reported_as_a_suspicion(
    crawl: Callable[..., Any], tmp_path: Path
) -> None:
    """A shop of the lab that asks some homes to sign in, with status 200, in its own layout."""
    with process.start(tmp_path / "lab", seed=1, pages=10, world="40") as lab:
        shop = lab.info["sites"]["shop10"]
        host, start = shop["host"], shop["start_url"].rstrip("/")
        assert shop["about"].startswith("wall below quality")
        products = lab.truth()["sites"][host]["products"].values()
        urls = tmp_path / "urls.txt"
        urls.write_text("\n".join(start + product["path"] for product in products))
        run = crawl(
            "careless", "-a", f"urls_file={urls}", *OPTIONS, "-s", f"PROXIES_FILE={tmp_path}/lab/proxies.toml",
            "-s", f"TLS_CA_FILE={tmp_path}/lab/ca.pem", "-s", "ALLOW_PRIVATE_ADDRESSES=1", "-s", "DOWNLOAD_DELAY=0.02",
            "-s", "PROXY_IDENTITY_MAX_USES=2", env=SPIDERS,
        ).wait()  # fmt: skip
        walls = [line for line in lab.served() if line["site"] == host and line["what"] == "wall"]
    assert len(walls) >= 10
    assert len(run.rows()) == 100
    (suspicion,) = run.report["suspicions"]
    assert (suspicion["word"], suspicion["site"], suspicion["of"]) == ("equal", host, 100)
    assert suspicion["pages"] == len(walls)
    assert run.report["stats"]["suspicions/equal"] == suspicion["pages"]
    assert run.report["blocks"] == {}
    assert suspicion["examples"][0] in run.out
    assert "one and the same" in run.out
    assert "if it is a wall, write a contract: docs/contracts.md" in run.out
    assert "(stored; if it is a wall, write a contract: docs/contracts.md)" in run.err


@pytest.mark.timeout(120)
def test_a_spider_with_contracts_meets_the_same_shops_without_a_suspicion(crawl: Callable[..., Any]) -> None:
    run = crawl("shop", "-a", "pages=3").wait(100)
    assert run.exit_code == 0, run.err[-3000:]
    assert run.report["suspicions"] == []
    assert "suspect" not in run.out
