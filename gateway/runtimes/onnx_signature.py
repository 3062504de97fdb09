"""What an ONNX file says of its tensors, against what the configuration says of them; all pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import LoadError

# ONNX element types as ONNX Runtime names them, and their numbers in ONNX's TensorProto.DataType.
_DTYPES: Mapping[str, DType] = {
    "tensor(bool)": DType.BOOL,
    "tensor(uint8)": DType.UINT8,
    "tensor(uint16)": DType.UINT16,
    "tensor(uint32)": DType.UINT32,
    "tensor(uint64)": DType.UINT64,
    "tensor(int8)": DType.INT8,
    "tensor(int16)": DType.INT16,
    "tensor(int32)": DType.INT32,
    "tensor(int64)": DType.INT64,
    "tensor(float16)": DType.FP16,
    "tensor(float)": DType.FP32,
    "tensor(double)": DType.FP64,
    "tensor(string)": DType.BYTES,
    "tensor(bfloat16)": DType.BF16,
}
_OPTIONAL = re.compile(r"optional\((.*)\)")
ELEMENT_TYPES: Mapping[DType, int] = {
    DType.FP32: 1,
    DType.UINT8: 2,
    DType.INT8: 3,
    DType.UINT16: 4,
    DType.INT16: 5,
    DType.INT32: 6,
    DType.INT64: 7,
    DType.BYTES: 8,
    DType.BOOL: 9,
    DType.FP16: 10,
    DType.FP64: 11,
    DType.UINT32: 12,
    DType.UINT64: 13,
    DType.BF16: 16,
}

Dim = int | str | None


class FileTensor(NamedTuple):
    """A tensor as the file has it; a dimension is a number, a symbol, or None.

    With `has_default` it is an input that the graph can do without.
    """

    name: str
    dtype: DType
    dims: tuple[Dim, ...]
    has_default: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """With -1 for every free dimension."""
        return tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in self.dims)


def file_tensor(kind: str, name: str, element_type: str, dims: Sequence[Dim]) -> FileTensor:
    """A tensor of the file; raises LoadError where it is no tensor, or of a type no protocol carries."""
    optional = _OPTIONAL.fullmatch(element_type) if kind == "input" else None
    dtype = _DTYPES.get(optional[1] if optional else element_type)
    if dtype is None:
        raise LoadError(f"{kind} '{name}' is a {element_type}, which cannot be served")
    return FileTensor(name, dtype, tuple(dims), has_default=optional is not None)


def complete(
    spec: ModelSpec,
    inputs: Sequence[FileTensor],
    outputs: Sequence[FileTensor],
    *,
    max_batch_known: bool,
    default_max_batch_size: int,
) -> ModelSpec:
    """`spec` with what it lacks filled in from the file; raises LoadError where the two contradict."""
    can_batch = all(tensor.shape[:1] == (-1,) for tensor in (*inputs, *outputs))
    size = spec.max_batch_size
    if not max_batch_known and not spec.inputs and not spec.outputs:
        size = default_max_batch_size if can_batch else 0
    if size > 0 and not can_batch:
        fixed = next(tensor for tensor in (*inputs, *outputs) if tensor.shape[:1] != (-1,))
        filling = "" if spec.inputs and spec.outputs else f"autofill failed for model '{spec.name}': "
        raise LoadError(
            f"{filling}model does not support batching while non-zero max_batch_size is specified: "
            f"'{fixed.name}' has shape {list(fixed.shape)}, whose first dimension is not free"
        )
    return msgspec.structs.replace(
        spec,
        max_batch_size=size,
        inputs=_checked("input", spec.inputs, inputs, size, must_be_all=True),
        outputs=_checked("output", spec.outputs, outputs, size, must_be_all=False),
    )


def _checked(
    kind: str, given: Sequence[TensorSpec], found: Sequence[FileTensor], size: int, *, must_be_all: bool
) -> tuple[TensorSpec, ...]:
    skip = 1 if size > 0 else 0
    if not given:
        return tuple(_described(tensor, skip) for tensor in found)
    by_name = {tensor.name: tensor for tensor in found}
    for spec in given:
        if spec.name not in by_name:
            raise LoadError(f"unexpected {kind} '{spec.name}': the model has {sorted(by_name)}")
        _check_one(kind, spec, by_name.pop(spec.name), skip)
    lacking = [name for name, tensor in by_name.items() if must_be_all and not tensor.has_default]
    if lacking:
        raise LoadError(f"the configuration lacks {kind} '{min(lacking)}', which the model needs")
    return tuple(given)


def _described(found: FileTensor, skip: int) -> TensorSpec:
    """As callers see it: what has no dimension left has one of one element."""
    shape = found.shape[skip:]
    return TensorSpec(found.name, found.dtype, shape or (1,), None if shape else (), found.has_default)


def _check_one(kind: str, given: TensorSpec, found: FileTensor, skip: int) -> None:
    if given.dtype is not found.dtype:
        raise LoadError(
            f"{kind} '{given.name}' is configured as {given.dtype.name}, the model has {found.dtype.name}"
        )
    if given.is_optional and not found.has_default:
        raise LoadError(f"{kind} '{given.name}' is configured as optional, the model has no default for it")
    shape = found.shape[skip:]
    word, told = ("dims", given.shape) if given.reshape is None else ("reshape", given.reshape)
    fits = len(told) == len(shape) and all(have in {-1, want} for want, have in zip(told, shape, strict=True))
    if not fits:
        raise LoadError(
            f"{kind} '{given.name}' is configured with {word} {list(told)}, the model has "
            f"{list(shape)}{' after the batch axis' if skip else ''}"
        )


def resolve(
    inputs: Sequence[FileTensor],
    shapes: Sequence[tuple[int, ...]],
    output: FileTensor,
    *,
    rows: int | None,
) -> tuple[int, ...] | None:
    """The shape `output` will have for inputs of `shapes`; None where the file does not tell.

    `rows` is the batch's size where the model batches: the first dimension, whatever its symbol.
    """
    known: dict[str, int] = {}
    for tensor, shape in zip(inputs, shapes, strict=True):
        for dim, size in zip(tensor.dims, shape, strict=True):
            if isinstance(dim, str):
                known[dim] = size
    sizes = [
        known.get(dim, -1) if isinstance(dim, str) else -1 if dim is None else dim for dim in output.dims
    ]
    if rows is not None:
        sizes[0] = rows
    return None if any(size < 0 for size in sizes) else tuple(sizes)
