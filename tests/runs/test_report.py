"""The report holds what happened; the summary says it in a terminal."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from scraper.runs.errors import ErrorGroups, place
from scraper.runs.report import MAX_SITES
from scraper.runs.status import status_line
from scraper.runs.summary import WIDTH, lines
from scraper.runs.words import duration, money, percent, plural, size
from tests.runs.examples import PROXIED, good_stats, report_of


def test_the_report_of_a_proxied_crawl() -> None:
    report = report_of(
        {
            **PROXIED,
            "proxies/good/residential": 4_000,
            "proxies/usd_wasted/residential": 0.5,
            "proxies/countries/usd/residential/de": 5.0,
            "proxies/countries/bytes/residential/de": 330_000_000,
            "proxies/circuit_opened/residential": 1,
            "proxies/refused/residential": "pool residential answered 402",
            "sites/shop-a.example/usd_wasted": 0.4,
        }
    )
    assert report["schema"] == 1
    assert report["verdict"]["outcome"] == "degraded"
    assert report["records"] == {
        "scraped": 49_120,
        "stored": 48_912,
        "dropped": 131,
        "duplicate": 70,
        "dead_letter": 7,
        "unaccounted": 0,
    }
    assert report["cost"]["usd"] == 6.3117
    assert report["cost"]["usd_per_1000_records"] == pytest.approx(0.12904, rel=1e-4)
    assert report["cost"]["bytes_counted_at"] == "socket"
    assert report["pages"]["good_rate"] == pytest.approx(61_044 / 64_803)
    assert [pool["pool"] for pool in report["pools"]] == ["residential", "datacentre"]
    assert report["pools"][0] == {
        "pool": "residential",
        "requests": 4_803,
        "good": 4_000,
        "bytes": 380_000_000,
        "usd": 5.7117,
        "usd_wasted": 0.5,
        "usd_per_1000_good": pytest.approx(1.4279, rel=1e-3),
        "countries": {"de": {"bytes": 330_000_000, "usd": 5.0}},
        "left_alone": 1,
        "last_failure": "pool residential answered 402",
    }
    text = "\n".join(lines(report))
    assert "(de $5.00, $0.50 wasted)" in text, text
    assert "residential was left alone: pool residential answered 402" in text
    assert report["sites"][0] == {
        "site": "shop-a.example",
        "good": 8_100,
        "blocked": 1_902,
        "rate_limited": 0,
        "gone": 0,
        "site_error": 0,
        "fault": 0,
        "usd": 4.2,
        "usd_wasted": 0.4,
        "bytes": 0,
        "pauses": 2,
        "paused_s": 372.5,
    }
    assert "paused    shop-a.example  2 times, 6m12s" in text
    assert list(report["blocks"])[:2] == ["captcha_marker", "status_403"]
    assert report["given_up"] == {"captcha_marker": 30, "connect_timeout": 11}


def test_the_report_survives_json() -> None:
    report = report_of({**PROXIED, "odd": object(), "many": {"a", "b"}})
    assert json.loads(msgspec.json.encode(report))["run"]["spider"] == "books_eu"


def test_suspicions_are_listed_with_their_addresses_and_three_are_named_in_the_summary() -> None:
    one = {
        "word": "equal",
        "site": "shop.example",
        "callback": "parse",
        "shape": "/p/*",
        "pages": 24,
        "of": 100,
        "title": "Sign in",
        "examples": (
            *(f"https://shop.example/p/{n}" for n in (7, 11)),
            "https://u:example@shop.example/p/15",
        ),
        "said": '24 of 100 pages of parse /p/* at shop.example are one and the same, the others differ ("Sign in")',
    }
    report = report_of({**good_stats(100), "suspicions/equal": 120, "suspicions/found": [one] * 5})
    assert report["suspicions"][0]["examples"][2] == "https://***@shop.example/p/15"
    assert report["suspicions"][0]["pages"] == 24
    assert report["stats"]["suspicions/equal"] == 120
    assert "suspicions/found" not in report["stats"]
    assert report["blocks"] == {}
    text = lines(report)
    at = next(number for number, line in enumerate(text) if line.startswith("  suspect"))
    assert text[at : at + 3] == [
        "  suspect   24 of 100 pages of parse /p/* at shop.example are one and the same, the others differ",
        '            ("Sign in"): https://shop.example/p/7   https://shop.example/p/11',
        "            24 of 100 pages of parse /p/* at shop.example are one and the same, the others differ",
    ]
    assert text[at + 6 : at + 8] == [
        "            and 2 more kinds of pages, in the report",
        "            they are stored; if it is a wall, write a contract: docs/contracts.md",
    ]


def test_what_robots_txt_met_stands_apart_from_the_blocks_of_pages() -> None:
    report = report_of(
        {**good_stats(9), "robots/bans/cloudflare_challenge": 6, "robots/faults/status_503": 1}
    )
    assert report["blocks"] == report["faults"] == {}
    assert report["robots"] == {"bans": {"cloudflare_challenge": 6}, "faults": {"status_503": 1}}
    assert "  robots    cloudflare_challenge 6   status_503 1" in lines(report)


def test_the_summary_names_the_refused_pages_that_were_kept_and_the_program_as_it_was_started() -> None:
    folder = "data/runs/x/blocks"
    report = report_of(
        good_stats(9), samples=["a.txt", "b.txt"], paths={"samples": folder}, command=["uv", "run", "scrapy", "crawl", "x"]
    )  # fmt: skip
    assert report["samples"] == 2
    assert lines(report)[-3:] == [
        f"  samples   {folder}",
        "            2 refused pages, one a rule; why: uv run scrapy bans explain <file>",
        "  again     uv run scrapy crawl x",
    ]


def test_a_hundred_thousand_sites_are_folded() -> None:
    stats = {f"sites/s{number}.example/good": 1 for number in range(MAX_SITES + 500)}
    stats |= {"sites/dear.example/usd": 3.0, "sites/dear.example/blocked": 9}
    report = report_of({**good_stats(1), **stats})
    assert len(report["sites"]) == MAX_SITES + 1
    assert report["sites"][0]["site"] == "dear.example"
    assert report["sites"][-1]["site"] == "501 other sites"
    assert report["sites"][-1]["good"] == 501
    assert not any(key.startswith("sites/") for key in report["stats"])


def test_the_summary_of_a_proxied_crawl_reads_like_this() -> None:
    assert lines(report_of(PROXIED)) == [
        "DEGRADED  books_eu  run books_eu-20261123T030000Z-1a2b  41m12s  v 3f2c1a9  exit 0",
        "  why       7 of 49,120 records (< 0.1 %) could not be processed and lie in dead_letters.jsonl",
        "            [dead_letters]",
        "  next      see scrapy batches inspect --letters RUN, correct the step that raised, then scrapy",
        "            batches replay RUN",
        "  records   48,912 stored   (49,120 scraped, 131 dropped, 70 duplicate, 7 dead letters)",
        "  cost      $6.31   1.58 GB metered   $0.129 / 1,000 records   $1.10 wasted (17.4 %)",
        "  pages     94.2 % good   (61,044 of 64,803 downloads)   1,482/min   3,418 retries, 0.07/record",
        "            41 given up",
        "  blocks    captcha_marker 1,902   status_403 957   empty_body 70   redirect_blocked 20   and 1 more",
        "  pools     residential: 4,803 requests 380 MB $5.71",
        "            datacentre: 60,000 requests 1.2 GB $0.60",
        "  worst     shop-a.example  81 % of 10,002 good  1,902 blocked  $4.20",
        "            shop-b.example  97.9 % of 54,101 good  1,057 blocked, 100 fault  $2.11",
        "  paused    shop-a.example  2 times, 6m12s",
        "  given up  captcha_marker 30   connect_timeout 11",
        "  workers   2 workers 24.5 % busy   records stored after 0.8 s, 21.4 s at most   spool up to 67.1 MB",
        "            1 died and replaced   the store took nothing for 9.0s",
        "            the crawl waited 12s for room in the spool",
        "  data      data/out/books_eu-20261123T030000Z-1a2b",
        "  failed    data/runs/books_eu-20261123T030000Z-1a2b/failed.jsonl",
        "  log       data/runs/books_eu-20261123T030000Z-1a2b/run.log",
        "  report    data/runs/books_eu-20261123T030000Z-1a2b/report.json",
        "  again     scrapy crawl books_eu -a max_pages=70000",
    ]


def test_the_summary_of_a_crawl_without_records_or_proxies_reads_like_this() -> None:
    assert lines(report_of({}, seconds=0.4, paths={"report": "r.json"})) == [
        "FAILED_QUALITY  books_eu  run books_eu-20261123T030000Z-1a2b  0.4s  v 3f2c1a9  exit 10",
        "  why       no record was stored, because no page was downloaded [no_page_asked]",
        "  next      check the start urls and arguments; failed.jsonl and the log say what was refused, and",
        "            why",
        "  records   0 stored   (0 scraped)",
        "  cost      $0   direct, no proxy was used",
        "  pages     none was downloaded",
        "  report    r.json",
        "  again     scrapy crawl books_eu -a max_pages=70000",
    ]


def test_the_summary_of_one_record_reads_like_this() -> None:
    stats = {
        "item_scraped_count": 1,
        "response_received_count": 1,
        "downloader/response_count": 1,
        "downloader/response_bytes": 90_000,
        "downloader/request_bytes": 900,
    }
    assert lines(report_of(stats, seconds=3, paths={}))[1:-1] == [
        "  why       1 record stored from 1 good page [all_rules_passed]",
        "  records   1 stored   (1 scraped)",
        "  cost      $0   90.9 kB (estimate, without TLS)   direct, no proxy was used",
        "  pages     100 % good   (1 of 1 download)",
    ]


def test_a_summary_of_ten_million_records_stays_within_its_width() -> None:
    big = {key: value * 205 if isinstance(value, int) else value for key, value in PROXIED.items()}
    command = ["scrapy", "crawl", "books_eu"] + [
        word for n in range(30) for word in ("-a", f"argument_{n}=a b")
    ]
    text = lines(report_of(big, seconds=300_000, command=command))
    assert max(map(len, text)) <= WIDTH
    assert any("10,026,960 stored" in line for line in text)
    assert not any("\xa0" in line for line in text)
    again = text[next(number for number, line in enumerate(text) if line.startswith("  again")) :]
    assert all(line.endswith(" \\") for line in again[:-1])  # it can be pasted into a shell


def test_a_path_is_never_broken() -> None:
    path = "/very/long/" * 20 + "report.json"
    assert f"  report    {path}" in lines(report_of(good_stats(1), paths={"report": path}))


def test_errors_of_one_kind_and_place_are_one_group() -> None:
    groups = ErrorGroups()
    for number in range(3):
        groups.add(
            "callback", ValueError(f"no price on page {number}"), [], f"http://u:example@h.example/{number}"
        )
    groups.add("callback", KeyError("title"), [], "")
    first = groups.as_list()[0]
    assert (first["error"], first["count"], first["message"]) == ("ValueError", 3, "no price on page 0")
    assert first["url"] == "http://***@h.example/0"
    assert place([]) == "unknown"


def test_a_flood_of_different_errors_is_bounded() -> None:
    groups = ErrorGroups()
    for number in range(1000):
        groups.add("callback", type(f"Error{number}", (Exception,), {})(), [], "")
    listed = groups.as_list()
    assert len(listed) <= 51
    assert sum(group["count"] for group in listed) == 1000


def test_the_status_line_leaves_out_what_does_not_fit() -> None:
    stats: dict[str, Any] = {**PROXIED, "frontier/enqueued": 70_000, "frontier/done": 61_000}
    full = status_line(stats, 2472, 312.4, width=200)
    assert full == (
        "41m12s  61,044 good pages, 312/min  48,912 records stored  4.6 % blocked  $6.31 so far  9,000 pending  "
        "41 given up"
    )
    assert status_line(stats, 2472, 312.4, width=90) == full[:86]
    assert len(status_line(stats, 2472, 312.4, width=20)) <= 20
    paused = {**stats, "pauses/sites": 1, "pauses/until_s": 1_252.0}
    assert status_line(paused, 2472, 312.4, now_s=1_000.0, width=40) == "41m12s  1 site paused, 4m12s left"
    assert "  2 sites paused, 0.0s left for the first  61,044 good pages" in status_line(
        {**paused, "pauses/sites": 2}, 2472, 312.4, now_s=1_253.0, width=200
    )
    assert status_line({**paused, "pauses/sites": 0}, 2472, 312.4, now_s=1_000.0, width=200) == full
    assert status_line({}, 0.4, 0) == "0.4s  0 good pages, 0/min  0 records stored"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (money(0), "$0"),
        (money(6.3117), "$6.31"),
        (money(1234.5), "$1,234.50"),
        (money(0.129), "$0.129"),
        (money(0.6), "$0.60"),
        (money(0.0042), "$0.0042"),
        (money(0.9999), "$1.00"),
        (money(1e-9), "< $0.000001"),
        (percent(0, 0), "0 %"),
        (percent(1, 3), "33.3 %"),
        (percent(99_999, 100_000), "> 99.9 %"),
        (percent(1, 100_000), "< 0.1 %"),
        (percent(5, 5), "100 %"),
        (size(0), "0 B"),
        (size(999), "999 B"),
        (size(1_580_000_000), "1.58 GB"),
        (size(246e9), "246 GB"),
        (duration(3.25), "3.2s"),
        (duration(2472), "41m12s"),
        (duration(11_100), "3h05m"),
        (duration(187_200), "2d04h"),
        (plural(1, "record"), "1 record"),
        (plural(1_204, "record"), "1,204 records"),
    ],
)
def test_numbers_read_well(said: str, text: str) -> None:
    assert said == text
