"""Where a signature looks for its marks, which gates hold it back, and which tables are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.bans import signature_file, signatures
from scraper.bans.answers import Answer
from scraper.bans.tables import table_of
from scraper.errors import ConfigError

ENTRY = """[[signature]]
id = "wall"
vendor = "v"
kind = "denied"
strength = "strong"
source = "here"
since = "2026-11"
"""


def held(keys: str, body: str = "", status: int = 200, **headers: str) -> bool:
    """Whether one signature with ``keys`` holds for a page."""
    table = signature_file.table(signature_file.parse(ENTRY + keys))
    given = {"content-type": "text/html", **{name.replace("_", "-"): text for name, text in headers.items()}}
    answer = Answer("https://shop.example/", status, given, body.encode())
    return (table.by_headers(answer) or table.by_body(answer)) is not None


def page(head: str = "", body: str = "") -> str:
    return f"<html><head>{head}</head><body>{body}</body></html>"


def test_a_mark_of_scripts_is_no_mark_in_the_text_or_in_data() -> None:
    keys = 'scripts = ["_cf_Chl_opt"]'
    assert held(keys, page("<script>window._cf_chl_opt = {}</script>"))
    assert held(keys, page("<script src='/x?_cf_chl_opt'></script>"))
    for quoted in (
        "<p>the variable _cf_chl_opt</p>",
        "<code>&lt;script&gt;_cf_chl_opt&lt;/script&gt;</code>",
        "<!-- <script>_cf_chl_opt</script> -->",
        '<script type="application/json">{"text": "_cf_chl_opt"}</script>',
    ):
        assert not held(keys, page(body=quoted))


def test_a_mark_of_the_title_is_no_mark_elsewhere() -> None:
    keys = 'title = ["Just a moment", "one moment"]'
    assert held(keys, page("<title>\n Just a  MOMENT...</title>"))
    assert held(keys, page("<title>One moment, please</title>"))
    assert not held(keys, page("<title>Shop</title>", "Just a moment"))


def test_words_are_those_a_reader_sees() -> None:
    keys = 'text = ["access denied"]'
    assert held(keys, page(body="<h1>Access <i>denied</i></h1>"))
    for unseen in ("<noscript>access denied</noscript>", "<style>.x{content:'access denied'}</style>"):
        assert not held(keys, page(body=unseen))


def test_of_each_group_of_phrases_one_is_needed() -> None:
    keys = 'phrases = [["was blocked", "was denied"], ["by mistake", "in error"]]'
    assert held(keys, page(body="Your request was denied. If this is in error, call."))
    assert not held(keys, page(body="Your request was denied."))


def test_a_page_that_was_served_and_says_much_is_no_wall() -> None:
    keys = 'text = ["access denied"]'
    long = page(body="access denied " + "word " * (signatures.WALL_TEXT // 4))
    assert not held(keys, long)
    assert held(keys, long, status=403)


def test_fields_to_fill_in_make_a_form_but_those_of_a_captcha_do_not() -> None:
    keys = 'body = ["g-recaptcha"]\nmax_fields = 0'
    widget = "<div class='g-recaptcha'></div><textarea id='g-recaptcha-response'></textarea><input type=hidden name=u>"
    assert held(keys, page(body=f"<form>{widget}<input type=submit></form>"))
    for field in (
        "<input name=email>",
        "<input type='password'>",
        "<textarea name=words></textarea>",
        "<select>",
    ):
        assert not held(keys, page(body=f"<form>{widget}{field}</form>"))


def test_headers_cookies_and_statuses() -> None:
    assert held('headers = { X-Block = "" }', x_block="anything")
    assert held('headers = { x-block = "Yes" }', x_block="yes, we did")
    assert not held('headers = { x-block = "yes" }', x_block="no")
    assert held('headers = { x-guard = "!protected" }', x_guard="captcha")
    assert not held('headers = { x-guard = "!protected" }', x_guard="Protected")
    assert not held('headers = { x-guard = "!protected" }')
    assert held('cookies = ["rbzid="]', set_cookie="a=b, rbzid=1; Path=/")
    assert held('headers = { x-block = "" }\nstatuses = ["4xx"]', status=418, x_block="1")
    assert not held('headers = { x-block = "" }\nstatuses = ["4xx"]', status=200, x_block="1")
    assert held("statuses = [999]", status=999)


def test_marks_of_markup_are_not_looked_for_in_json_and_the_other_way_round() -> None:
    answer = '{"body": "<script>_cf_chl_opt</script>"}'
    assert not held('scripts = ["_cf_chl_opt"]', answer)
    assert not held('body = ["_cf_chl_opt"]', answer)
    assert held('format = "json"\nbody = ["_cf_chl_opt"]', answer)


def test_unless_keeps_a_page_from_being_one() -> None:
    keys = 'text = ["access denied"]\nunless = ["type=\\"password\\""]'
    assert held(keys, page(body="access denied"))
    assert not held(keys, page(body='access denied <input type="password">'))


def test_a_vendor_names_the_verdict_before_a_generic_rule_does() -> None:
    generic = ENTRY.replace('"wall"', '"anyone"').replace('"v"', '"generic"') + 'text = ["denied"]\n'
    table = signature_file.table(signature_file.parse(generic + ENTRY + 'text = ["access denied"]\n'))
    found = table.by_body(Answer("https://x.example/", 200, {}, b"<html><p>Access denied</p></html>"))
    assert found is not None
    assert found.signature.id == "wall"


def test_a_trace_says_what_was_found_and_what_held_it_back() -> None:
    keys = 'title = ["denied"]\ntext = ["reference"]\nstatuses = [403]'
    table = signature_file.table(signature_file.parse(ENTRY + keys))
    [trace] = table.trace(
        Answer("https://x.example/", 200, {}, b"<html><title>Denied</title>Reference</html>")
    )
    assert trace.found == ("title: denied", "text: reference")
    assert trace.gates == ("status 200 is none of 403",)
    [trace] = table.trace(Answer("https://x.example/", 403, {}, b"<html><title>Denied</title></html>"))
    assert trace.missing == ("text: reference",)
    assert not trace.held


@given(st.text(alphabet="<>!-/ acdehilnoprst=\"'", max_size=300))
def test_no_markup_breaks_the_reader(markup: str) -> None:
    answer = Answer("https://x.example/", 200, {"content-type": "text/html"}, markup.encode())
    assert answer.text == " ".join(answer.text.split())
    assert answer.n_fields >= 0
    assert isinstance(answer.sent_to, str)


@pytest.mark.parametrize(
    ("shape", "told", "body"),
    [
        ("html", "text/html", b"<p>x"),
        ("html", "", b"\xef\xbb\xbf\n<!doctype html><html>"),
        ("html", "text/plain", b"<html><body>x"),
        ("html", "application/xhtml+xml", b"<?xml version='1.0'?><html>"),
        ("json", "text/html", b'{"a": 1}'),
        ("json", "application/json", b" [1]"),
        ("xml", "application/rss+xml", b"<?xml version='1.0'?><rss>"),
        ("xml", "", b"<?xml version='1.0'?><urlset>"),
        ("text", "text/plain", b"ok"),
        ("text", "text/html", b"healthy"),
        ("text", "application/javascript", b"<!-- old --> var a"),
        ("binary", "image/png", b"\x89PNG"),
        ("binary", "", b"\x00\x01\x02x"),
        ("empty", "text/html", b" \n"),
    ],
)
def test_the_shape_of_a_body_is_told_by_its_type_and_first_bytes(shape: str, told: str, body: bytes) -> None:
    headers = {"content-type": told} if told else {}
    assert Answer("https://x.example/", 200, headers, body).shape == shape


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ("", "nothing to look for"),
        ('titel = ["x"]', "unknown field `titel`"),
        ('text = "x"', r"Expected `array`, got `str` - at `\$.text`"),
        ('text = ["xyz", ""]', "'' is too short for a mark"),
        ('text = ["two  spaces"]', "is found on no page"),
        ('phrases = [["<b>denied</b>"]]', "is found on no page"),
        ('kind = "refused"\ntext = ["members only"]', "needs statuses of 400"),
        ('statuses = ["6x"]\ntext = ["x"]', "6x is no status"),
        ('format = "json"\ntitle = ["x"]', "only html"),
        ('format = "yaml"\nbody = ["x"]', "format yaml"),
    ],
)
def test_a_signature_that_cannot_work_is_refused(keys: str, word: str) -> None:
    kind = 'kind = "denied"\n'
    entry = ENTRY.replace(kind, "") if keys.startswith("kind") else ENTRY
    with pytest.raises(ValueError, match=f"signature wall.*{word}"):
        signature_file.parse(entry + keys)


def test_a_gated_signature_needs_a_gate_and_an_id_stands_once() -> None:
    with pytest.raises(ValueError, match="names neither"):
        signature_file.parse(ENTRY.replace("strong", "gated") + 'text = ["xyz"]')
    with pytest.raises(ValueError, match="stands twice"):
        signature_file.table(signature_file.parse((ENTRY + 'text = ["xyz"]\n') * 2))


def test_signatures_of_ones_own_are_asked_first(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(ENTRY + 'title = ["just a moment"]\n')
    table = table_of({"BAN_SIGNATURES_FILE": str(own)})
    found = table.by_body(
        Answer("https://x.example/", 403, {}, b"<html><title>Just a moment...</title></html>")
    )
    assert found is not None
    assert found.signature.id == "wall"
    assert len(table.signatures) == len(table_of({"BAN_SIGNATURES_FILE": ""}).signatures) + 1


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (None, "cannot be read: No such file"),
        ("[[signature", "is not TOML"),
        ("signature = 1", r"Expected `array`, got `int` - at `\$.signature`; the file holds"),
        ("", r"holds no \[\[signature\]\]"),
        (ENTRY.replace("[[signature]]", "[[signatures]]"), "unknown field `signatures`"),
        (ENTRY, "signature wall: has nothing to look for"),
        (
            ENTRY.replace("wall", "status_403") + 'text = ["xyz"]',
            "the id is that of a rule without a signature",
        ),
        ('off = ["akamai_deny"]', "off: akamai_deny is no shipped signature; did you mean akamai_denied"),
        (ENTRY.replace('"wall"', '"Wall!"') + 'text = ["xyz"]', "signature Wall!"),
    ],
)
def test_a_file_of_ones_own_that_cannot_work_names_itself(
    tmp_path: Path, text: str | None, word: str
) -> None:
    own = tmp_path / "own.toml"
    if text is not None:
        own.write_text(text)
    with pytest.raises(ConfigError, match=rf"BAN_SIGNATURES_FILE.*own\.toml.*{word}"):
        table_of({"BAN_SIGNATURES_FILE": str(own)})


def test_a_shipped_signature_can_be_replaced_and_switched_off(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        'off = ["denied_title"]\n' + ENTRY.replace("wall", "akamai_denied") + 'text = ["film noir"]\n'
    )
    shipped = {entry.id: entry for entry in table_of({"BAN_SIGNATURES_FILE": ""})}
    mine = {entry.id: entry for entry in table_of({"BAN_SIGNATURES_FILE": str(own)})}
    assert set(shipped) - set(mine) == {"denied_title"}
    assert mine["akamai_denied"].text == ("film noir",)


def test_the_entry_that_the_docs_show_works() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "blocks.md").read_text(encoding="utf-8")
    [entry] = signature_file.parse(docs.partition("```toml\n")[2].partition("```")[0])
    assert entry.text == ("you are now in line",)
