"""Between the shapes that callers send and get and those that the engine wants, where they differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.calls import desk_of
from gateway.runtimes.contract import (
    ABSENT,
    Array,
    Call,
    ConcurrentModel,
    LoadedModel,
    Outcome,
    OutputMemory,
    Responses,
    UpstreamCounts,
    concurrent,
    streaming,
)

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
        self.desk = desk_of(model)
        self._lead = 1 if self._spec.max_batch_size else 0

    @property
    def spec(self) -> ModelSpec:
        """See contract.LoadedModel."""
        return self._spec

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: OutputMemory
    ) -> Sequence[Array]:
        """See contract.LoadedModel."""
        results = self._model.infer(self._inputs(inputs), outputs, rows, memory)
        return self._outputs(outputs, results)

    def stream(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, responses: Responses
    ) -> None:
        """See contract.StreamingModel."""
        model = streaming(self._model)
        assert model is not None, "asked of a decoupled model alone"
        given = ReshapingResponses(responses, lambda results: self._outputs(outputs, results))
        model.stream(self._inputs(inputs), outputs, rows, given)

    def begin(
        self,
        inputs: Sequence[Array],
        outputs: Sequence[int],
        rows: int,
        timeout_s: float,
        done: Callable[[Outcome], None],
    ) -> Call:
        """See contract.ConcurrentModel."""

        def moved(outcome: Outcome) -> None:
            done(outcome if isinstance(outcome, Exception) else self._outputs(outputs, outcome))

        return self._concurrent().begin(self._inputs(inputs), outputs, rows, timeout_s, moved)

    def counts(self) -> UpstreamCounts:
        """See contract.ConcurrentModel."""
        return self._concurrent().counts()

    def watch(self, changed: Callable[[str], None]) -> None:
        """See contract.ConcurrentModel."""
        self._concurrent().watch(changed)

    def _concurrent(self) -> ConcurrentModel:
        model = concurrent(self._model)
        assert model is not None, "asked of a model with a concurrency alone"
        return model

    def _inputs(self, inputs: Sequence[Array]) -> list[Array]:
        return [
            array if spec.reshape is None or array is ABSENT else self._moved(array, spec.shape, spec.reshape)
            for spec, array in zip(self._spec.inputs, inputs, strict=True)
        ]

    def _outputs(self, outputs: Sequence[int], results: Sequence[Array]) -> Sequence[Array]:
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


class ReshapingResponses:
    """Implements contract.Responses before another, which gets what `moved` makes of each answer."""

    def __init__(self, responses: Responses, moved: Callable[[Sequence[Array]], Sequence[Array]]) -> None:
        self._responses = responses
        self._moved = moved
        self.fail = responses.fail
        self.is_cancelled = responses.is_cancelled
        self.finish = responses.finish
        self.wait_until_finished = responses.wait_until_finished

    def send(self, results: Sequence[Array], *, is_last: bool = False) -> None:
        """See contract.Responses."""
        self._responses.send(self._moved(results), is_last=is_last)


def fill(new: Shape, old: Shape, actual: Shape) -> Shape:
    """`new` with its free dimensions taken, in order, from what those of `old` are in `actual`."""
    free = iter([size for dim, size in zip(old, actual, strict=True) if dim == -1])
    return tuple(next(free) if dim == -1 else dim for dim in new)


def _fits(actual: Shape, shape: Shape) -> bool:
    return len(actual) == len(shape) and all(
        dim in {-1, size} for dim, size in zip(shape, actual, strict=True)
    )
