"""A page built to stall the parser is cut before the trap, and an ordinary one is left as it is."""

from __future__ import annotations

import time

from scrapy.http import HtmlResponse

from scraper.bans.bodies import TRAP, TRAP_BYTES, without_traps

HEAD = b"<html><body><h1>Lamp</h1>"


def test_a_tag_with_120000_attributes_is_cut_off_with_what_follows() -> None:
    trap = b"<p " + b" ".join(b"a%d=1" % n for n in range(120_000)) + b">x</p></body></html>"
    page = HtmlResponse("https://shop.example/", body=HEAD + trap, encoding="utf-8")
    began = time.process_time()
    cut = without_traps(page)
    assert isinstance(cut, HtmlResponse)
    assert cut.css("h1::text").get() == "Lamp"
    assert time.process_time() - began < 5, "without the cut it takes 50 s"
    assert TRAP in cut.flags


def test_a_large_ordinary_page_is_the_same_object() -> None:
    page = HtmlResponse(
        "https://shop.example/", body=HEAD + b"<p class=x>text</p>" * (TRAP_BYTES // 10), encoding="utf-8"
    )
    assert without_traps(page) is page
