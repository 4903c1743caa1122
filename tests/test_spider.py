"""The base of all spiders: where to start, and mistakes that stop the start."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from scraper.arguments import arg
from scraper.errors import ArgumentError
from scraper.spider import Spider


class Example(Spider):
    name = "example"

    @dataclass(frozen=True)
    class Args(Spider.Args):
        url: str = arg("https://example.com/", "where to start", group="start")
        depth: int = arg(1, "how deep")

    args: Args

    def parse(self, response: Any) -> None: ...


def started(spider: Spider) -> list[str]:
    async def collect() -> list[str]:
        return [request.url async for request in spider.start()]

    return asyncio.run(collect())


def test_starts_at_its_default_or_where_it_is_told() -> None:
    assert started(Example()) == ["https://example.com/"]
    assert started(Example(url="example.org/a")) == ["https://example.org/a"]
    assert started(Example(urls="example.org,localhost:8000/b,https://EXAMPLE.org/#top")) == [
        "https://example.org/",
        "http://localhost:8000/b",
    ]


def test_starts_at_the_start_urls_that_scrapy_knows_when_no_argument_says_otherwise() -> None:
    class Plain(Spider):
        name = "plain"
        start_urls: ClassVar[list[str]] = ["https://example.com/a"]

    assert started(Plain()) == ["https://example.com/a"]
    assert started(Plain(url="example.org")) == ["https://example.org/"]


def test_starts_at_the_addresses_of_a_file(tmp_path: Path) -> None:
    """One a line; empty lines, comments and a byte order mark are skipped, repeated addresses are one."""
    file = tmp_path / "urls.txt"
    file.write_bytes(
        "\ufeff# shops\r\nexample.com\r\n\r\n  https://example.org/a?b=c#d \r\nexample.com/\r\n".encode()
    )
    assert started(Example(urls_file=str(file))) == ["https://example.com/", "https://example.org/a?b=c"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "holds no address"),
        (b"# only a comment\n\n", "holds no address"),
        (b"example.com\n\nftp://example.com/x\n", r"line 3 of .*urls.txt is no http or https address"),
        (b"example.com\nnot an address\n", r"line 2 of .*urls.txt is no http or https address"),
        (b"caf\xe9.example\n", r"is not UTF-8 text \(byte 3\)"),
    ],
)
def test_a_wrong_file_is_an_error_that_says_where(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "urls.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ArgumentError, match=reason):
        Example(urls_file=str(file))


def test_a_folder_is_no_file_of_addresses(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="cannot be read: Is a directory"):
        Example(urls_file=str(tmp_path))


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ArgumentError) as raised:
        Example(url="https://user:example@example.com/")
    assert "user:example" not in str(raised.value)


def test_stays_on_the_hosts_it_starts_at() -> None:
    """Without ``allowed_domains`` of its own; ``www.`` is no host of its own."""
    spider = Example(urls="www.example.com,http://127.0.0.1:8000/,example.com/b")
    assert spider.allowed_domains == ["127.0.0.1", "example.com"]


def test_takes_scrapyds_job_id_for_settings_that_use_it() -> None:
    """``%(_job)s`` in the address of a feed reads the spider's attribute."""
    assert Example(_job="4f2c")._job == "4f2c"


def test_an_unknown_argument_stops_the_start() -> None:
    with pytest.raises(ArgumentError, match=r"did you mean depth\? it has url, urls, urls_file, depth"):
        Example(dpeth="2")
