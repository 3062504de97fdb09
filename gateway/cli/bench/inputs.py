"""A model's inputs: from its metadata and a seed, or from a file; checked before anything is sent."""

from __future__ import annotations

import math
import string
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from gateway.cli.bench.plan import BenchError, Plan
from gateway.core.dtypes import BY_NAME, NUMPY, DType
from gateway.core.errors import InvalidInput
from gateway.core.tensor import Tensor, element_count, iterate_bytes_elements, serialise_bytes_elements

_TEXT_LENGTH = 16
_ALPHABET = np.frombuffer((string.ascii_letters + string.digits).encode(), np.uint8)
_LARGEST_RANDOM_INTEGER = 100


class InputSpec(msgspec.Struct, frozen=True):
    """One input as the server's metadata tells it: the batch axis, if any, is in `shape` as -1."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class _FileTensor(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = {}


class _FileBody(msgspec.Struct, forbid_unknown_fields=True):
    inputs: list[_FileTensor]
    id: str = ""


def make_inputs(plan: Plan, specs: Sequence[InputSpec]) -> tuple[Tensor, ...]:
    """The tensors of every request; raises BenchError where plan, file and metadata do not agree."""
    known = {spec.name for spec in specs}
    for name in plan.shapes:
        if name not in known:
            raise BenchError(f"--shape: the model has no input '{name}', it has {_listed(known)}")
    if plan.data is not None:
        tensors = read_inputs(Path(plan.data), specs)
        _check_against(tensors, specs)
        return tensors
    source = np.random.default_rng(plan.seed)
    return tuple(_random_tensor(spec, _shape(spec, plan), source) for spec in specs)


def _shape(spec: InputSpec, plan: Plan) -> tuple[int, ...]:
    """The shape to send: --shape, else the metadata's with --batch in front and 1 for free dimensions."""
    given = plan.shapes.get(spec.name)
    if given is not None:
        _check_shape(spec, given, "--shape")
        if plan.batch != 1 and (not given or given[0] != plan.batch):
            raise BenchError(f"--shape: {spec.name} is {list(given)} but --batch is {plan.batch}")
        return given
    shape = [1 if dim < 0 else dim for dim in spec.shape]
    if plan.batch != 1:
        if not spec.shape or spec.shape[0] != -1:
            raise BenchError(f"--batch: input '{spec.name}' {list(spec.shape)} has no free first axis")
        shape[0] = plan.batch
    return tuple(shape)


def _check_shape(spec: InputSpec, shape: Sequence[int], source: str) -> None:
    fits = len(shape) == len(spec.shape) and all(
        want in {-1, got} for want, got in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        raise BenchError(
            f"{source}: '{spec.name}' cannot be {list(shape)}, the model takes {list(spec.shape)}"
        )


def _dtype(name: str, datatype: str) -> DType:
    if datatype not in BY_NAME:
        raise BenchError(f"input '{name}' has the unsupported datatype '{datatype}'")
    return BY_NAME[datatype]


def _random_tensor(spec: InputSpec, shape: tuple[int, ...], source: np.random.Generator) -> Tensor:
    dtype = _dtype(spec.name, spec.datatype)
    try:
        count = element_count(spec.name, shape)
    except InvalidInput as error:
        raise BenchError(f"--shape: {error.text}") from error
    return Tensor(spec.name, dtype, shape, _random_bytes(dtype, count, source))


def _random_bytes(dtype: DType, count: int, source: np.random.Generator) -> bytes:
    """Floats in [0, 1), integers 0 to 100, texts of 16 letters and digits."""
    if dtype is DType.BYTES:
        letters = _ALPHABET[source.integers(0, len(_ALPHABET), (count, _TEXT_LENGTH))]
        return serialise_bytes_elements(row.tobytes() for row in letters)
    if dtype is DType.BF16:
        return bfloat16(source.random(count, np.float32)).tobytes()
    target = NUMPY[dtype]
    if target.kind == "f":
        return source.random(count, np.float32).astype(target).tobytes()
    most = 1 if dtype is DType.BOOL else _LARGEST_RANDOM_INTEGER
    return source.integers(0, most + 1, count).astype(target).tobytes()


def bfloat16(values: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """The upper halves of float32: truncated, which is close enough for made-up inputs."""
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def read_inputs(path: Path, specs: Sequence[InputSpec]) -> tuple[Tensor, ...]:
    """The tensors of a V2 request body (.json) or of arrays by name (.npz)."""
    try:
        if path.suffix == ".npz":
            return _read_npz(path, specs)
        body = msgspec.json.decode(path.read_bytes(), type=_FileBody)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BenchError(f"--data: {path}: {error}") from error
    return tuple(
        Tensor(item.name, dtype, item.shape, _pack(item.name, dtype, item.shape, item.data))
        for item in body.inputs
        for dtype in (_dtype(item.name, item.datatype),)
    )


def _read_npz(path: Path, specs: Sequence[InputSpec]) -> tuple[Tensor, ...]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        unknown = set(arrays) - {spec.name for spec in specs}
        if unknown:
            raise BenchError(f"--data: {path} has {_listed(unknown)}, which the model does not take")
        return tuple(_from_array(spec, arrays[spec.name]) for spec in specs if spec.name in arrays)


def _from_array(spec: InputSpec, array: np.ndarray[Any, np.dtype[Any]]) -> Tensor:
    dtype = _dtype(spec.name, spec.datatype)
    if dtype is DType.BYTES:
        if array.dtype.kind not in "SU":
            raise BenchError(f"--data: '{spec.name}' is BYTES, its array must hold strings")
        texts = (item.encode() if isinstance(item, str) else item for item in array.ravel().tolist())
        data = serialise_bytes_elements(texts)
    elif dtype is DType.BF16 and array.dtype.kind == "f":
        data = bfloat16(array.astype(np.float32)).tobytes()
    elif np.can_cast(array.dtype, NUMPY[dtype], "same_kind"):
        data = array.astype(NUMPY[dtype]).tobytes()
    else:
        raise BenchError(f"--data: '{spec.name}' holds {array.dtype}, the model takes {dtype.name}")
    return Tensor(spec.name, dtype, array.shape, data)


def _pack(name: str, dtype: DType, shape: tuple[int, ...], data: list[Any]) -> bytes:
    flat = list(_flatten(data))
    if any(dim < 0 for dim in shape) or len(flat) != math.prod(shape):
        raise BenchError(f"--data: '{name}' has {len(flat)} elements, its shape is {list(shape)}")
    try:
        if dtype is DType.BYTES:
            return serialise_bytes_elements(str(item).encode() for item in flat)
        if dtype is DType.BF16:
            return bfloat16(np.array(flat, np.float32)).tobytes()
        return np.array(flat, NUMPY[dtype]).tobytes()
    except (ValueError, TypeError, OverflowError) as error:
        raise BenchError(f"--data: '{name}' is not {dtype.name}: {error}") from error


def _flatten(data: list[Any]) -> list[Any]:
    while data and isinstance(data[0], list):
        data = [item for part in data for item in part]
    return data


def _check_against(tensors: Sequence[Tensor], specs: Sequence[InputSpec]) -> None:
    by_name: Mapping[str, InputSpec] = {spec.name: spec for spec in specs}
    missing = set(by_name) - {tensor.name for tensor in tensors}
    if missing:
        raise BenchError(f"--data: the model also takes {_listed(missing)}")
    for tensor in tensors:
        spec = by_name.get(tensor.name)
        if spec is None:
            raise BenchError(f"--data: the model has no input '{tensor.name}', it has {_listed(by_name)}")
        if spec.datatype != tensor.dtype.name:
            raise BenchError(
                f"--data: '{tensor.name}' is {tensor.dtype.name}, the model takes {spec.datatype}"
            )
        _check_shape(spec, tensor.shape, "--data")


def json_values(tensor: Tensor) -> list[Any]:
    """The elements as JSON can carry them, flat, row-major."""
    if tensor.dtype is DType.BYTES:
        elements = iterate_bytes_elements(tensor.name, tensor.data)
        return [bytes(element).decode("utf-8", "surrogateescape") for element in elements]
    if tensor.dtype is DType.BF16:
        halves = np.frombuffer(tensor.data, np.uint16).astype(np.uint32) << 16
        return list(halves.view(np.float32).tolist())
    return list(np.frombuffer(tensor.data, NUMPY[tensor.dtype]).tolist())


def _listed(names: Mapping[str, object] | set[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names)) or "none"
