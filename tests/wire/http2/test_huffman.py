from __future__ import annotations

import pytest
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.http2 import huffman


def test_the_code_is_that_of_the_rfc() -> None:
    expected = dict(enumerate(zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True)))
    assert huffman.codes() == expected


@given(st.binary(max_size=200))
def test_what_is_encoded_decodes(data: bytes) -> None:
    assert huffman.decode(huffman.encode(data)) == data


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        ("f1e3c2e5f23a6ba0ab90f4ff", b"www.example.com"),
        ("a8eb10649cbf", b"no-cache"),
        ("25a849e95ba97d7f", b"custom-key"),
        ("25a849e95bb8e8b4bf", b"custom-value"),
        ("", b""),
    ],
)
def test_vectors_of_rfc_7541(encoded: str, text: bytes) -> None:
    assert huffman.decode(bytes.fromhex(encoded)) == text
    assert huffman.encode(text).hex() == encoded


@pytest.mark.parametrize(
    "encoded",
    [
        "ff",  # eight bits of padding and nothing else
        "f1e3c2e5f23a6ba0ab90f4ffff",  # a byte of padding too many
        "1e",  # "a" padded with 110, not 111
        "fffffffc",  # EOS
        "3fffffffff",  # a symbol, then EOS
        "fffffffff0",
    ],
)
def test_bad_endings_are_refused(encoded: str) -> None:
    with pytest.raises(huffman.HuffmanError):
        huffman.decode(bytes.fromhex(encoded))


@given(st.binary(max_size=64))
def test_only_canonical_strings_are_taken(data: bytes) -> None:
    try:
        text = huffman.decode(data)
    except huffman.HuffmanError:
        return
    assert huffman.encode(text) == data
