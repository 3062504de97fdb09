"""FP16 and BF16 as JSON numbers.

numpy has no bfloat16, and struct none either: a number becomes FP32, and that its upper half, each
rounded to the nearest, ties to even. What would round to infinity is out of range.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from gateway.core.dtypes import DType
from gateway.core.tensor import Buffer

HALVES = frozenset({DType.FP16, DType.BF16})

_INFINITY = 0x7F80
_NAN = 0x7FC0


def pack_halves(dtype: DType, values: Sequence[object]) -> bytes:
    """Bytes of numbers; raises struct.error or OverflowError where one is none, or out of range."""
    if dtype is DType.FP16:
        return struct.pack(f"<{len(values)}e", *values)
    bits = np.frombuffer(struct.pack(f"<{len(values)}f", *values), "<u4").astype("<u8")
    size = bits & 0x7FFFFFFF
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    if np.any((size < _INFINITY << 16) & ((rounded & 0x7FFF) == _INFINITY)):
        raise OverflowError("a number is too large for BF16")
    return np.where(size > _INFINITY << 16, _NAN, rounded).astype("<u2").tobytes()


def unpack_halves(dtype: DType, data: Buffer) -> list[float]:
    """The numbers of `data`."""
    if dtype is DType.FP16:
        return [float(value) for value in np.frombuffer(data, "<f2").tolist()]
    return [float(value) for value in (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").tolist()]
