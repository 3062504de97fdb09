"""Tensors between numpy and the bytes of the protocol; what comes from an upstream is hostile. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gateway.core.dtypes import BY_NAME, NUMPY, DType
from gateway.core.errors import InvalidInput
from gateway.core.tensor import (
    Buffer,
    check_size,
    element_count,
    iterate_bytes_elements,
    serialise_bytes_elements,
)
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import Array
from gateway.runtimes.remote.faults import Fault, Kind

# As many as a model may have; an upstream may answer outputs that nobody asked for.
MAX_OUTPUTS = 1024


class Sent(NamedTuple):
    """One batch to be sent: inputs and outputs in the model's order."""

    inputs: Sequence[tuple[TensorSpec, Array]]
    outputs: Sequence[TensorSpec]


def unsound(text: str) -> Fault:
    """An answer that is none."""
    return Fault(Kind.UNSOUND, text)


def to_bytes(array: Array, dtype: DType) -> bytes:
    """An array's raw bytes."""
    if dtype is DType.BYTES:
        return serialise_bytes_elements([bytes(one) for one in array.ravel().tolist()])
    return np.ascontiguousarray(array, NUMPY[dtype]).tobytes()


def shape_of(name: str, shape: object) -> tuple[int, ...]:
    """A shape of an answer; raises Fault."""
    if not isinstance(shape, list | tuple) or not all(type(dim) is int for dim in shape):
        raise unsound(f"output '{name}' has no proper shape")
    dims = tuple(shape)
    try:
        element_count(name, dims)
    except InvalidInput as error:
        raise unsound(error.text) from None
    return dims


def check_dtype(spec: TensorSpec, datatype: object) -> None:
    """Raises Fault unless an output's datatype is the promised one."""
    if not isinstance(datatype, str) or BY_NAME.get(datatype) is not spec.dtype:
        raise unsound(f"output '{spec.name}' is not {spec.dtype.name}")


def from_bytes(spec: TensorSpec, shape: tuple[int, ...], data: Buffer) -> Array:
    """An output from its raw bytes; raises Fault where these are not what shape and datatype take."""
    try:
        if spec.dtype is DType.BYTES:
            return _objects(spec.name, shape, data)
        check_size(spec.name, spec.dtype, shape, len(data))
    except InvalidInput as error:
        raise unsound(error.text) from None
    return np.frombuffer(data, NUMPY[spec.dtype]).reshape(shape)


def _objects(name: str, shape: tuple[int, ...], data: Buffer) -> Array:
    count = element_count(name, shape)
    if count > len(data) // 4:  # before anything is allocated for them
        raise unsound(f"output '{name}': {len(data)} bytes cannot hold {count} elements")
    elements = [bytes(element) for element in iterate_bytes_elements(name, data)]
    if len(elements) != count:
        raise unsound(f"output '{name}' has {len(elements)} elements for shape {list(shape)}")
    array: Array = np.empty(count, object)
    array[:] = elements
    return array.reshape(shape)


def in_order(found: Mapping[str, Array], wanted: Sequence[TensorSpec]) -> list[Array]:
    """The wanted outputs; raises Fault where one is missing."""
    for spec in wanted:
        if spec.name not in found:
            raise unsound(f"it lacks output '{spec.name}'")
    return [found[spec.name] for spec in wanted]
