from __future__ import annotations

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.http2.frames import ConnectionFault, ErrorCode
from gateway.wire.http2.hpack import Decoder
from gateway.wire.http2.static_table import FIRST_DYNAMIC, STATIC

# RFC 7541 C.3 and C.4: three requests on one connection, without and with Huffman coding.
REQUESTS = (
    [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")],
    [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"www.example.com"),
        (b"cache-control", b"no-cache"),
    ],
    [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", b"/index.html"),
        (b":authority", b"www.example.com"),
        (b"custom-key", b"custom-value"),
    ],
)
PLAIN = (
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
)
HUFFMAN = (
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
)


@pytest.mark.parametrize("blocks", [PLAIN, HUFFMAN])
def test_requests_of_rfc_7541(blocks: tuple[str, ...]) -> None:
    decoder = Decoder()
    for block, expected in zip(blocks, REQUESTS, strict=True):
        assert decoder.decode(bytes.fromhex(block)) == expected
    assert decoder.table[FIRST_DYNAMIC:] == [
        (b"custom-key", b"custom-value"),
        (b"cache-control", b"no-cache"),
        (b":authority", b"www.example.com"),
    ]


@pytest.mark.parametrize(
    ("block", "field", "is_kept"),
    [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", (b"custom-key", b"custom-header"), True),
        ("040c2f73616d706c652f70617468", (b":path", b"/sample/path"), False),
        ("100870617373776f726406736563726574", (b"password", b"secret"), False),
        ("82", (b":method", b"GET"), False),
    ],
)
def test_representations_of_rfc_7541(block: str, field: tuple[bytes, bytes], is_kept: bool) -> None:
    decoder = Decoder()
    assert decoder.decode(bytes.fromhex(block)) == [field]
    assert decoder.changed is is_kept
    assert decoder.table[FIRST_DYNAMIC:] == ([field] if is_kept else [])


def test_responses_of_rfc_7541_evict() -> None:
    """C.5: a table of 256 bytes."""
    decoder = Decoder(256)
    for block in (
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
        "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        "4803333037c1c0bf",
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f"
        "3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076"
        "657273696f6e3d31",
    ):
        fields = decoder.decode(bytes.fromhex(block))
    assert fields[0] == (b":status", b"200")
    assert [name for name, _ in decoder.table[FIRST_DYNAMIC:]] == [
        b"set-cookie",
        b"content-encoding",
        b"date",
    ]


@pytest.mark.parametrize(
    "block",
    [
        "80",  # index 0
        "be",  # an index of the empty dynamic table
        "ffffffffffff7f",  # an integer without end
        "ff80808080808000",
        "ff",  # cut within an integer
        "40",  # cut before a name
        "400a6162",  # within a name
        "400161",  # before a value
        "4001610561",  # within a value
        "7e0161",  # a name's index out of range
        "3fe2ff03",  # a table size above the limit
        "8220",  # a table size update after a field
        "00816101ff",  # a name in bad Huffman form
        "040001",
        "0481ff",  # a value of padding only
    ],
)
def test_bad_blocks_are_compression_errors(block: str) -> None:
    with pytest.raises(ConnectionFault) as caught:
        Decoder().decode(bytes.fromhex(block))
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


def test_a_table_size_update_evicts() -> None:
    decoder = Decoder()
    decoder.decode(bytes.fromhex(PLAIN[0]))
    decoder.changed = False
    assert decoder.decode(b"\x20\x3f\xe1\x1f\x82") == [(b":method", b"GET")]
    assert decoder.changed
    assert len(decoder.table) == FIRST_DYNAMIC


def test_an_entry_larger_than_the_table_empties_it() -> None:
    decoder = Decoder(64)
    decoder.decode(b"\x40\x01a\x01b")
    assert decoder.decode(b"\x40\x01a\x7f\x01" + b"b" * 128) == [(b"a", b"b" * 128)]
    assert len(decoder.table) == FIRST_DYNAMIC


def test_a_bomb_shares_its_entries() -> None:
    decoder = Decoder()
    decoder.decode(b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4000)
    fields = decoder.decode(b"\xbe" * 65_536)
    assert len(fields) == 65_536
    assert len({id(field) for field in fields}) == 1


def test_a_long_name_is_read() -> None:
    name = b"n" * 300
    assert Decoder().decode(b"\x00\x7f\xad\x01" + name + b"\x01v") == [(name, b"v")]


NAMES = st.sampled_from([name for name, _ in STATIC] + [b"grpc-timeout", b"traceparent", b"x" * 40])
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=150)), max_size=12)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(FIELDS, st.booleans(), st.integers(0, 5000)), max_size=12))
def test_follows_another_encoder(blocks: list[tuple[list[tuple[bytes, bytes]], bool, int]]) -> None:
    """hyper's encoder indexes and evicts by its own rules; every block must come out as it went in."""
    encoder, decoder = hpack.Encoder(), Decoder()
    for fields, huffman, size in blocks:
        if size <= 4096:
            encoder.header_table_size = size
        assert decoder.decode(encoder.encode(fields, huffman=huffman)) == fields


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4))
def test_never_fails_otherwise_and_agrees_with_another_decoder(blocks: list[bytes]) -> None:
    oracle, decoder = hpack.Decoder(max_header_list_size=1 << 24), Decoder()
    for block in blocks:
        try:
            fields = decoder.decode(block)
        except ConnectionFault:
            return
        expected = oracle.decode(block, raw=True)
        assert fields == [(bytes(name), bytes(value)) for name, value in expected]
