"""Header blocks out: answers in static-table indices and plain literals, hence constant bytes.

DESIGN: an encoder with a dynamic table would save some 20 bytes an answer and make every block depend
on all before it. Without one, a status and its headers are the same bytes on every connection for
ever, and an answer's block costs one look-up (0.3 us). Frontends keep their header tuples constant.
"""

from __future__ import annotations

import re

from gateway.wire.exchange import Headers
from gateway.wire.http2.frames import END_HEADERS, END_STREAM, HEADERS, WORD
from gateway.wire.http2.heads import CONNECTION_SPECIFIC
from gateway.wire.http2.static_table import INDEX_OF_FIELD, INDEX_OF_NAME

_MAX_CACHED = 1024
# Longer blocks, or those of one answer only, must not fill memory or push out the constant ones.
_MAX_CACHED_BYTES = 2048

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_FORBIDDEN = re.compile(rb"[\r\n\0]")

# How a frame begins that ends the header block: 3 bytes of length, type and flags; the id follows.
Block = tuple[bytes, bytes]

known_heads: dict[tuple[int, Headers], Block] = {}
known_tails: dict[Headers, Block] = {}


def _integer(value: int, prefix_bits: int, pattern: int) -> bytes:
    full = (1 << prefix_bits) - 1
    if value < full:
        return bytes((pattern | value,))
    octets = bytearray((pattern | full,))
    value -= full
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _string(text: bytes) -> bytes:
    return _integer(len(text), 7, 0) + text


def _field(name: bytes, value: bytes) -> bytes:
    name = name.lower()
    if name != b":status" and not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a response header")
    if _FORBIDDEN.search(value):
        raise ValueError(f"CR, LF or NUL in the value of {name!r}")
    index = INDEX_OF_FIELD.get((name, value))
    if index is not None:
        return _integer(index, 7, 0x80)
    known = INDEX_OF_NAME.get(name, 0)
    return _integer(known, 4, 0) + (b"" if known else _string(name)) + _string(value)


def encode(fields: Headers) -> bytes:
    """The block of `fields`; raises ValueError for a name or value that HTTP forbids.

    Fields that only HTTP/1 knows are left out (RFC 9113 §8.2.2), so that answers need not know.
    """
    return b"".join([_field(name, value) for name, value in fields if name not in CONNECTION_SPECIFIC])


def content_length(size: int) -> bytes:
    """The block of a content-length field, to be put behind another."""
    return _field(b"content-length", b"%d" % size)


def _start(block: bytes, flags: int) -> bytes:
    return WORD.pack(len(block) << 8 | HEADERS) + bytes((flags,))


def head(status: int, headers: Headers) -> Block:
    """How a HEADERS frame that opens an answer begins, and its block."""
    found = known_heads.get((status, headers))
    if found is None:
        block = encode(((b":status", b"%d" % status), *headers))
        found = (_start(block, END_HEADERS), block)
        if len(block) <= _MAX_CACHED_BYTES:
            if len(known_heads) >= _MAX_CACHED:
                known_heads.clear()
            known_heads[status, headers] = found
    return found


def tail(trailers: Headers) -> Block:
    """How the HEADERS frame that ends an answer begins, and its block."""
    found = known_tails.get(trailers)
    if found is None:
        block = encode(trailers)
        found = (_start(block, END_HEADERS | END_STREAM), block)
        if len(block) <= _MAX_CACHED_BYTES:
            if len(known_tails) >= _MAX_CACHED:
                known_tails.clear()
            known_tails[trailers] = found
    return found
