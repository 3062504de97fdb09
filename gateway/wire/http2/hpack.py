"""Header blocks in: the decoder of HPACK (RFC 7541). Blocks out are in `responses`, without state.

DESIGN: static and dynamic table are one list, newest dynamic entry at 62, so that an indexed field is
one indexing; an insertion moves at most 128 pointers (4096 / 32), 40 ns. Fields are checked by `heads`,
not here: a field that no request may have is one request's fault, but the table must follow it.
"""

from __future__ import annotations

from typing import Any

from gateway.wire.http2 import huffman
from gateway.wire.http2.frames import DEFAULT_TABLE_BYTES, ConnectionFault, ErrorCode
from gateway.wire.http2.static_table import FIRST_DYNAMIC, STATIC, Field

# RFC 7541 §4.1: what an entry counts beyond its octets.
ENTRY_OVERHEAD = 32
# Five octets after the prefix hold any length or index that could be meant.
_MAX_SHIFT = 28

# Literal names in Huffman form repeat for ever (traceparent, grpc-timeout): decoded once per process.
# Values are not remembered: they may be secret, and those that change would only push others out.
_names: dict[bytes, bytes] = {}
_MAX_NAMES = 1024
_MAX_NAME_BYTES = 64


def compression_error(text: str) -> ConnectionFault:
    return ConnectionFault(ErrorCode.COMPRESSION_ERROR, text)


def _integer(block: bytes, at: int, value: int) -> tuple[int, int]:
    """Goes on reading an integer whose prefix was full (`value`); returns it and where it ended."""
    shift = 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > _MAX_SHIFT:
            raise compression_error("an integer is too long")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """Reads a string of any form; one cut off is found by the caller, who sees an end past the block."""
    first = block[at]
    at += 1
    size = first & 0x7F
    if size == 0x7F:
        size, at = _integer(block, at, size)
    stop = at + size
    text = block[at:stop]
    if first < 0x80:
        return text, stop
    try:
        return huffman.decode(text), stop
    except huffman.HuffmanError as error:
        raise compression_error(str(error)) from None


def _huffman_name(block: bytes, at: int) -> tuple[bytes, int]:
    stop = at + 1 + (block[at] & 0x7F)
    raw = block[at:stop]
    name = _names.get(raw)
    if name is None:
        name, stop = _string(block, at)
        if len(raw) == stop - at <= _MAX_NAME_BYTES:
            if len(_names) >= _MAX_NAMES:
                _names.clear()
            _names[raw] = name
    return name, stop


class Decoder:
    """One connection's decoder.

    Invariant: `table[FIRST_DYNAMIC:]` counts `_bytes` <= `_capacity` <= `limit`.
    `changed` is set whenever the dynamic table changes; whoever remembers blocks clears it.
    """

    __slots__ = ("_bytes", "_capacity", "changed", "limit", "table")

    def __init__(self, limit: int = DEFAULT_TABLE_BYTES) -> None:
        # Any, not Field: compiled, a typed tuple is taken apart and put together anew at each step, and a
        # field indexed ten thousand times would be ten thousand tuples.
        self.table: list[Any] = [(b"", b""), *STATIC]
        self.limit = limit  # of the capacity a peer may choose, bytes
        self.changed = False
        self._capacity = min(limit, DEFAULT_TABLE_BYTES)
        self._bytes = 0

    def decode(self, block: bytes) -> list[Field]:
        """The fields of a complete block, unchecked; raises ConnectionFault COMPRESSION_ERROR.

        Costs no more than a few hundred ns and 8 bytes for each octet of `block`, whatever it says:
        fields are shared with the table, never copied.
        """
        try:
            return self._decode(block)
        except IndexError:
            raise compression_error("an index is out of range, or a block ends within a field") from None

    # One function by measurement: the 11 fields of a gRPC call cost 1.7 us here, 0.15 each; a call of a
    # method alone is 0.1.
    def _decode(self, block: bytes) -> list[Field]:  # ruff: ignore[complex-structure, too-many-statements]
        table = self.table
        fields: list[Any] = []
        append = fields.append
        at, end = 0, len(block)
        while at < end:
            byte = block[at]
            at += 1
            if byte > 0x80:
                if byte != 0xFF:
                    append(table[byte - 0x80])
                else:
                    index, at = _integer(block, at, 0x7F)
                    append(table[index])
                continue
            if byte >= 0x40:
                mask = 0x3F
            elif byte < 0x20:
                mask = 0x0F
            else:
                at = self._resize(block, at - 1, is_first=not fields)
                continue
            index = byte & mask
            if index == mask:
                index, at = _integer(block, at, mask)
            if index:
                name = table[index][0]
            else:
                if byte == 0x80:
                    raise compression_error("index 0")
                size = block[at]
                if size < 0x7F:
                    name = block[at + 1 : (at := at + 1 + size)]
                else:
                    name, at = _huffman_name(block, at)
            size = block[at]
            if size < 0x7F:
                value = block[at + 1 : (at := at + 1 + size)]
            else:
                value, at = _string(block, at)
            append((name, value))
            if mask == 0x3F:
                self._insert(name, value)
        if at != end:
            raise compression_error("a block ends within a string")
        return fields

    def _insert(self, name: bytes, value: bytes) -> None:
        table = self.table
        self.changed = True
        self._bytes += len(name) + len(value) + ENTRY_OVERHEAD
        table.insert(FIRST_DYNAMIC, (name, value))
        if self._bytes > self._capacity:
            self._evict()

    def _evict(self) -> None:
        table = self.table
        while self._bytes > self._capacity:
            name, value = table.pop()
            self._bytes -= len(name) + len(value) + ENTRY_OVERHEAD

    def _resize(self, block: bytes, at: int, *, is_first: bool) -> int:
        """Follows a dynamic table size update at `at`; returns where it ended."""
        if not is_first:
            raise compression_error("a table size update within a block")
        size = block[at] & 0x1F
        at += 1
        if size == 0x1F:
            size, at = _integer(block, at, size)
        if size > self.limit:
            raise compression_error("a table size above the limit")
        self._capacity = size
        self.changed = True
        self._evict()
        return at
