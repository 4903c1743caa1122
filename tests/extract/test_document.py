"""HTML to a tree: any text gives one, in bounded time."""

from __future__ import annotations

import random
import time

import pytest

from scraper.extract import document

BOUND_S = 2.0  # far above what the slowest page here needs (0.2 s), far below a stall (one tag: 50 s)
HUGE_TAG = "<a " + " ".join(f"a{n}=1" for n in range(120_000)) + ">"


def parsed(text: str) -> document.Document:
    began = time.process_time()
    result = document.parse(text)
    assert time.process_time() - began < BOUND_S
    return result


@pytest.mark.parametrize(
    "text", ["", " ", "\x00", "no markup", "<", "<>", "</", "<!", "<!--", "<?xml", "\ud800", "<p>ü\x00"]
)
def test_any_text_gives_a_tree(text: str) -> None:
    assert parsed(text).root.tag == "html"


def test_an_ordinary_page_is_read_whole() -> None:
    page = parsed(
        "<?xml version='1.0' encoding='latin-1'?><p class='a>b'>é<!-- <p> --><script>if (a<b) '<p>'</script></p>"
    )
    assert not page.cut
    assert [p.get("class") for p in page.root.iter("p")] == ["a>b"]
    assert next(page.root.iter("p")).text == "é"


def test_as_many_attributes_as_allowed_are_read_and_one_more_is_not() -> None:
    def tag(count: int) -> str:
        return "<p>before<a " + " ".join(f"a{n}='x>y'" for n in range(count)) + "><i>after</i>"

    whole, cut = parsed(tag(document.MAX_ATTRIBUTES)), parsed(tag(document.MAX_ATTRIBUTES + 1))
    assert not whole.cut
    assert len(next(whole.root.iter("a")).attrib) == document.MAX_ATTRIBUTES
    assert cut.cut
    assert "".join(cut.root.itertext()) == "before"


@pytest.mark.parametrize(
    "before",
    [
        "<p>", "<p title=\"<a b='\">", "<!-- <a b=' -->", "<!-->", "<!--->", "<!-- --!>", "<!--x--!><!--y-->",
        "<!x <a b=\">", "<?x <a b=\">", "</ x <a b='>", "<script>'<a b=\"'</script>", "<script/><a b=c>",
        "<script><!--<script></script>&<a b='</script>", "<style></style <title>", "<textarea><a b='</textarea>",
        "<svg><title><a b='</title>", "<![CDATA[<a b=']]>", "<a b = c d=\"'\">", "<p/ /b='\"'/>", "<1 a='>", "&lt;a b='",
    ],
)  # fmt: skip
def test_a_tag_built_to_stall_the_parser_does_not_reach_it(before: str) -> None:
    """1 MB of attributes in one tag; what stands before it must not make it look like text."""
    assert parsed(f"{before}{HUGE_TAG}<p>").cut


def test_a_tag_inside_text_is_no_tag() -> None:
    """Comments and scripts may hold what looks like one."""
    page = parsed(f"<!--{HUGE_TAG}--><script>'{HUGE_TAG}'</script><p>read")
    assert not page.cut
    assert next(page.root.iter("p")).text == "read"


@pytest.mark.parametrize(
    "part",
    ["<", "<div>", "</div", "<!--", "--!", "<script>", "<script></script", "<script><!--", "<a b='", "<a b=\"'", "<a/b=",
     "<a ", "=", "<a b" + " " * 500, "<!", "</", "&#", "<title></title ", "\x00", "<a href=/x>"],
)  # fmt: skip
def test_no_repetition_stalls_it(part: str) -> None:
    parsed(part * (1_000_000 // len(part)))


def test_no_mixture_of_markup_lets_a_large_tag_through() -> None:
    """1,000 random mixtures around a tag of 4,000 attributes (20 ms each if it got through): a fraction of that in all."""
    tag = "<a " + " ".join(f"a{n}=1" for n in range(4_000)) + ">"
    parts = ["<!--", "-->", "<!-->", "--!>", "<!", "<?", ">", '"', "'", "=", "/", "</", "<", "<a ", "<a b='", '<a b="',
             "<script>", "</script>", "<script/>", "<script><!--", "<style>", "</style ", "<title>", "</title>", "<textarea>",
             "<svg>", "<![CDATA[", "]]>", "<plaintext>", "<noscript>", "<xmp>", "<iframe>", "<select>", "<frameset>"]  # fmt: skip
    chance = random.Random(20)
    slow = 0
    for _ in range(1_000):
        text = (
            "".join(chance.choices(parts, k=chance.randint(0, 6))).replace("_", " ")
            + tag
            + chance.choice(parts)
        )
        began = time.thread_time()
        document.parse(text)
        slow += time.thread_time() - began > 0.012
    assert slow <= 3


def test_a_page_of_any_length_is_read_to_the_limit() -> None:
    page = document.parse("<p>x</p>" * (document.MAX_CHARS // 8 + 10))
    assert page.cut
    assert sum(1 for _ in page.root.iter("p")) == document.MAX_CHARS // 8
