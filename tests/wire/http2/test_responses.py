from __future__ import annotations

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.http2 import responses

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=40).map(str.encode)
# Any octet but those that end a line or a string.
VALUES = st.text(st.characters(max_codepoint=255, exclude_characters="\0\r\n"), max_size=300).map(
    lambda text: text.encode("latin-1")
)


@settings(max_examples=200, deadline=None)
@given(st.integers(100, 599), st.lists(st.tuples(NAMES, VALUES), max_size=10))
def test_another_decoder_reads_it(status: int, fields: list[tuple[bytes, bytes]]) -> None:
    start, block = responses.head(status, tuple(fields))
    decoded = hpack.Decoder(max_header_list_size=1 << 20).decode(block, raw=True)
    assert [tuple(field) for field in decoded] == [(b":status", b"%d" % status), *fields]
    assert start == (len(block) << 8 | 1).to_bytes(4, "big") + b"\x04"


def test_blocks_are_constant_and_shared() -> None:
    headers = ((b"content-type", b"application/grpc"),)
    again = responses.head(200, ((b"content-type", b"application/grpc"),))
    assert all(ours is theirs for ours, theirs in zip(responses.head(200, headers), again, strict=True))
    assert responses.head(200, headers)[1][:1] == b"\x88"
    assert responses.tail(((b"grpc-status", b"0"),))[1] is responses.tail(((b"grpc-status", b"0"),))[1]
    assert responses.tail(((b"grpc-status", b"0"),))[0][4] == 5


def test_caches_are_bounded() -> None:
    for number in range(3000):
        responses.head(200, ((b"x", b"%d" % number),))
        responses.tail(((b"x", b"%d" % number),))
    assert len(responses.known_heads) <= 1024
    assert len(responses.known_tails) <= 1024
    responses.head(200, ((b"x", b"y" * 5000),))
    assert all(len(block) <= 2048 for _, block in responses.known_heads.values())


@pytest.mark.parametrize(
    "field", [(b"a", b"b\r\nc: d"), (b"a", b"\0"), (b"a b", b""), (b"", b""), (b":x", b"")]
)
def test_what_http_forbids_is_refused(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match=r"header|CR, LF or NUL"):
        responses.encode((field,))
