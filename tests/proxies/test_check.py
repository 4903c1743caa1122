"""What a page that tells who asks may answer, and what every failure is called."""

from __future__ import annotations

import pytest

from scraper.proxies import gateway
from scraper.proxies.check import Try, judge, not_asked, outcome, read_answer, summarise, tries_of
from scraper.proxies.endpoints import Endpoint
from scraper.proxies.pools import Pool
from scraper.verdicts import FAULT, GOOD, Verdict

HOME = Pool("home", "gateway", 4.0, ("de",))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"ip": "203.0.113.7", "country": "DE"}', ("203.0.113.7", "de")),
        ('{"query": "203.0.113.7", "country": "Germany", "countryCode": "DE"}', ("203.0.113.7", "de")),
        ('{"origin": "203.0.113.7, 198.51.100.1"}', ("203.0.113.7", "")),
        ('{"ip": "2001:db8::1", "providers": {"a": {"country": "FR"}}}', ("2001:db8::1", "fr")),
        ('{"data": [{"geo": {"country_code": "us", "ip": "203.0.113.7"}}]}', ("203.0.113.7", "us")),
        ("203.0.113.7\n", ("203.0.113.7", "")),
        ('"203.0.113.7"', ("203.0.113.7", "")),
        ("<html>203.0.113.7</html>", ("", "")),
        ('{"ip": 7, "country": ["DE"]}', ("", "")),
        ("[1, null]", ("", "")),
    ],
)
def test_an_answer_is_read_in_all_its_usual_forms(body: str, expected: tuple[str, str]) -> None:
    assert read_answer(body) == expected


@pytest.mark.parametrize(
    "kind", [*gateway.CLASSES, "unreachable", "timeout", "certificate_refused", "dns", "connection_refused"]
)
def test_every_kind_of_failure_has_words_that_name_the_way_out(kind: str) -> None:
    fault = Verdict(
        FAULT, f"gateway_{kind}", kind=kind, evidence=f"pool home answered 599 What it said ({kind})"
    )
    found = judge(fault, "ip.example", "", 0.0)
    assert found.error.endswith("(answered 599 What it said)")
    assert len(found.error.split(":")) > 1, "what is wrong, and what to do"
    assert found.final == (kind in ("config", "account", "forbidden"))


def test_what_is_wrong_is_said_once() -> None:
    evidence = "pool home does not answer: Connect call failed (unreachable)"
    found = judge(
        Verdict(FAULT, "gateway_unreachable", kind="unreachable", evidence=evidence), "ip.example", "", 0.0
    )
    assert found.error.count("does not answer") == 1
    assert found.error.endswith("(Connect call failed)")


def test_a_check_page_without_an_address_is_to_be_changed_and_a_country_may_be_what_the_gateway_refuses() -> (
    None
):
    dns = Verdict(FAULT, "dns", kind="dns", evidence="ip.example: Name or service not known")
    assert "set PROXY_CHECK_URL to a page you can reach" in judge(dns, "ip.example", "", 0.0).error
    wrong = Verdict(
        FAULT, "gateway_config", kind=gateway.CONFIG, evidence="pool home answered 407 No (config)"
    )
    assert "or this country" in judge(wrong, "ip.example", "", 0.0, "jp").error
    assert "country" not in judge(wrong, "ip.example", "", 0.0).error


def test_a_pool_that_was_not_tried_neither_works_nor_fails() -> None:
    works = summarise(HOME, "de", [Try("203.0.113.7", "de", 0.2)])
    fails = summarise(HOME, "us", [Try(error="x")])
    dc = {code: not_asked(Pool("dc", "list"), code, "why") for code in ("de", "jp")}
    assert dc["de"].works is None
    assert outcome([works]) == (True, "every pool works")
    assert outcome([works, dc["de"]]) == (True, "every pool that was tried works; not tried: dc")
    assert outcome([works, fails]) == (False, "does not work: home")
    nowhere = "no pool can be asked for jp: add it to `countries` of a pool"
    assert outcome([dc["jp"]]) == (None, nowhere)
    home = (
        not_asked(HOME, "fr", "why"),
        summarise(Pool("other", "gateway"), "fr", [Try("203.0.113.7", "fr", 0.2)]),
    )
    both = outcome([works, *home, dc["jp"]])
    assert both == (None, f"every pool that was tried works; {nowhere}; not tried: home (fr)")


def test_a_page_that_tells_no_address_is_no_proof_of_a_pool() -> None:
    assert "PROXY_CHECK_URL" in judge(Verdict(GOOD, "good"), "ip.example", "<html></html>", 0.1).error


def test_a_pool_that_ignores_the_country_does_not_work_and_one_that_keeps_its_exit_is_told() -> None:
    wrong = summarise(HOME, "de", [Try("203.0.113.7", "us", 0.2), Try("203.0.113.7", "us", 0.4)])
    assert not wrong.works
    assert "ignores the country" in wrong.notes[0]
    assert "same exit" in wrong.notes[1]
    right = summarise(
        HOME, "de", [Try("203.0.113.7", "de", 0.2), Try(error="x"), Try("203.0.113.8", "de", 0.6)]
    )
    assert (right.works, right.answers, right.tries, right.notes) == (True, 2, 3, ())
    assert (right.latency_median_s, right.latency_worst_s) == (0.4, 0.6)


def test_no_more_is_asked_than_there_is_to_see() -> None:
    two = Pool("dc", "list", endpoints=[Endpoint("http", "127.0.0.1", n) for n in (1, 2)])
    assert [tries_of(pool, 3) for pool in (HOME, two, Pool("direct", "direct"))] == [3, 2, 1]
