"""The words of SOCKS5, byte for byte as RFC 1928 and RFC 1929 have them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.proxies.socks import SocksRefused, handshake


def talk(
    answers: list[bytes], host: str = "a.example", port: int = 443, user: str = "", password: str = ""
) -> bytes:
    """Everything that is sent where the proxy answers so; each answer is read to its end."""
    words, left, sent = handshake(host, port, user, password), b"".join(answers), b""
    try:
        data, n_bytes = next(words)
        while True:
            sent += data
            got, left = left[:n_bytes], left[n_bytes:]
            assert len(got) == n_bytes, "it wants more than was answered"
            data, n_bytes = words.send(got)
    except StopIteration:
        assert not left, "it leaves some of the answer to the page"
        return sent


def test_a_name_goes_to_the_proxy_as_a_name() -> None:
    sent = talk([b"\x05\x00", b"\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90"])
    assert sent == b"\x05\x01\x00" + b"\x05\x01\x00\x03\x09a.example\x01\xbb"


def test_user_and_password_are_the_only_method_offered_where_there_are_any() -> None:
    answers = [b"\x05\x02", b"\x01\x00", b"\x05\x00\x00\x03\x04here\x00\x00"]
    sent = talk(answers, "2001:db8::1", 80, "me-session-a1", "example")
    assert sent == (
        b"\x05\x01\x02" + b"\x01\x0dme-session-a1\x07example"
        b"\x05\x01\x00\x04" + bytes.fromhex("20010db8000000000000000000000001") + b"\x00\x50"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([b"\x05\xff"], "config"),
        ([b"\x05\x02", b"\x01\x01"], "config"),
        ([b"\x05\x00"], "config"),  # it would let us in as nobody, with an exit that is not the session's
        ([b"HT"], "transient"),
        ([b"\x05\x02", b"\x01\x00", b"\x05\x01\x00\x01"], "transient"),
        ([b"\x05\x02", b"\x01\x00", b"\x05\x02\x00\x01"], "forbidden"),
        ([b"\x05\x02", b"\x01\x00", b"\x05\x03\x00\x01"], "target"),
        ([b"\x05\x02", b"\x01\x00", b"\x05\x04\x00\x01"], "target"),
        ([b"\x05\x02", b"\x01\x00", b"\x05\x05\x00\x01"], "target"),
        ([b"\x05\x02", b"\x01\x00", b"\x05\x63\x00\x01"], "transient"),
        ([b"\x05\x02", b"\x01\x00", b"\x05\x00\x00\x09"], "transient"),
    ],
)
def test_each_refusal_has_its_class_and_shows_no_secret(answers: list[bytes], kind: str) -> None:
    with pytest.raises(SocksRefused) as refused:
        talk(answers, user="customer", password="example")
    assert refused.value.kind == kind
    assert "example" not in str(refused.value)
    assert "customer" not in str(refused.value)


@given(
    st.binary(max_size=60),
    st.text(min_size=1, max_size=300),
    st.text(max_size=300),
)
def test_no_answer_makes_it_raise_anything_else_or_read_without_end(
    said: bytes, user: str, password: str
) -> None:
    with suppress(SocksRefused, AssertionError):
        talk([said], user=user, password=password)


@pytest.mark.parametrize("text", ["x" * 256, "é" * 128])
def test_what_does_not_fit_in_a_byte_of_length_is_refused_before_it_is_sent(text: str) -> None:
    with pytest.raises(SocksRefused):
        talk([b"\x05\x02"], user="customer", password=text)
    with pytest.raises(SocksRefused):
        talk([b"\x05\x00"], host=text)
