"""gzip and deflate (zlib format) of whole bodies, both ways, and no bombs."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from types import MappingProxyType

from gateway.core.errors import InvalidInput, TooLarge
from gateway.core.tensor import Buffer

# zlib's own codes: 16 and more is a gzip header, without it a zlib one.
_WBITS: Mapping[str, int] = MappingProxyType({"gzip": 31, "deflate": 15})
_LEVEL = 1  # the fastest: a tensor's bytes hardly shrink further however long one tries
# Up to here a body may grow by any factor: a plain one of this size would be taken too.
_FREE_BYTES = 4 << 20


def inflate(body: Buffer, coding: str, max_bytes: int, max_ratio: int) -> bytes:
    """`body` decompressed; raises TooLarge beyond either limit, InvalidInput where it is not whole."""
    limit = min(max_bytes, max(_FREE_BYTES, max_ratio * len(body)))
    engine = zlib.decompressobj(_WBITS[coding])
    try:
        data = engine.decompress(body, limit + 1)
    except zlib.error:
        raise InvalidInput(f"the body is not valid {coding} data") from None
    if len(data) > limit:
        raise TooLarge(f"the decompressed body is larger than {limit} bytes")
    if not engine.eof or engine.unused_data:
        raise InvalidInput(f"the body is not exactly one whole {coding} stream")
    return data


def deflate(parts: Buffer | tuple[Buffer, ...], coding: str) -> bytes:
    """`parts`, one after the other, compressed."""
    engine = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WBITS[coding])
    pieces = [engine.compress(part) for part in (parts if isinstance(parts, tuple) else (parts,))]
    return b"".join((*pieces, engine.flush()))
