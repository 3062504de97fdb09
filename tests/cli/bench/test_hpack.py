from __future__ import annotations

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.bench.hpack import encode_indexing, encode_literal, make_blocks

TOKEN = st.binary(min_size=1, max_size=300)
FIELDS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([b":path", b"te", b"content-type", b"user-agent", b"x-long-name"]), TOKEN),
        st.sampled_from([(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/")]),
    ),
    max_size=8,
)


def _decode(decoder: hpack.Decoder, block: bytes) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]


@given(FIELDS)
@settings(max_examples=150, deadline=None)
def test_every_form_means_the_same_to_another_implementation(fields: list[tuple[bytes, bytes]]) -> None:
    blocks = make_blocks(fields)
    decoder = hpack.Decoder()
    assert _decode(decoder, blocks.literal) == fields
    assert blocks.fits
    assert _decode(decoder, blocks.teaching) == fields
    for _ in range(2):
        assert _decode(decoder, blocks.indexed) == fields
        assert _decode(decoder, blocks.literal) == fields  # literals leave the table alone
    assert len(blocks.indexed) <= 2 * len(fields)


def test_what_does_not_fit_the_table_is_told() -> None:
    assert not make_blocks([(b"x", bytes(4096))]).fits


@pytest.mark.parametrize("size", [0, 126, 127, 128, 255, 16_511])
def test_long_strings(size: int) -> None:
    field = (b"x-name", b"v" * size)
    for encode in (encode_literal, encode_indexing):
        assert _decode(hpack.Decoder(max_header_list_size=1 << 20), encode(*field)) == [field]
