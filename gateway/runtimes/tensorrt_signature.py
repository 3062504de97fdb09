"""What a TensorRT plan says of its tensors and profiles, and which profile runs a batch; all pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.runtimes.contract import LoadError
from gateway.runtimes.onnx_signature import FileTensor, complete

# By the engine's names. FP8, INT4 and the like have no name in any protocol.
DTYPES: Mapping[str, DType] = {
    "FLOAT": DType.FP32,
    "HALF": DType.FP16,
    "BF16": DType.BF16,
    "BOOL": DType.BOOL,
    "INT8": DType.INT8,
    "UINT8": DType.UINT8,
    "INT32": DType.INT32,
    "INT64": DType.INT64,
}

Shape = tuple[int, ...]


class PlanTensor(NamedTuple):
    """A tensor as the plan has it; `ranges` are an input's least and greatest shape, by profile."""

    name: str
    is_input: bool
    dtype: str
    shape: Shape
    ranges: tuple[tuple[Shape, Shape], ...] = ()
    is_linear: bool = True
    is_on_device: bool = True


class Signature(NamedTuple):
    """The tensors of a plan in the order of `spec`."""

    spec: ModelSpec
    inputs: tuple[PlanTensor, ...]
    outputs: tuple[PlanTensor, ...]


def read(
    spec: ModelSpec, tensors: Sequence[PlanTensor], *, max_batch_known: bool, default_max_batch_size: int
) -> Signature:
    """`spec` completed from the plan; raises LoadError where they contradict, or where nothing could run."""
    inputs = [tensor for tensor in tensors if tensor.is_input]
    outputs = [tensor for tensor in tensors if not tensor.is_input]
    found = [[_served(tensor) for tensor in some] for some in (inputs, outputs)]
    most = most_rows(inputs)
    spec = complete(
        spec,
        *found,
        max_batch_known=max_batch_known,
        default_max_batch_size=min(default_max_batch_size, most or default_max_batch_size),
    )
    if spec.max_batch_size and most is not None and spec.max_batch_size > most:
        raise LoadError(f"max_batch_size {spec.max_batch_size} is more than the {most} rows the plan is for")
    return Signature(
        spec,
        _ordered([tensor.name for tensor in spec.inputs], inputs),
        _ordered([tensor.name for tensor in spec.outputs], outputs),
    )


def _served(tensor: PlanTensor) -> FileTensor:
    kind = "input" if tensor.is_input else "output"
    if tensor.dtype not in DTYPES:
        raise LoadError(f"{kind} '{tensor.name}' is {tensor.dtype}, which cannot be served")
    if not tensor.is_on_device:
        raise LoadError(f"{kind} '{tensor.name}' is a shape tensor, which is not supported")
    if not tensor.is_linear:
        raise LoadError(
            f"{kind} '{tensor.name}' is not stored row by row: build the plan with linear formats"
        )
    if tensor.is_input and -1 in tensor.shape and not tensor.ranges:
        raise LoadError(f"{kind} '{tensor.name}' has free dimensions and the plan no optimization profile")
    return FileTensor(tensor.name, DTYPES[tensor.dtype], tensor.shape)


def _ordered(names: Sequence[str], tensors: Sequence[PlanTensor]) -> tuple[PlanTensor, ...]:
    """Those of `names`, then all others: the engine wants an address for each of them."""
    by_name = {tensor.name: tensor for tensor in tensors}
    return (*(by_name.pop(name) for name in names), *by_name.values())


def most_rows(inputs: Sequence[PlanTensor]) -> int | None:
    """The most rows that any profile takes; None where the first dimension is not free."""
    free = [tensor for tensor in inputs if tensor.shape[:1] == (-1,)]
    if not free:
        return None
    profiles = zip(*(tensor.ranges for tensor in free), strict=True)
    return max((min(most[0] for _, most in ranges) for ranges in profiles), default=0)


def pick_profile(inputs: Sequence[PlanTensor], shapes: Sequence[Shape], current: int) -> int | None:
    """The profile that takes these shapes, `current` before all others; None where none does."""
    count = max((len(tensor.ranges) for tensor in inputs), default=0)
    for profile in sorted(range(max(1, count)), key=lambda one: one != current):
        if all(_fits(tensor, shape, profile) for tensor, shape in zip(inputs, shapes, strict=True)):
            return profile
    return None


def _fits(tensor: PlanTensor, shape: Shape, profile: int) -> bool:
    if not tensor.ranges:
        return tensor.shape == shape
    least, most = tensor.ranges[profile]
    return len(shape) == len(least) and all(
        low <= size <= high for low, size, high in zip(least, shape, most, strict=True)
    )


def why_none(inputs: Sequence[PlanTensor], shapes: Sequence[Shape]) -> str:
    """What no profile takes, and what the profiles take instead."""
    told = []
    for tensor, shape in zip(inputs, shapes, strict=True):
        ranges = tensor.ranges or ((tensor.shape, tensor.shape),)
        taken = " or ".join(f"{list(least)} to {list(most)}" for least, most in ranges)
        told.append(f"'{tensor.name}' {list(shape)} (it takes {taken})")
    return f"no optimization profile of the plan takes {', '.join(told)}"
