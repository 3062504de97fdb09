"""Where ONNX Runtime finds a batch's inputs: in the host's memory, or on a GPU in memory that stays there."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from gateway.core.dtypes import NUMPY, DType
from gateway.runtimes.contract import Array
from gateway.runtimes.gpus import STICKY
from gateway.runtimes.onnx_signature import ELEMENT_TYPES, FileTensor

# Binds a batch's inputs, tensors and arrays in the same order; the arrays stay until the run is over.
BindInputs = Callable[[Any, Sequence[FileTensor], Sequence[Array]], None]
_FAILURE = re.compile(r"CUDA failure ([0-9]+)")


def bind_from_host(binding: Any, tensors: Sequence[FileTensor], arrays: Sequence[Array]) -> None:
    """Binds inputs where they are."""
    for tensor, array in zip(tensors, arrays, strict=True):
        _bind_from_host(binding, tensor, array)


def _bind_from_host(binding: Any, tensor: FileTensor, array: Array) -> None:
    kind = ELEMENT_TYPES[tensor.dtype]
    binding.bind_input(tensor.name, "cpu", 0, kind, array.shape, array.ctypes.data)


class DeviceInputs:
    """Inputs on a device; `make` is the engine's OrtValue.ortvalue_from_shape_and_type.

    Each input keeps the memory of its last shape: batches of one kind come one after the other.
    """

    def __init__(self, make: Callable[..., Any], device: str, number: int) -> None:
        self._make = make
        self._device = device
        self._number = number
        self._values: dict[str, tuple[tuple[int, ...], Any]] = {}

    def bind(self, binding: Any, tensors: Sequence[FileTensor], arrays: Sequence[Array]) -> None:
        """Copies inputs to the device and binds them there."""
        for tensor, array in zip(tensors, arrays, strict=True):
            if tensor.dtype is DType.BF16 or not array.size:  # numpy has no BF16 to copy from
                _bind_from_host(binding, tensor, array)
                continue
            value = self._value(tensor, array.shape)
            value.update_inplace(array)
            binding.bind_ortvalue_input(tensor.name, value)

    def _value(self, tensor: FileTensor, shape: tuple[int, ...]) -> Any:
        known = self._values.get(tensor.name)
        if known is not None and known[0] == shape:
            return known[1]
        self._values.pop(tensor.name, None)  # before the next is made: both may not fit
        value = self._make(shape, NUMPY[tensor.dtype], self._device, self._number)
        self._values[tensor.name] = shape, value
        return value


def is_fatal(text: str) -> bool:
    """True for an error of the engine after which nothing runs in this process any more."""
    found = _FAILURE.search(text)
    return found is not None and int(found[1]) in STICKY
