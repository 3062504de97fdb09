"""What an upstream says of its model, against what the configuration says of ours. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from gateway.core.dtypes import BY_NAME, DType
from gateway.core.model import ModelSpec
from gateway.core.tensor import MAX_RANK
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import LoadError

_MAX_TENSORS = 512
_MAX_NAME = 1024
_MAX_DIM = 1 << 40
MAX_BATCH = 1 << 20


class RemoteTensor(NamedTuple):
    """A tensor as the upstream's metadata has it: with the batch axis, -1 for what is free."""

    name: str
    dtype: DType
    shape: tuple[int, ...]


class Described(NamedTuple):
    """An upstream's model. `max_batch_size` None: it does not tell (it has no such extension).

    Without inputs and outputs it tells nothing of its tensors: MLServer's and KServe's models need not.
    """

    inputs: tuple[RemoteTensor, ...]
    outputs: tuple[RemoteTensor, ...]
    max_batch_size: int | None = None
    is_decoupled: bool = False
    has_binary: bool = True


def remote_tensor(kind: str, name: object, datatype: object, shape: object) -> RemoteTensor:
    """A tensor from untrusted metadata; raises LoadError."""
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise LoadError(f"the upstream's metadata has an {kind} without a proper name")
    dtype = BY_NAME.get(datatype) if isinstance(datatype, str) else None
    if dtype is None:
        raise LoadError(f"the upstream's {kind} '{name}' has a datatype that the protocol does not know")
    dims = tuple(shape) if isinstance(shape, list | tuple) else None
    if dims is None or len(dims) > MAX_RANK - 1 or not all(type(dim) is int for dim in dims):
        raise LoadError(f"the upstream's {kind} '{name}' has no proper shape")
    if any(dim != -1 and not 0 < dim <= _MAX_DIM for dim in dims):
        raise LoadError(f"the upstream's {kind} '{name}' has shape {list(dims)}")
    return RemoteTensor(name, dtype, dims)


def check_tensors(kind: str, tensors: Sequence[RemoteTensor]) -> tuple[RemoteTensor, ...]:
    """`tensors`; raises LoadError where there are too many, or two of one name."""
    if len(tensors) > _MAX_TENSORS:
        raise LoadError(f"the upstream's metadata has {len(tensors)} {kind}s, the most is {_MAX_TENSORS}")
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise LoadError(f"the upstream's metadata has two {kind}s of one name")
    return tuple(tensors)


def complete(spec: ModelSpec, told: Described, *, max_batch_known: bool) -> ModelSpec:
    """`spec` with what it lacks from the upstream; raises LoadError where the two contradict."""
    if told.is_decoupled:
        raise LoadError(
            "the upstream's model is decoupled (model_transaction_policy.decoupled), which is not supported"
        )
    size = spec.max_batch_size if max_batch_known else told.max_batch_size or 0
    _check_batching(told, size)
    inputs = _checked("input", spec.inputs, told.inputs, size, must_be_all=True)
    outputs = _checked("output", spec.outputs, told.outputs, size, must_be_all=False)
    half = next((one.name for one in (*inputs, *outputs) if one.dtype is DType.BF16), "")
    if half and not told.has_binary:
        raise LoadError(f"'{half}' is BF16, which the upstream's JSON cannot carry")
    return msgspec.structs.replace(spec, max_batch_size=size, inputs=inputs, outputs=outputs)


def _check_batching(told: Described, size: int) -> None:
    if told.max_batch_size is not None and size > told.max_batch_size:
        raise LoadError(f"max_batch_size {size} is more than the upstream's, {told.max_batch_size}")
    if told.max_batch_size and not size:
        raise LoadError(
            f"max_batch_size 0, but the upstream's model has a batch axis (of at most {told.max_batch_size})"
        )
    if not size:
        return
    for tensor in (*told.inputs, *told.outputs):
        if tensor.shape[:1] != (-1,):
            raise LoadError(
                f"max_batch_size {size}, but the upstream's '{tensor.name}' has shape {list(tensor.shape)}, "
                "whose first dimension is not free"
            )


def _checked(
    kind: str, given: Sequence[TensorSpec], found: Sequence[RemoteTensor], size: int, *, must_be_all: bool
) -> tuple[TensorSpec, ...]:
    skip = 1 if size else 0
    if not found:
        if not given:
            raise LoadError(f"the upstream's metadata has no {kind}s: config.pbtxt must name them")
        return tuple(given)
    if not given:
        return tuple(_as_spec(tensor, skip) for tensor in found)
    by_name = {tensor.name: tensor for tensor in found}
    for spec in given:
        if spec.name not in by_name:
            raise LoadError(f"unexpected {kind} '{spec.name}': the upstream's model has {sorted(by_name)}")
        _check_one(kind, spec, by_name.pop(spec.name), skip)
    if must_be_all and by_name:
        raise LoadError(f"the configuration lacks {kind} '{min(by_name)}', which the upstream's model needs")
    return tuple(given)


def _check_one(kind: str, spec: TensorSpec, found: RemoteTensor, skip: int) -> None:
    if spec.dtype is not found.dtype:
        raise LoadError(
            f"{kind} '{spec.name}' is {spec.dtype.name}, the upstream's model has {found.dtype.name}"
        )
    ours = spec.shape if spec.reshape is None else spec.reshape
    theirs = found.shape[skip:]
    if len(ours) != len(theirs) or any(
        dim != want and want != -1 for dim, want in zip(ours, theirs, strict=True)
    ):
        raise LoadError(
            f"{kind} '{spec.name}' has shape {list(ours)}, the upstream's model has {list(theirs)}"
        )


def _as_spec(found: RemoteTensor, skip: int) -> TensorSpec:
    """As callers see it: what has no dimension left has one of one element."""
    shape = found.shape[skip:]
    return TensorSpec(found.name, found.dtype, shape or (1,), None if shape else ())
