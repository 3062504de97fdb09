from __future__ import annotations

from itertools import pairwise

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.http1.chunked import ChunkDecoder, ChunkLimits
from gateway.wire.http1.head import Refused

LIMITS = ChunkLimits(max_bytes=10_000, max_chunks=50, max_trailer_bytes=200, max_trailers=4)


class Result:
    def __init__(self, *pieces: bytes) -> None:
        self.data: list[bytes] = []
        self.decoder = ChunkDecoder(self.data.append, LIMITS)
        self.rest = b""
        for piece in pieces:
            if self.decoder.is_complete:
                self.rest += piece
            else:
                self.rest += piece[self.decoder.feed(piece) :]

    @property
    def body(self) -> bytes:
        return b"".join(self.data)


def encode(chunks: list[bytes], extension: bytes = b"", trailers: bytes = b"") -> bytes:
    parts = [b"%X%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks]
    return b"".join(parts) + b"0\r\n" + trailers + b"\r\n"


def test_data_and_what_follows() -> None:
    result = Result(encode([b"hello ", b"world"]) + b"GET")
    assert result.decoder.is_complete
    assert (result.body, result.rest) == (b"hello world", b"GET")
    assert result.decoder.total == 11


def test_starts_where_it_is_told() -> None:
    raw = b"head" + encode([b"x"]) + b"tail"
    taken: list[bytes] = []
    assert ChunkDecoder(taken.append, LIMITS).feed(raw, 4) == len(raw) - 4
    assert taken == [b"x"]


@pytest.mark.parametrize(
    "raw",
    [
        encode([b"a"], extension=b';name=value;q="x y"'),
        encode([b"a"], extension=b";a;b=c"),
        encode([b"a"], trailers=b"X: 1\r\nY:2\r\n"),
        b"0001\r\na\r\n000\r\n\r\n",
    ],
)
def test_odd_but_right(raw: bytes) -> None:
    for cut in range(len(raw) + 1):
        result = Result(*filter(None, (raw[:cut], raw[cut:])))
        assert result.decoder.is_complete
        assert result.body == b"a"
        assert result.rest == b""


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        (400, b"\r\n"),
        (400, b"x\r\n"),
        (400, b"-1\r\n"),
        (400, b"+1\r\n"),
        (400, b"0x1\r\na\r\n"),
        (400, b" 1\r\na\r\n"),
        (400, b"1 \r\na\r\n"),
        (400, b"1\na\n"),
        (400, b"1\ra"),
        (400, b"1;\x00\r\n"),
        (400, b"1;\r\na\r\n"),
        (400, b"1; a\r\na\r\n"),
        (400, b"1;a:b\r\na\r\n"),
        (400, b'1;a="b\r\na\r\n'),
        (400, b"1;a\nb\r\n"),
        (400, b"1\r\nab\r\n"),
        (400, b"1\r\na\n"),
        (400, b"1\r\na\rX"),
        (400, b"123456789\r\n"),
        (413, b"FFFFFFFF\r\n"),
        (413, b"2710\r\n" + b"a" * 10_000 + b"\r\n1\r\n"),
        (413, b"1\r\na\r\n" * 51),
        (431, b"1;" + b"e" * 2000),
        (400, b"0\r\nbad trailer\r\n\r\n"),
        (400, b"0\r\nA : b\r\n\r\n"),
        (400, b"0\r\nA: b\nC: d\r\n\r\n"),
        (400, b"0\r\n folded\r\n\r\n"),
        (431, b"0\r\n" + b"A: b\r\n" * 5),
        (431, b"0\r\nA: " + b"b" * 300),
    ],
)
def test_refused(status: int, raw: bytes) -> None:
    with pytest.raises(Refused) as whole:
        Result(raw)
    with pytest.raises(Refused) as in_bytes:
        Result(*(raw[at : at + 1] for at in range(len(raw))))
    assert whole.value.status == in_bytes.value.status == status


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_every_cut_gives_the_same(chunks: list[bytes], data: st.DataObject) -> None:
    raw = encode(chunks, trailers=b"A: b\r\n") + b"NEXT"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    edges = [0, *cuts, len(raw)]
    result = Result(*(raw[a:b] for a, b in pairwise(edges) if a != b))
    assert result.decoder.is_complete
    assert (result.body, result.rest) == (b"".join(chunks), b"NEXT")


class Reference:
    """What llhttp makes of the same body."""

    def __init__(self, raw: bytes) -> None:
        self.body = b""
        self.is_complete = False
        self.is_refused = False
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            parser.feed_data(raw)
        except httptools.HttpParserError:
            self.is_refused = True

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.is_complete = True


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.sampled_from([
            b"\r\n",
            b"\r",
            b"\n",
            b"0",
            b"1",
            b"3",
            b"a",
            b";",
            b" ",
            b"x: y",
            b":",
            b"0\r\n\r\n",
            b"1\r\na\r\n",
        ]),
        max_size=12,
    )
)
def test_accepts_nothing_that_llhttp_refuses(parts: list[bytes]) -> None:
    raw = b"".join(parts)
    try:
        result = Result(raw)
    except Refused:
        return
    if result.decoder.is_complete:
        used = raw[: len(raw) - len(result.rest)]
        reference = Reference(used)
        assert not reference.is_refused
        assert reference.is_complete
        assert reference.body == result.body
