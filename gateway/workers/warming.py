"""Runs a model's warm-up requests, as batches of their own, before anybody's request."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from gateway.core.dtypes import ITEM_SIZE, NUMPY, DType
from gateway.core.model import ModelSpec
from gateway.core.warmup import Warmup, WarmupInput
from gateway.runtimes.contract import ABSENT, Array, LoadedModel, LoadError, one_line, streaming
from gateway.workers.execution import ServePlan, check_outputs, decode_bytes, encode_outputs
from gateway.workers.frames import Table
from gateway.workers.plans import fits

# Texts have no size that a shape would tell.
MAX_TEXT_BYTES = 256 << 20
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class NoMemory:
    """Implements contract.OutputMemory where nobody waits for the outputs."""

    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array | None:
        """See contract.OutputMemory."""
        return None


class Unread:
    """Implements contract.Responses where nobody waits for the answers; they are checked."""

    def __init__(self, plan: ServePlan) -> None:
        self._plan = plan
        self._finished = threading.Event()
        self._error: Exception | None = None

    def send(self, results: Sequence[Array], *, is_last: bool = False) -> None:
        """See contract.Responses."""
        check_outputs(self._plan, results)
        encode_outputs(results)

    def fail(self, error: Exception) -> None:
        """See contract.Responses. The sample has failed, whatever else it is answered."""
        self._error = self._error or error

    def is_cancelled(self) -> bool:
        """See contract.Responses."""
        return False

    def finish(self, error: Exception | None = None) -> None:
        """See contract.Responses."""
        self._error = self._error or error
        self._finished.set()

    def wait_until_finished(self) -> None:
        """See contract.Responses."""
        self._finished.wait()
        if self._error is not None:
            raise self._error


def warm_up(model: LoadedModel, samples: Sequence[Warmup]) -> None:
    """Runs every sample as often as it says; raises LoadError with the sample's name where one fails."""
    for index, sample in enumerate(samples):
        try:
            _run(model, sample)
        except Exception as error:  # ruff: ignore[blind-except] - a model may raise anything; it is then not ready
            kind = "" if isinstance(error, LoadError) else f"{type(error).__name__}: "
            folders = {os.path.dirname(one.file) for one in sample.inputs if one.file}
            text = one_line(error, min(folders, default=""))
            raise LoadError(f"warm-up '{sample.name or index}' failed: {kind}{text}") from None


def _run(model: LoadedModel, sample: Warmup) -> None:
    spec = model.spec
    if sample.rows > max(1, spec.max_batch_size):
        raise LoadError(f"batch_size {sample.rows}, the most is {max(1, spec.max_batch_size)}")
    inputs = [ABSENT if one is None else _make(spec, one, sample.rows) for one in _ordered(spec, sample)]
    plan = ServePlan(spec, Table(sample.rows, (), tuple(range(len(spec.outputs)))), 0)
    memory = NoMemory()
    model_streams = streaming(model)
    for _ in range(sample.count):
        if model_streams is not None:
            model_streams.stream(inputs, plan.outputs, sample.rows, Unread(plan))
            continue
        results = model.infer(inputs, plan.outputs, sample.rows, memory)
        check_outputs(plan, results)
        encode_outputs(results)


def _ordered(spec: ModelSpec, sample: Warmup) -> list[WarmupInput | None]:
    """The inputs in the order of the signature, None for what is left out; raises LoadError for misfits."""
    given = {one.name: one for one in sample.inputs}
    wanted = {tensor.name for tensor in spec.inputs if tensor.name in given or not tensor.is_optional}
    if given.keys() != wanted:
        wrong = min(given.keys() ^ wanted)
        raise LoadError(f"input '{wrong}' {'is missing' if wrong in wanted else 'is not one of the model'}")
    for tensor in spec.inputs:
        one = given.get(tensor.name)
        if one is None:
            continue
        if one.dtype is not tensor.dtype or not fits(one.shape, tensor.shape):
            raise LoadError(
                f"input '{one.name}' is {one.dtype.name} {list(one.shape)}, the model takes "
                f"{tensor.dtype.name} {list(tensor.shape)}"
            )
    return [given.get(tensor.name) for tensor in spec.inputs]


def _make(spec: ModelSpec, one: WarmupInput, rows: int) -> Array:
    row = row_of(one)
    array: Array = np.repeat(row[None], rows, axis=0) if spec.max_batch_size else row
    array.flags.writeable = False
    return array


def row_of(one: WarmupInput) -> Array:
    """One row of what it says, in fresh memory; raises LoadError."""
    match one.source:
        case "zero":
            return _zeros(one)
        case "random":
            return _random(one)
        case "file":
            return _from_file(one)


def _zeros(one: WarmupInput) -> Array:
    return (
        np.full(one.shape, b"", object) if one.dtype is DType.BYTES else np.zeros(one.shape, NUMPY[one.dtype])
    )


def _random(one: WarmupInput) -> Array:
    """Small numbers, none negative: many models take some of their inputs for an index."""
    draw = np.random.Generator(np.random.Philox(0))
    numbers: Array = draw.random(one.shape, np.float32)
    match one.dtype:
        case DType.BYTES:
            texts = [str(number).encode() for number in numbers.ravel().tolist()]
            array: Array = np.empty(len(texts), object)
            array[:] = texts
            return array.reshape(one.shape)
        case DType.BF16:  # the upper half of an FP32
            return (numbers.view(np.uint32) >> 16).astype(np.uint16)
        case DType.FP16 | DType.FP32 | DType.FP64:
            return numbers.astype(NUMPY[one.dtype])
    return (numbers * 2).astype(NUMPY[one.dtype])


def _from_file(one: WarmupInput) -> Array:
    if one.dtype is DType.BYTES:
        array = decode_bytes(one.shape, _read(one, MAX_TEXT_BYTES))
        return array.copy()
    size = prod(one.shape) * ITEM_SIZE[one.dtype]
    data = _read(one, size)
    if len(data) != size:
        raise LoadError(
            f"input '{one.name}' needs {size} bytes, its file has {'more' if len(data) > size else len(data)}"
        )
    return np.frombuffer(bytearray(data), NUMPY[one.dtype]).reshape(one.shape)


def _read(one: WarmupInput, limit_bytes: int) -> bytes:
    """Whole, or `limit_bytes` + 1 bytes of what is larger; raises LoadError."""
    name = os.path.basename(one.file)
    try:
        with open(os.open(one.file, _OPEN), "rb") as file:
            return file.read(limit_bytes + 1)
    except OSError as error:
        raise LoadError(f"'{name}' cannot be read: {os.strerror(error.errno or 0)}") from None
