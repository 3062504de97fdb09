"""A tensor as it travels: a name, a datatype, a shape, and its bytes; nothing is copied to make one."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from math import prod
from typing import Final

from mypy_extensions import mypyc_attr

from gateway.core.dtypes import ITEM_SIZE, DType
from gateway.core.errors import InvalidInput
from gateway.core.value import Value

Buffer = bytes | bytearray | memoryview

MAX_RANK = 32
# numpy and the engines index with signed 64-bit integers.
MAX_BYTES = (1 << 63) - 1

_LENGTH = struct.Struct("<I")


@mypyc_attr(free_list_len=1)
class Tensor(Value):
    """One tensor of a request or a response; row-major, little-endian, no padding.

    Invariant: `len(data) == prod(shape) * ITEM_SIZE[dtype]`, and for BYTES `data` holds exactly
    `prod(shape)` elements of a 4-byte length and that many bytes. Whoever builds one from foreign
    bytes calls `check_size` or `count_bytes_elements`.
    """

    __slots__ = ("data", "dtype", "name", "shape")

    def __init__(self, name: str, dtype: DType, shape: tuple[int, ...], data: Buffer) -> None:
        self.name: Final = name
        self.dtype: Final = dtype
        self.shape: Final = shape
        self.data: Final = data

    def values(self) -> tuple[object, ...]:
        return self.name, self.dtype, self.shape, self.data


def element_count(name: str, shape: Iterable[int]) -> int:
    """Number of elements of `shape`; raises InvalidInput for a negative or overflowing one."""
    dims = tuple(shape)
    if len(dims) > MAX_RANK:
        raise InvalidInput(f"tensor '{name}' has rank {len(dims)}, the most is {MAX_RANK}")
    if any(dim < 0 for dim in dims):
        raise InvalidInput(f"tensor '{name}' has a negative dimension in shape {list(dims)}")
    # Zero anywhere makes the product harmless, but each partial product must still be refused:
    # [2**40, 2**40, 0] is a lie about 2**80 elements to whoever drops the last axis.
    if prod(dim for dim in dims if dim) > MAX_BYTES // 8:
        raise InvalidInput(f"tensor '{name}' has too many elements in shape {list(dims)}")
    return prod(dims)


def check_size(name: str, dtype: DType, shape: tuple[int, ...], size_bytes: int) -> None:
    """Raises InvalidInput unless `size_bytes` is what a fixed-size `dtype` of `shape` takes."""
    expected = element_count(name, shape) * ITEM_SIZE[dtype]
    if expected != size_bytes:
        raise InvalidInput(
            f"unexpected size for tensor '{name}': expecting {expected} bytes for "
            f"{dtype.name} {list(shape)}, got {size_bytes}"
        )


def iterate_bytes_elements(name: str, data: Buffer) -> Iterator[memoryview]:
    """Yields the elements of serialised BYTES; raises InvalidInput where a length runs over the end."""
    view = memoryview(data)
    at, end = 0, len(view)
    while at < end:
        if end - at < 4:
            raise InvalidInput(f"tensor '{name}': {end - at} stray bytes after the last element")
        start = at + 4
        at = start + _LENGTH.unpack_from(view, at)[0]
        if at > end:
            raise InvalidInput(f"tensor '{name}': an element's length runs past the data")
        yield view[start:at]


def count_bytes_elements(name: str, data: Buffer, expected: int) -> None:
    """Raises InvalidInput unless `data` holds exactly `expected` well-formed BYTES elements."""
    found = 0
    for _ in iterate_bytes_elements(name, data):
        found += 1
        if found > expected:
            break
    if found != expected:
        raise InvalidInput(
            f"tensor '{name}': expecting {expected} BYTES elements, got "
            f"{'more' if found > expected else found}"
        )


def serialise_bytes_elements(elements: Iterable[bytes]) -> bytes:
    """The V2 layout of BYTES: each element's 4-byte little-endian length, then the element."""
    pack = _LENGTH.pack
    return b"".join([part for element in elements for part in (pack(len(element)), element)])
