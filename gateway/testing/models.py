"""Functions as models: what a plugin stands before must answer, not infer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import Array, OutputMemory

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]
# Name to type and shape without the batch axis, -1 for what is free.
Signature = Mapping[str, tuple[str, tuple[int, ...]]]

_ONE: Signature = {"x": ("FP32", (-1,))}


def _same(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    return inputs


class Function:
    """A model: `run` is given and gives arrays by name, with the batch axis in front where it batches.

    Without arguments it answers with its input "x", rows of FP32, unchanged.
    """

    def __init__(
        self, run: Run = _same, inputs: Signature = _ONE, outputs: Signature = _ONE, max_batch_size: int = 8
    ) -> None:
        self.run: Final = run
        self.inputs: Final = inputs
        self.outputs: Final = outputs
        self.max_batch_size: Final = max_batch_size

    def spec(self, name: str, version: int) -> ModelSpec:
        """Its signature under a name."""
        return ModelSpec(
            name,
            version,
            "python",
            "function",
            _tensors(self.inputs),
            _tensors(self.outputs),
            max_batch_size=self.max_batch_size,
        )


class LoadedFunction:
    """Implements LoadedModel."""

    def __init__(self, function: Function, spec: ModelSpec) -> None:
        self._function = function
        self.spec: Final = spec

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: OutputMemory
    ) -> Sequence[Array]:
        """See LoadedModel."""
        named = {spec.name: array for spec, array in zip(self.spec.inputs, inputs, strict=True)}
        answer = self._function.run(named)
        return [answer[self.spec.outputs[index].name] for index in outputs]

    def close(self) -> None:
        """Nothing to free."""


def _tensors(signature: Signature) -> tuple[TensorSpec, ...]:
    return tuple([TensorSpec(name, DType[dtype], shape) for name, (dtype, shape) in signature.items()])
