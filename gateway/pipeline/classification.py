"""The highest elements of an output instead of all of them: the classification extension.

An output asked for with `classification: n` runs and batches like any other; what it answers is made
of its elements afterwards, row by row: the n highest as text "<value>:<index>[:<label>]". Equal
elements come in the order of their indices; NaN comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gateway.core.dtypes import NUMPY, DType
from gateway.core.errors import GatewayError, InvalidInput
from gateway.core.messages import NO_PARAMETERS, Done, InferResponse, RequestedOutput
from gateway.core.model import ModelSpec
from gateway.core.tensor import Tensor, serialise_bytes_elements

_FLOATS = frozenset({DType.FP16, DType.FP32, DType.FP64, DType.BF16})


class Specified(Protocol):
    """A version whose signature is known at the latest when it answers."""

    @property
    def spec(self) -> ModelSpec | None:
        """The signature, as far as it is known."""


def classified(outputs: Sequence[RequestedOutput], of: Specified, done: Done) -> Done:
    """`done`, told classes where `outputs` ask for them; raises InvalidInput where there cannot be any."""
    for output in outputs:
        if output.parameters is not NO_PARAMETERS:
            return _told_classes(outputs, of, done)
    return done


def _told_classes(outputs: Sequence[RequestedOutput], of: Specified, done: Done) -> Done:
    counts = {
        output.name: int(output.parameters["classification"])
        for output in outputs
        if "classification" in output.parameters
    }
    if not counts:
        return done
    for known in of.spec.outputs if of.spec is not None else ():
        if known.name in counts:
            _check_kind(known.name, known.dtype)

    def tell(result: InferResponse | GatewayError) -> None:
        spec = of.spec
        assert spec is not None, "what has answered has a signature"
        done(classify(spec, counts, result) if isinstance(result, InferResponse) else result)

    return tell


def classify(
    spec: ModelSpec, counts: dict[str, int], response: InferResponse
) -> InferResponse | InvalidInput:
    """`response` with each output named in `counts` as that many classes a row."""
    try:
        outputs = tuple([
            top_classes(spec, output, counts[output.name]) if output.name in counts else output
            for output in response.outputs
        ])
    except InvalidInput as error:
        if response.lease is not None:
            response.lease.release()
        return error
    return response.with_outputs(outputs)


def top_classes(spec: ModelSpec, output: Tensor, count: int) -> Tensor:
    """BYTES [rows, min(count, classes)] of `output`, without a batch axis [min(count, classes)]."""
    _check_kind(output.name, output.dtype)
    values = _values(output)
    rows = output.shape[0] if spec.max_batch_size else 1
    table = values.reshape(rows, values.size // rows if rows else 0)
    labels = spec.class_labels.get(output.name, ())
    kept = min(count, table.shape[1])
    pattern = "{:.6f}:{}" if output.dtype in _FLOATS else "{:d}:{}"
    texts = [
        _text(pattern, row[index].item(), index, labels)
        for row in table
        for index in highest(row, kept).tolist()
    ]
    shape = (rows, kept) if spec.max_batch_size else (kept,)
    return Tensor(output.name, DType.BYTES, shape, serialise_bytes_elements(texts))


def highest(row: npt.NDArray[np.generic], count: int) -> npt.NDArray[np.intp]:
    """Indices of the `count` highest elements, descending; of equal ones the lower index is first."""
    if row.dtype.kind == "f":
        row = np.where(np.isnan(row), -np.inf, row)
    size = row.size
    if not 0 < count < size:
        candidates = np.arange(size)
    else:
        candidates = np.flatnonzero(row >= np.partition(row, size - count)[size - count])
    # Ascending and stable over the reversed order, read backwards: descending, ties by index.
    backwards = candidates[::-1]
    return backwards[np.argsort(row[backwards], kind="stable")[::-1]][:count]


def _values(output: Tensor) -> npt.NDArray[np.generic]:
    values = np.frombuffer(output.data, NUMPY[output.dtype])
    if output.dtype is DType.BF16:  # the upper half of an FP32
        return (values.astype("<u4") << 16).view("<f4")
    return values.view("u1") if output.dtype is DType.BOOL else values


def _text(pattern: str, value: float, index: int, labels: Sequence[str]) -> bytes:
    text = pattern.format(value, index)
    label = labels[index] if index < len(labels) else ""
    return (f"{text}:{label}" if label else text).encode()


def _check_kind(output: str, dtype: DType) -> None:
    if dtype is DType.BYTES:
        raise InvalidInput(f"output '{output}' has no classes: its datatype is BYTES")
