"""The datatypes of the V2 protocol and their memory layout.

Source: the Open Inference Protocol, "Tensor Data Types", and Triton's binary tensor extension for
BYTES (each element a 4-byte little-endian length, then the bytes) and BF16 (2 bytes).
"""

from __future__ import annotations

import enum

import numpy as np


class DType(enum.IntEnum):
    """A V2 datatype; the member's value is its code on the data channel, so it never changes."""

    BOOL = 1
    UINT8 = 2
    UINT16 = 3
    UINT32 = 4
    UINT64 = 5
    INT8 = 6
    INT16 = 7
    INT32 = 8
    INT64 = 9
    FP16 = 10
    FP32 = 11
    FP64 = 12
    BYTES = 13
    BF16 = 14

    # Enum hashes its members' names in Python, 0.2 us each time; signatures are looked up per request.
    __hash__ = int.__hash__


BY_NAME: dict[str, DType] = {member.name: member for member in DType}

# Indexed by code; 0 where the size of an element varies (BYTES) or the code is unused.
ITEM_SIZE: tuple[int, ...] = (0, 1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8, 0, 2)

# numpy has no bfloat16: its bits travel as uint16, and only an engine gives them a meaning.
NUMPY: dict[DType, np.dtype[np.generic]] = {
    DType.BOOL: np.dtype("?"),
    DType.UINT8: np.dtype("u1"),
    DType.UINT16: np.dtype("<u2"),
    DType.UINT32: np.dtype("<u4"),
    DType.UINT64: np.dtype("<u8"),
    DType.INT8: np.dtype("i1"),
    DType.INT16: np.dtype("<i2"),
    DType.INT32: np.dtype("<i4"),
    DType.INT64: np.dtype("<i8"),
    DType.FP16: np.dtype("<f2"),
    DType.FP32: np.dtype("<f4"),
    DType.FP64: np.dtype("<f8"),
    DType.BF16: np.dtype("<u2"),
}
