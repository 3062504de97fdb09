"""A model's arrays as the tensors of a call, and back."""

from __future__ import annotations

import numpy as np

from gateway.core.dtypes import NUMPY, DType
from gateway.runtimes.contract import Array, BadInput
from gateway.workers.call_frames import Piece
from gateway.workers.execution import ModelMisbehaved, decode_bytes, encode_bytes
from gateway.workers.frames import ProtocolViolation, Region

# Without BF16, whose bits travel as uint16: an array of those is taken for UINT16.
_DTYPES = {numpy: dtype for dtype, numpy in NUMPY.items() if dtype is not DType.BF16}


def piece_of(name: str, array: Array) -> Piece:
    """An input as it travels, in the array's own memory where that will do; raises TypeError."""
    if not isinstance(name, str) or not isinstance(array, np.ndarray):
        raise TypeError(f"input '{name}' must be a numpy array by name, not {type(array).__name__}")
    if array.dtype.kind in "OSU":
        try:
            return Piece(DType.BYTES, array.shape, encode_bytes(array.astype(object)))
        except ModelMisbehaved:
            raise TypeError(f"input '{name}' has elements that are neither bytes nor str") from None
    dtype = _DTYPES.get(array.dtype.newbyteorder("<"))
    if dtype is None:
        raise TypeError(f"input '{name}' is an array of {array.dtype}, which no datatype stands for")
    flat = np.ascontiguousarray(array, NUMPY[dtype]).reshape(-1)
    return Piece(dtype, array.shape, flat.view(np.uint8).data if flat.size else b"")


def array_of(region: Region, view: memoryview) -> Array:
    """An answer's tensor, copied from `view`: the model may keep it, and change it."""
    if region.dtype is DType.BYTES:
        try:
            return decode_bytes(region.shape, view)
        except BadInput as error:
            raise ProtocolViolation(str(error)) from None
    return np.frombuffer(bytearray(view), NUMPY[region.dtype]).reshape(region.shape)
