"""When a site is left alone, as long as it is, and what became of it: the log says so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import pytest
from scrapy import Request, Spider, signals
from scrapy.utils.test import get_crawler

from scraper import names
from scraper.bans import pausing
from scraper.bans.pages import PageGivenUp
from scraper.bans.pauses import Limits
from scraper.verdicts import BLOCKED, GOOD, SITE_ERROR, Verdict


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


def test_each_pause_is_told_as_it_begins_and_ends_also_one_in_vain_and_the_end_of_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    site = "shop.example"
    opened, *pages = (Request(f"http://{site}/p/{n}") for n in range(4))
    listed: list[tuple[str, str, int]] = []

    async def run() -> None:
        crawler = get_crawler(Spider)
        found = pausing.SitePauses(crawler, Limits(after=1, pauses_s=(0.02, 0.02)))
        send, stats = crawler.signals.send_catch_log, crawler.stats

        def keep(request: Request, verdict: Verdict, attempts: int) -> None:
            listed.append((verdict.rule, verdict.evidence, attempts))

        send(names.VERDICT_GIVEN, request=opened, response=None, verdict=Verdict(GOOD, "good"))
        for number, page in enumerate(pages):
            assert found.ask(page, site).what == ("probe" if number else "go")
            assert stats.get_value("pauses/sites", 0) == 0
            send(names.PAGE_GIVEN_UP, request=page, verdict=Verdict(BLOCKED, f"wall_{number}"))
            if number < 2:
                assert stats.get_value("pauses/sites") == 1
                assert 0 < stats.get_value("pauses/until_s") - time.monotonic() <= 0.02
            await asyncio.sleep(0.03)
        crawler.signals.connect(keep, signal=names.PAGE_GIVEN_UP)
        with pytest.raises(PageGivenUp, match="site_given_up, never asked"):
            found.ask(Request(f"http://{site}/p/9"), site)
        with pytest.raises(PageGivenUp, match="site_given_up, after 1 try"):
            found.ask(Request(f"http://{site}/p/8", meta={names.ATTEMPT: 2}), site)
        crawler.signals.send_catch_log(signals.spider_closed)

    asyncio.run(run())
    assert listed == [("site_given_up", f"wall_2 at {site}", tries) for tries in (0, 1)]
    left_alone = "it is left alone for 0 s, then one page is tried"
    assert [record.getMessage() for record in caplog.records if site in record.getMessage()] == [
        f"nothing passes at {site} any more (wall_0): {left_alone}; pause 1 of 2",
        f"the pause of {site} is over: one page is tried",
        f"the page that was tried at {site} was refused too (wall_1): {left_alone}; pause 2 of 2",
        f"the pause of {site} is over: one page is tried",
        f"{site} is given up, 2 pauses were in vain (wall_2); its other pages are listed in failed.jsonl",
        f"given up, never asked: http://{site}/p/9 (site_given_up: wall_2 at {site})",
        f"given up, after 1 try: http://{site}/p/8 (site_given_up: wall_2 at {site})",
    ]


@pytest.mark.parametrize(
    ("pauses_s", "why"), [((), "BAN_SITE_PAUSES_S is empty"), ((0.01,), "1 pause was in vain")]
)
def test_a_site_that_is_given_up_says_why(
    caplog: pytest.LogCaptureFixture, pauses_s: tuple[float, ...], why: str
) -> None:
    page = Request("http://shop.example/p/1")

    async def run() -> None:
        crawler = get_crawler(Spider)
        found = pausing.SitePauses(crawler, Limits(after=1, pauses_s=pauses_s))
        for _ in range(1 + len(pauses_s)):
            crawler.signals.send_catch_log(
                names.PAGE_GIVEN_UP, request=page, verdict=Verdict(BLOCKED, "wall")
            )
            await asyncio.sleep(0.02)
            if pauses_s:
                with contextlib.suppress(PageGivenUp):
                    found.ask(page, "shop.example")
        crawler.signals.send_catch_log(signals.spider_closed)

    asyncio.run(run())
    assert f"shop.example is given up, {why} (wall);" in caplog.text


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


def test_a_probe_that_only_gets_a_401_gives_its_turn_to_the_next_page() -> None:
    async def run() -> None:
        crawler = get_crawler(Spider)
        found = pausing.SitePauses(crawler, Limits(after=1, pauses_s=(0.001,)))
        probe, other = Request("http://shop.example/p/1"), Request("http://shop.example/p/2")
        lost = Request("http://shop.example/p/0")
        crawler.signals.send_catch_log(names.PAGE_GIVEN_UP, request=lost, verdict=Verdict(BLOCKED, "x"))
        await asyncio.sleep(0.01)
        assert found.ask(probe, "shop.example").what == "probe"
        assert found.ask(other, "shop.example").what == "wait"
        refused = Verdict(SITE_ERROR, "site_refused", kind="refused")
        crawler.signals.send_catch_log(names.VERDICT_GIVEN, request=probe, response=None, verdict=refused)
        assert found.ask(other, "shop.example").what == "probe"

    asyncio.run(run())
