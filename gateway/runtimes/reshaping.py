"""Between the shapes that callers send and get and those that the engine wants, where they differ."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.model import ModelSpec
from gateway.core.tensor import TensorSpec
from gateway.runtimes.contract import Array, LoadedModel, OutputMemory

Shape = tuple[int, ...]


def reshaped(model: LoadedModel) -> LoadedModel:
    """`model` in its callers' shapes; itself where no tensor has another, which then costs nothing."""
    spec = model.spec
    has_reshape = any(tensor.reshape is not None for tensor in (*spec.inputs, *spec.outputs))
    return Reshaping(model) if has_reshape else model


class Reshaping:
    """Implements contract.LoadedModel around another; the arrays stay where they are."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._spec = model.spec
        self._lead = 1 if self._spec.max_batch_size else 0

    @property
    def spec(self) -> ModelSpec:
        """See contract.LoadedModel."""
        return self._spec

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: OutputMemory
    ) -> Sequence[Array]:
        """See contract.LoadedModel."""
        wanted = [
            array if spec.reshape is None else self._moved(array, spec.shape, spec.reshape)
            for spec, array in zip(self._spec.inputs, inputs, strict=True)
        ]
        results = self._model.infer(wanted, outputs, rows, memory)
        if len(results) != len(outputs):
            return results  # for whoever checks what the model answered
        return [
            self._output(self._spec.outputs[ordinal], result)
            for ordinal, result in zip(outputs, results, strict=True)
        ]

    def close(self) -> None:
        """See contract.LoadedModel."""
        self._model.close()

    def _output(self, spec: TensorSpec, result: Array) -> Array:
        """In the promised shape, or as it is where the model broke its promise."""
        if spec.reshape is None or not _fits(result.shape[self._lead :], spec.reshape):
            return result
        return self._moved(result, spec.reshape, spec.shape)

    def _moved(self, array: Array, old: Shape, new: Shape) -> Array:
        shape = array.shape
        return array.reshape(shape[: self._lead] + fill(new, old, shape[self._lead :]))


def fill(new: Shape, old: Shape, actual: Shape) -> Shape:
    """`new` with its free dimensions taken, in order, from what those of `old` are in `actual`."""
    free = iter([size for dim, size in zip(old, actual, strict=True) if dim == -1])
    return tuple(next(free) if dim == -1 else dim for dim in new)


def _fits(actual: Shape, shape: Shape) -> bool:
    return len(actual) == len(shape) and all(
        dim in {-1, size} for dim, size in zip(shape, actual, strict=True)
    )
