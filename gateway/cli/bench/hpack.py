"""HPACK (RFC 7541) as a client encodes it; what it decodes with is the gateway's own decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import starmap

import msgspec

from gateway.wire.http2.static_table import STATIC, Field

TABLE_BYTES = 4096  # what both sides may use before any SETTINGS
_ENTRY_OVERHEAD = 32

_STATIC_NAMES = {name: index for index, (name, _) in reversed(list(enumerate(STATIC, 1)))}
_STATIC_FIELDS = {field: index for index, field in enumerate(STATIC, 1)}


def _entry_size(name: bytes, value: bytes) -> int:
    return len(name) + len(value) + _ENTRY_OVERHEAD


def encode_literal(name: bytes, value: bytes) -> bytes:
    """A field without indexing: means the same whatever the tables hold."""
    return _literal(name, value, 0x00, 4)


def encode_indexing(name: bytes, value: bytes) -> bytes:
    """A field that the other side puts into its dynamic table."""
    return _literal(name, value, 0x40, 6)


def _literal(name: bytes, value: bytes, flags: int, prefix: int) -> bytes:
    index = _STATIC_NAMES.get(name, 0)
    start = _encode_integer(index, prefix, flags)
    return start + (b"" if index else _encode_string(name)) + _encode_string(value)


def _encode_string(text: bytes) -> bytes:
    return _encode_integer(len(text), 7, 0) + text


def _encode_integer(value: int, prefix: int, flags: int) -> bytes:
    most = (1 << prefix) - 1
    if value < most:
        return bytes((flags | value,))
    out = bytearray((flags | most,))
    value -= most
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Blocks(msgspec.Struct, frozen=True):
    """One header list in the forms a connection needs: as literals, first with indexing, then indexed.

    `fits` says that the dynamic table holds all of it: nothing is evicted between teaching and using.
    """

    literal: bytes
    teaching: bytes
    indexed: bytes
    fits: bool


def make_blocks(fields: Sequence[Field]) -> Blocks:
    """Encodes `fields` once for all connections."""
    taught = [field for field in fields if field not in _STATIC_FIELDS]
    indexes = {field: len(STATIC) + len(taught) - place for place, field in enumerate(taught)}
    return Blocks(
        literal=_join(fields, encode_literal),
        teaching=_join(fields, encode_indexing),
        indexed=b"".join(
            _encode_integer(_STATIC_FIELDS.get(field) or indexes[field], 7, 0x80) for field in fields
        ),
        fits=sum(starmap(_entry_size, taught)) <= TABLE_BYTES,
    )


def _join(fields: Sequence[Field], encode: Callable[[bytes, bytes], bytes]) -> bytes:
    return b"".join(
        _encode_integer(_STATIC_FIELDS[field], 7, 0x80) if field in _STATIC_FIELDS else encode(*field)
        for field in fields
    )
