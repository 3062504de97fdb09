"""Tensors and datatypes under the names that files for Triton's Python backend use."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.core.dtypes import BY_NAME, NUMPY, DType
from gateway.core.tensor import iterate_bytes_elements, serialise_bytes_elements

Array = np.ndarray[Any, np.dtype[Any]]

# Without BF16, which numpy does not have: its bits travel as uint16.
_NUMPY_TYPES: dict[DType, type[Any]] = {
    DType.BYTES: np.object_,
    **{dtype: numpy.type for dtype, numpy in NUMPY.items() if dtype is not DType.BF16},
}
_NUMBERS: dict[type[Any], int] = {numpy: int(dtype) for dtype, numpy in _NUMPY_TYPES.items()}
# By this name files look datatypes up. Theirs has Python's bool where all else is numpy's.
TRITON_STRING_TO_NUMPY: dict[str, type[Any]] = {
    "TYPE_STRING" if dtype is DType.BYTES else f"TYPE_{dtype.name}": bool if dtype is DType.BOOL else numpy
    for dtype, numpy in sorted(_NUMPY_TYPES.items())
}
_CPU = (1, 0)


def config_name(dtype: DType) -> str:
    """The datatype as config.pbtxt writes it."""
    return "TYPE_STRING" if dtype is DType.BYTES else f"TYPE_{dtype.name}"


def parse_config_name(text: object) -> DType | None:
    """The datatype that config.pbtxt writes so; None for anything else."""
    if not isinstance(text, str) or not text.startswith("TYPE_") or text == "TYPE_BYTES":
        return None
    return BY_NAME.get("BYTES" if text == "TYPE_STRING" else text.removeprefix("TYPE_"))


def triton_string_to_numpy(triton_type_string: str) -> type[Any]:
    """The numpy type of "TYPE_FP32" and the like; KeyError where there is none."""
    return TRITON_STRING_TO_NUMPY[triton_type_string]


def numpy_to_triton_type(data_type: Any) -> int | None:
    """The number of a numpy type's datatype in config.pbtxt, or None."""
    return _NUMBERS.get(np.dtype(data_type).type)


def triton_to_numpy_type(data_type: int) -> type[Any] | None:
    """The numpy type of a datatype's number in config.pbtxt, or None."""
    return next((numpy for numpy, number in _NUMBERS.items() if number == data_type), None)


def serialize_byte_tensor(input_tensor: Array) -> bytes:
    """The elements of a BYTES array as they travel: each one's length, then the element."""
    return serialise_bytes_elements([_element(one) for one in input_tensor.ravel().tolist()])


def _element(one: Any) -> bytes:
    return one if isinstance(one, bytes) else str(one).encode()


def deserialize_bytes_tensor(encoded_tensor: bytes) -> Array:
    """A flat object array of bytes from elements as they travel."""
    elements = [bytes(one) for one in iterate_bytes_elements("", encoded_tensor)]
    array: Array = np.empty(len(elements), object)
    array[:] = elements
    return array


class Tensor:
    """A named numpy array; BYTES are object arrays."""

    def __init__(self, name: str, numpy_array: Array) -> None:
        if not isinstance(numpy_array, np.ndarray):
            raise TypeError(f"tensor '{name}' is made from a numpy array, not {type(numpy_array).__name__}")
        self._name = str(name)
        self._array = numpy_array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Array:
        return self._array

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def triton_dtype(self) -> int | None:
        return numpy_to_triton_type(self._array.dtype)

    def is_cpu(self) -> bool:
        return True

    def to_dlpack(self) -> Any:
        """A DLPack capsule over the same memory."""
        return self._array.__dlpack__()

    @staticmethod
    def from_dlpack(name: str, source: Any) -> Tensor:
        """A tensor over the memory of a DLPack capsule or of an object that makes one, both on the CPU."""
        return Tensor(name, np.from_dlpack(source if hasattr(source, "__dlpack__") else _Capsule(source)))

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


class _Capsule:
    """Gives a bare capsule the methods through which numpy takes one."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CPU
