"""No credential is read in what a run writes, and ordinary text is left alone."""

from __future__ import annotations

import logging
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.runs.logs import RedactingFilter
from scraper.runs.redact import is_secret_name, redact, redact_value

CANARY = "exampleCANARYexample"
around = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30)
odd = st.text("!$&'()*+,;=:@-._~%", max_size=8)


@given(around, around, odd, odd)
def test_a_password_in_a_url_is_masked_wherever_it_stands(
    before: str, after: str, left: str, right: str
) -> None:
    line = f"{before} proxy http://user-country-de:{left}{CANARY}{right}@gateway.example:8000 {after}"
    assert CANARY not in redact(line)
    assert "gateway.example:8000" in redact(line)


@given(st.text(max_size=12), st.text(max_size=12))
def test_an_encoded_password_is_masked_whatever_its_characters(left: str, right: str) -> None:
    password = quote(left + CANARY + right, safe="")
    assert CANARY not in redact(f"GET https://{quote(left, safe='')}:{password}@h.example/a?b=1")


@pytest.mark.parametrize("raw", [f"a/{CANARY}", f"a?{CANARY}", f"{CANARY}#b", f"p@{CANARY}"])
def test_a_password_that_nobody_encoded_is_masked_too(raw: str) -> None:
    assert CANARY not in redact(f"http://user:{raw}@gateway.example:8000")


@pytest.mark.parametrize(
    "line",
    [
        f"Proxy-Authorization: Basic {CANARY}==",
        f"{{b'Proxy-Authorization': [b'Basic {CANARY}']}}",
        f"authorization: Bearer {CANARY}.{CANARY}",
        f"{{'PROXY_PASSWORD': '{CANARY}', 'A': 1}}",
        f'{{"api_key": "{CANARY}"}}',
    ],
)
def test_headers_and_named_values_in_a_log_line_are_masked(line: str) -> None:
    assert CANARY not in redact(line)


@given(st.text())
def test_redacting_twice_is_redacting_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.example:8443/a@b/c?x=1#y",
        "http://shop.example:80 mail me@shop.example",
        "Crawled (200) <GET https://shop.example/p/1?q=%40x> (referer: None)",
        "{'title': 'The key', 'price': '1'}",
        "monkey turkey keyboard",
        "Authorization required for this page",
        "",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "PROXY_PASSWORD",
        "apiKey",
        "api-key",
        "APIKEY",
        "aws_secret_access_key",
        "authToken",
        "SENTRY_DSN",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["keyword", "monkey", "author", "PASSTHROUGH", "url", "COMPASS_N", "tokenizer"]
)
def test_names_that_only_look_like_it(name: str) -> None:
    assert not is_secret_name(name)


def test_values_are_masked_by_name_and_shape_at_any_depth() -> None:
    value = {
        "headers": {"Authorization": CANARY, "Accept": "text/html"},
        "pools": [f"http://u:{CANARY}@h.example", {"password": CANARY}],
        "start": f"https://shop.example/?page=2&api_key={CANARY}#x",
        "limit": 3,
        "cookies": {"session": CANARY},
    }
    masked = redact_value("SOME_SETTING", value)
    assert CANARY not in str({key: item for key, item in masked.items() if key != "cookies"})
    assert masked["headers"]["Accept"] == "text/html"
    assert masked["start"] == "https://shop.example/?page=2&api_key=***#x"
    assert masked["limit"] == 3


def test_everything_below_a_secret_name_is_secret() -> None:
    assert CANARY not in str(redact_value("COOKIES", {"session": CANARY}))
    assert CANARY not in str(redact_value("API_KEYS", [CANARY]))


def test_switches_with_a_secret_name_stay_readable() -> None:
    assert redact_value("COOKIES_ENABLED", True) is True
    assert redact_value("COOKIES_ENABLED", "False") == "False"
    assert redact_value("PROXY_TOKEN", "") == ""


def test_a_log_record_is_masked_with_its_arguments_and_traceback() -> None:
    try:
        raise OSError(f"cannot reach http://u:{CANARY}@h.example")
    except OSError as error:
        record = logging.LogRecord(
            "x",
            logging.ERROR,
            __file__,
            1,
            "via %s",
            (f"http://u:{CANARY}@h.example",),
            (OSError, error, None),
        )
    assert RedactingFilter().filter(record)
    text = logging.Formatter().format(record)
    assert CANARY not in text
    assert "via http://***@h.example" in text


def test_a_wrong_format_string_still_makes_a_line() -> None:
    record = logging.LogRecord(
        "x", logging.INFO, __file__, 1, "%d pages", (f"http://u:{CANARY}@h.example",), None
    )
    assert RedactingFilter().filter(record)
    assert record.getMessage() == "%d pages ('http://***@h.example',)"


def test_a_page_cannot_make_a_log_line_that_takes_for_ever() -> None:
    for hostile in ("@ " + "http://a:b" * 50_000, "'key':'" * 50_000, "authorization:" * 50_000):
        began = time.process_time()
        redact(hostile)
        assert time.process_time() - began < 2
