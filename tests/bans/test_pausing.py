"""As long as a site is left alone, the log says so."""

from __future__ import annotations

import asyncio
import logging

import pytest
from scrapy import Request, Spider
from scrapy.utils.test import get_crawler

from scraper import names
from scraper.bans import pausing
from scraper.bans.pauses import Limits
from scraper.verdicts import BLOCKED, GOOD, Verdict


def test_the_log_says_again_and_again_that_a_site_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pausing, "REMIND_S", 0.05)
    caplog.set_level(logging.INFO)
    page = Request("http://shop.example/p/1")

    async def run() -> None:
        crawler = get_crawler(Spider)
        found = pausing.SitePauses(crawler, Limits(after=1, pauses_s=(60.0,)))
        verdict = Verdict(BLOCKED, "cloudflare_challenge")
        crawler.signals.send_catch_log(names.PAGE_GIVEN_UP, request=page, verdict=verdict)
        await asyncio.sleep(0.18)
        assert found.ask(page, "shop.example").what == "wait"

    asyncio.run(run())
    said = [record.getMessage() for record in caplog.records if "shop.example" in record.getMessage()]
    assert "is left alone for 60 s" in said[0]
    assert len(said) == 4
    assert all("shop.example is left alone for another 60 s" in line for line in said[1:])


def test_a_page_counts_for_the_site_that_was_asked_wherever_it_was_sent_on_to() -> None:
    """shop.example sends everybody to www.shop.example: what passes there has passed."""

    def page(url: str) -> Request:
        return Request(url, meta={names.ORIGIN: ("http://shop.example/p/1", "GET")})

    async def run() -> None:
        crawler = get_crawler(Spider)
        found = pausing.SitePauses(crawler, Limits(after=2, pauses_s=(60.0,)))
        lost, passed = page("http://captcha.example/wall"), page("http://www.shop.example/p/1")
        send = crawler.signals.send_catch_log
        for _ in range(3):
            send(names.PAGE_GIVEN_UP, request=lost, verdict=Verdict(BLOCKED, "redirect_to_block"))
            send(names.VERDICT_GIVEN, request=passed, response=None, verdict=Verdict(GOOD, "good"))
        assert found.ask(passed, "shop.example").what == "go"
        for _ in range(2):
            send(names.PAGE_GIVEN_UP, request=lost, verdict=Verdict(BLOCKED, "redirect_to_block"))
        assert found.ask(lost, "shop.example").what == "wait"
        assert found.ask(lost, "captcha.example").what == "go"

    asyncio.run(run())
