"""The binary tensor extension: where the JSON ends, and where in the rest each tensor lies."""

from __future__ import annotations

from typing import NamedTuple

from gateway.core.dtypes import DType
from gateway.core.errors import InvalidInput
from gateway.core.tensor import Buffer, Tensor, check_size, count_bytes_elements

# Triton's own bound: the header's value is a 32-bit integer there.
_MAX_LENGTH = (1 << 31) - 1
# Below it a copy is cheaper than the two objects of a view: 0.07 us against 0.25 us.
_COPY_BYTES = 1 << 12


class Slot(NamedTuple):
    """An input whose `size` bytes follow the JSON."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    elements: int
    size: int


def parse_header_length(text: bytes) -> int:
    """The value of Inference-Header-Content-Length; raises InvalidInput."""
    if not text.isdigit() or len(text) > 10 or int(text) > _MAX_LENGTH:
        shown = text[:40].decode("ascii", "replace")
        raise InvalidInput(f"Unable to parse Inference-Header-Content-Length, got: {shown}")
    return int(text)


def check_header_length(length: int, body_bytes: int) -> None:
    """Raises unless `length` bytes of JSON can be the beginning of the body."""
    if length > body_bytes:
        raise InvalidInput(f"inference header size should be in range (0, {body_bytes}), got: {length}")


def read_slot(name: str, dtype: DType, shape: tuple[int, ...], count: int, size: object) -> Slot:
    """The slot that an input's `binary_data_size` promises; raises InvalidInput."""
    if type(size) is not int or size < 0:
        raise InvalidInput(f"input '{name}': 'binary_data_size' must be an integer >= 0")
    if dtype is not DType.BYTES:
        check_size(name, dtype, shape, size)
    return Slot(name, dtype, shape, count, size)


def fill_slots(model: str, places: tuple[Tensor | Slot, ...], body: Buffer, at: int) -> tuple[Tensor, ...]:
    """The tensors of a request, those of slots taken from `body` from `at` on; raises InvalidInput."""
    tensors = []
    end = len(body)
    view = memoryview(body) if end - at >= _COPY_BYTES else None
    for place in places:
        if isinstance(place, Tensor):
            tensors.append(place)
            continue
        name, dtype, shape, count, size = place
        if size > end - at:
            raise InvalidInput(
                f"unexpected size for input '{name}', expecting {size - end + at} additional bytes "
                f"for model '{model}'"
            )
        data = bytes(body[at : at + size]) if view is None else view[at : at + size]
        at += size
        if dtype is DType.BYTES:
            count_bytes_elements(name, data, count)
        tensors.append(Tensor(name, dtype, shape, data))
    if at != end:
        raise InvalidInput(f"unexpected additional input data for model '{model}'")
    return tuple(tensors)
