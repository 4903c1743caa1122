"""The steps on one row, each by what it promises."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.batches import steps
from scraper.batches.jobs import tidy
from scraper.batches.steps import Place, Refuse, RowStep
from scraper.errors import ConfigError
from scraper.sinks import contract

PAGE = (
    "<html><head><meta charset='{charset}'><title>T</title></head><body><nav><a href=/>Home</a></nav>"
    "<main><article><h1>Crème brûlée</h1><p>Take four eggs and a lot of patience, then wait for it.</p></article></main>"
    "<footer>imprint</footer></body></html>"
)
SCRAPED = datetime(2026, 3, 4, 12, tzinfo=UTC)  # a Wednesday


def built(name: str, **options: Any) -> RowStep:
    (loaded,) = steps.load([{name: options}], Place())
    assert isinstance(loaded.step, RowStep)
    loaded.step.open()
    return loaded.step


# --- clean, content_hash --------------------------------------------------------------------------------------


def test_clean() -> None:
    """Blanks are normalised at every depth, empty strings become None; bodies and our own columns stay."""
    row = {
        "title": "  a \t\xa0 b \r\n\n\n\n c  ",
        "empty": " \n ",
        "list": [" x ", {"y": " "}],
        "n": 1,
        "raw": b" x ",
        "body": " <b> ",
        "_url": " x ",
    }
    assert tidy.clean(row) == {
        "title": "a b\n\nc",
        "empty": None,
        "list": ["x", {"y": None}],
        "n": 1,
        "raw": b" x ",
        "body": " <b> ",
        "_url": " x ",
    }
    assert tidy.clean({"keep": " x ", "body": " x "}, skip=["keep"]) == {"keep": " x ", "body": "x"}


@pytest.mark.parametrize(("algorithm", "digits"), [("xxh3", 32), ("sha256", 64)])
def test_content_hash_is_the_same_for_the_same_content(algorithm: str, digits: int) -> None:
    """Equal content gives the equal hash whatever the key, the address or the order of fields; else it differs."""

    def hashed(row: dict[str, Any]) -> str:
        return str(built("content_hash", algorithm=algorithm).run(row)["content_hash"])

    one = hashed({"a": 1, "b": {"x": 1, "y": 2}, "_key": "1"})
    assert one == hashed({"b": {"y": 2, "x": 1}, "a": 1, "_key": "2"})
    assert one != hashed({"a": 2, "b": {"x": 1, "y": 2}})
    assert len(one) == digits


def test_content_hash_of_fields() -> None:
    """Only the named fields count; bytes are hashed as they are; a boundary between fields cannot be moved."""

    def hashed(row: dict[str, Any]) -> str:
        return str(built("content_hash", fields=["a", "b"], into="h").run(row)["h"])

    assert hashed({"a": b"x", "b": "y", "c": 1}) == hashed({"a": b"x", "b": "y", "c": 2})
    assert hashed({"a": b"xb=1:y", "b": b""}) != hashed({"a": b"x", "b": b"y"})
    step = built("content_hash", into="h")
    assert step.run({"a": 1, "h": "old"}) == step.run({"a": 1, "h": "older"})


# --- redact ---------------------------------------------------------------------------------------------------


def test_redact_masks_named_fields_at_any_depth() -> None:
    """Whatever they hold; nothing becomes something."""
    row = {
        "email": "a@b.example",
        "seller": [{"name": "x", "phone": {"home": 1}}],
        "phone": None,
        "_url": "u",
    }
    assert built("redact", fields=["email", "phone"], mask="*").run(row) == {
        "email": "*",
        "seller": [{"name": "x", "phone": "*"}],
        "phone": None,
        "_url": "u",
    }


@pytest.mark.parametrize(
    ("pattern", "found", "left"),
    [
        ("email", ["ann.b+c@mail.shop.example"], ["@home", "a@b", "price @ 3.50"]),
        (
            "phone",
            ["+49 30 123456-78", "0044 20 7946 0000"],
            ["2024-05-06", "12 345 678", "+1", "EAN 4006381333931"],
        ),
        (
            "card",
            ["4111 1111 1111 1111", "5500-0000-0000-0004"],
            ["4111 1111 1111 1112", "978-3-16-148410-0"],
        ),
        ("iban", ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"], ["DE88 3704 0044 0532 0130 00"]),
        ("ipv4", ["192.0.2.10"], ["1.2.3", "1.2.3.4.5", "300.1.1.1"]),
        (r"SKU-\d+", ["SKU-17"], ["SKU"]),
    ],
)
def test_redact_masks_what_looks_like_it(pattern: str, found: list[str], left: list[str]) -> None:
    """In texts at any depth, and nothing that only resembles it; not in our own columns, which name the page."""
    step = built("redact", patterns=[pattern])
    for text in found:
        row = step.run({"a": f"so: {text}, and", "b": [{"c": text}], "_url": text, "n": 5, "raw": b"x"})
        assert row == {
            "a": "so: [redacted], and",
            "b": [{"c": "[redacted]"}],
            "_url": text,
            "n": 5,
            "raw": b"x",
        }
    for text in left:
        assert step.run({"a": f"so {text} and"}) == {"a": f"so {text} and"}


@given(st.text(alphabet="0123456789 +-().@aZé:/", max_size=60))
def test_redact_takes_any_text(text: str) -> None:
    """And what it has masked it leaves."""
    step = tidy.Redact(Place(), patterns=list(tidy.PATTERNS))
    once = step.run({"a": text})
    assert step.run(once) == once


# --- pages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["resiliparse", "trafilatura"])
@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "windows-1252"])
def test_main_text_of_bytes(charset: str, by: str) -> None:
    """The main content, decoded by the page's own charset, without navigation and imprint."""
    row = built("main_text", by=by).run({"body": PAGE.format(charset=charset).encode(charset)})
    assert row is not None
    assert "patience" in row["main_text"]
    assert "imprint" not in row["main_text"]
    assert "body" in row
    assert by == "trafilatura" or "Crème brûlée" in row["main_text"]


def test_main_text_of_text_and_without_a_page() -> None:
    """A str is taken as it is, keep=False drops it; a row without a page stays as it is."""
    row = built("main_text", keep=False, into="text").run({"html": PAGE.format(charset="x"), "n": 1})
    assert row is not None
    assert row.keys() == {"n", "text"}
    assert built("main_text").run({"n": 1, "body": b""}) == {"n": 1, "body": b""}


def test_structured_data_of_a_page_that_is_malformed_in_part() -> None:
    """Every syntax it has, what is broken left out, one form for all; sinks can hold it."""
    page = (
        "<html><head><meta property='og:title' content='Lamp'><script type='application/ld+json'>"
        '{"@type": "Product", "name": "Lamp", "offers": {"price": "9.50"}}</script>'
        "<script type='application/ld+json'>{broken</script></head><body>"
        "<div itemscope itemtype='https://schema.org/Person'><b itemprop=name>Ann</b></div></body></html>"
    )
    row = built("structured_data").run(
        {"html": '<?xml version="1.0" encoding="utf-8"?>' + page, "_url": "http://a/"}
    )
    assert row is not None
    found = row["structured_data"]
    assert found["json-ld"] == [{"@type": "Product", "name": "Lamp", "offers": {"price": "9.50"}}]
    assert (found["microdata"][0]["@type"], found["microdata"][0]["name"]) == ("Person", "Ann")
    assert found["opengraph"][0]["og:title"] == "Lamp"
    contract.check(row)
    assert built("structured_data", syntaxes=["json-ld"]).run({"html": "<p>x"}) == {
        "html": "<p>x",
        "structured_data": {},
    }


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "The harbour was quiet when the ships came back."),
        ("de", "Der Hafen war still, als die Schiffe zurückkamen."),
        ("pt", "Frete grátis em compras acima de cinquenta reais."),
        ("uk", "Гавань була тиха, коли кораблі повернулися."),
        ("zh", "订单满五十元免运费，三十天内可退货。"),
        (None, "7 / 4711"),
    ],
)
def test_language(language: str | None, text: str) -> None:
    """Of the first field that has a text; None where there is nothing to tell it by."""
    assert built("language").run({"main_text": "", "title": text}) == {
        "main_text": "",
        "title": text,
        "language": language,
    }


def test_language_among_given_ones_only() -> None:
    """A language that the model does not know stops the worker before its first row."""
    text = "Havnen var stille da skipene kom."
    row = built("language", languages=["sv", "de"], at_least=0.0).run({"text": text})
    assert row is not None
    assert row["language"] == "sv"
    with pytest.raises(ConfigError, match="Unknown language code"):
        built("language", languages=["xx"])


# --- values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("1.299,00 €", 1299.0, "€"),
        ("USD 1,299.50", 1299.5, "USD"),
        ("12 990 Kč", 12990.0, "Kč"),
        ("Free", 0.0, "PLN"),
        ("sold out", None, None),
        (19.9, 19.9, "PLN"),
        (None, None, None),
        (True, None, None),
    ],
)
def test_price(text: Any, amount: float | None, currency: str | None) -> None:
    """The text stays, amount and currency stand beside it; a field that the row does not have gets none."""
    row = built("price", fields=["cost", "old"], currency="PLN").run({"cost": text})
    assert row == {"cost": text, "cost_amount": amount, "cost_currency": currency}


def test_price_whose_point_is_told() -> None:
    """ "1.299" is what the site means by it."""
    amounts = [built("price", decimal=decimal).run({"price": "1.299"}) for decimal in (".", ",")]
    assert [row and row["price_amount"] for row in amounts] == [1.299, 1299.0]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-03-05", "2024-03-05T00:00Z"),
        ("2024-03-05T10:00:00+02:00", "2024-03-05T08:00Z"),
        ("Tue, 05 Mar 2024 10:00:00 +0100", "2024-03-05T09:00Z"),
        ("Tue, 05 Mar 2024 10:00:00 GMT", "2024-03-05T10:00Z"),
        ("5. März 2024", "2024-03-05T00:00Z"),
        ("le 5 mars 2024 à 10:30", "2024-03-05T10:30Z"),
        ("March 2024", "2024-03-01T00:00Z"),
        (1709546400, "2024-03-04T10:00Z"),
        (1709546400000, "2024-03-04T10:00Z"),
        (datetime(2024, 3, 5, tzinfo=UTC), "2024-03-05T00:00Z"),
        ("3 days ago", "2026-03-01T12:00Z"),
        ("vor 2 Stunden", "2026-03-04T10:00Z"),
        ("Monday", "2026-03-02T00:00Z"),
        ("sold out", None),
        ("99999 years ago", None),
        ("x" * 101, None),
        ("", None),
        (None, None),
        (True, None),
    ],
)
def test_date(text: Any, moment: str | None) -> None:
    """As sites write it, in UTC; what counts from now counts from when the page was scraped, however late a worker comes."""
    step = built("date", fields=["on", "until"])
    for _ in range(2):  # the second time out of the cache
        row = step.run({"on": text, "_scraped_at": SCRAPED})
        assert row is not None
        assert row.keys() == {"on", "on_at", "_scraped_at"}
        assert row["on_at"] == (datetime.fromisoformat(moment) if moment else None)
        assert row["on_at"] is None or row["on_at"].utcoffset() == SCRAPED.utcoffset()


def test_date_by_the_sites_own_order_zone_and_language() -> None:
    """What a text leaves open, the options say."""
    step = built("date", order="DMY", timezone="Europe/Berlin", languages=["en"])
    found = [step.run({"date": text}) for text in ("05/04/2024", "2024-04-05", "5 Apr 2024 10:00 EST")]
    assert [row and row["date_at"].isoformat() for row in found] == [
        "2024-04-04T22:00:00+00:00",
        "2024-04-04T22:00:00+00:00",
        "2024-04-05T15:00:00+00:00",
    ]
    with pytest.raises(ConfigError, match=r"date: .*xx"):
        built("date", languages=["xx"])


# --- schema ---------------------------------------------------------------------------------------------------

MODEL = {"model": "tests.batches.models.Product"}


def test_a_row_that_fits_its_model_gets_the_models_values() -> None:
    """Numbers out of texts; what only Python knows becomes what a sink can hold; other fields and our own stay."""
    row = {
        "price": "3.5",
        "link": "https://a.example",
        "state": "new",
        "tags": ["x"],
        "seen": "2024-01-02T00:00:00Z",
    }
    made = built("schema", **MODEL).run({**row, "other": 1, "_key": "k"})
    assert made == {
        "title": None, "price": 3.5, "link": "https://a.example/", "state": "new", "tags": ["x"],
        "seen": datetime(2024, 1, 2, tzinfo=UTC), "other": 1, "_key": "k",
    }  # fmt: skip
    contract.check(made)


def test_a_row_that_does_not_fit_is_refused_with_its_fields() -> None:
    """The reason names each; rows of other types are not looked at."""
    wrong = {"price": -1, "state": "old", "_type": "Product"}
    with pytest.raises(Refuse, match=r"price: Input should be greater .*; state: Input should be 'new'"):
        built("schema", **MODEL).run(wrong)
    assert built("schema", **MODEL, only=["Review"]).run(wrong) == wrong
    with pytest.raises(Refuse):
        built("schema", **MODEL, only=["Product"]).run(wrong)


def test_json_schema(tmp_path: Path) -> None:
    """Formats count; times are texts to it; a row stays as it is; the first mistakes are named, the rest counted."""
    path = tmp_path / "product.json"
    properties = {
        "price": {"type": "number", "minimum": 0},
        "seen": {"type": "string", "format": "date-time"},
    }
    more = {letter: {"type": "integer"} for letter in "abc"}
    path.write_text(json.dumps({"properties": {**properties, **more}, "required": ["title"]}))
    step = built("schema", file=str(path))
    row = {"title": "x", "price": 1, "seen": SCRAPED, "body": b"\xff", "_scraped_at": SCRAPED}
    assert step.run(dict(row)) == row
    with pytest.raises(Refuse, match=r'^row: "title" is a required property; price: -1 is less .*; seen: '):
        step.run({"price": -1, "seen": "yesterday"})
    with pytest.raises(Refuse, match=r"; and 1 more$"):
        step.run({"title": "x", "price": "y", "a": "", "b": "", "c": ""})


def test_json_schema_asks_no_other_machine(tmp_path: Path) -> None:
    """A reference into the network stops the start."""
    path = tmp_path / "product.json"
    path.write_text('{"$ref": "http://127.0.0.1:9/other.json"}')
    with pytest.raises(ConfigError, match="is no JSON Schema"):
        built("schema", file=str(path))
