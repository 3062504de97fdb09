from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidInput, TooLarge
from gateway.frontends.v2_grpc.framing import (
    PREFIX,
    FrameReader,
    frame,
    message_size,
    parse_timeout,
    unwrap,
)

LIMIT = 1 << 20


def compressed(message, flag=1):
    packed = gzip.compress(message)
    return PREFIX.pack(flag, len(packed)) + packed


def test_a_plain_message_is_not_copied():
    body = frame(b"abc")
    assert unwrap(body, "", LIMIT, 200) == (body, 5)
    assert unwrap(body, "gzip", LIMIT, 200) == (body, 5)
    assert unwrap(frame(b""), "", LIMIT, 200) == (frame(b""), 5)


def test_a_compressed_message_is_expanded_within_limits():
    assert unwrap(compressed(b"abc"), "gzip", LIMIT, 200) == (b"abc", 0)
    with pytest.raises(TooLarge):
        unwrap(compressed(bytes(100)), "gzip", 99, 200)
    with pytest.raises(TooLarge):
        unwrap(compressed(bytes(32 << 20)), "gzip", 1 << 30, 200)


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"", ""),
        (b"\0\0\0\0", ""),
        (frame(b"abc")[:-1], ""),
        (frame(b"abc") + b"x", ""),
        (frame(b"abc") * 2, ""),
        (compressed(b"abc"), ""),
        (compressed(b"abc", flag=2), "gzip"),
        (b"\1" + frame(b"abc")[1:], "gzip"),
    ],
)
def test_anything_but_one_whole_message_is_invalid(body, coding):
    with pytest.raises(InvalidInput):
        unwrap(body, coding, LIMIT, 200)


def test_size_from_the_first_bytes():
    assert message_size(b"\0\0\0\1") is None
    assert message_size(b"\0\0\0\1\0") == 261
    assert message_size(memoryview(frame(b"abc"))) == 8


@given(st.lists(st.binary(max_size=20), max_size=5), st.lists(st.integers(1, 9), min_size=1))
def test_a_stream_cut_anywhere_gives_the_same_messages(messages, cuts):
    stream = b"".join(map(frame, messages))
    reader, found, at = FrameReader("", 100, 200), [], 0
    while at < len(stream):
        step = cuts[at % len(cuts)]
        found += reader.feed(stream[at : at + step])
        at += step
    assert found == messages
    assert reader.is_empty


def test_a_stream_is_limited_and_may_be_compressed():
    reader = FrameReader("gzip", 100, 200)
    assert list(reader.feed(compressed(b"abc"))) == [b"abc"]
    with pytest.raises(TooLarge):
        list(reader.feed(PREFIX.pack(0, 101)))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1H", 3600),
        (b"2M", 120),
        (b"3S", 3),
        (b"4m", 0.004),
        (b"5u", 5e-6),
        (b"6n", 6e-9),
        (b"0S", 0),
        (b"99999999H", 99999999 * 3600),
    ],
)
def test_timeouts(value, seconds):
    assert parse_timeout(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", [b"", b"S", b"1", b"1x", b"-1S", b"1.5S", b"123456789S", b" 1S", b"1SS", b"\xb2S"]
)
def test_wrong_timeouts(value):
    with pytest.raises(InvalidInput):
        parse_timeout(value)
