"""A page that is given up is told with the tries that were really made at it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from scrapy import Request, Spider
from scrapy.utils.test import get_crawler

from scraper import names
from scraper.bans.pages import give_up, give_up_unasked
from scraper.verdicts import BLOCKED, FAULT, Verdict

WALL = Verdict(BLOCKED, "wall")
REFUSED = Verdict(FAULT, "target_refused", evidence="a private address")
SENT_ON = {"redirect_urls": ["http://shop.example/"]}


@pytest.mark.parametrize(
    ("give", "meta", "verdict", "attempts", "said"),
    [
        (give_up, {}, WALL, 1, "given up, after 1 try: http://shop.example/p/1 (wall)"),
        (give_up, {names.ATTEMPT: 6}, WALL, 6, "given up, after 6 tries: http://shop.example/p/1 (wall)"),
        (
            give_up, {}, REFUSED, 0,
            "given up, never asked: http://shop.example/p/1 (target_refused: a private address)",
        ),
        (give_up, {names.ATTEMPT: 3}, REFUSED, 2, "given up, after 2 tries: "),
        (give_up, SENT_ON, REFUSED, 1, "given up, after 1 try: "),
        (give_up_unasked, {}, WALL, 0, "given up, never asked: "),
        (give_up_unasked, {names.ATTEMPT: 2}, WALL, 1, "given up, after 1 try: "),
        (give_up_unasked, SENT_ON, WALL, 1, "given up, after 1 try: "),
    ],
)  # fmt: skip
def test_the_tries_at_a_page(
    give: Any,
    meta: dict[str, Any],
    verdict: Verdict,
    attempts: int,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    crawler, told = get_crawler(Spider), []

    def hear(attempts: int) -> None:
        told.append(attempts)

    crawler.signals.connect(hear, signal=names.PAGE_GIVEN_UP)
    give(crawler, Request("http://shop.example/p/1", meta=dict(meta)), verdict)
    assert told == [attempts]
    assert caplog.messages[-1].startswith(said)
