"""What a `model.py` imports: the base class of a model written in Python, and what it is told.

    from gateway.model import Array, Context, Model

    class Doubler(Model):
        def load(self, context: Context) -> None:
            self.factor = float(context.parameters.get("factor", "2"))

        def infer(self, inputs: dict[str, Array]) -> dict[str, Array]:
            return {"Y": inputs["X"] * self.factor}

The file lies in a version's folder, and config.pbtxt names the inputs and outputs. It is run in a worker
process of its own, by one thread, one batch at a time. Every method may be `async def`: all of them run
on one event loop, which turns only while one of them does. Raise `InvalidInput` where the caller's
values are at fault (it is told so, with that text); any other exception fails only the requests it
belongs to, with its traceback in the gateway's log. What is printed goes there too.

An `infer` that is a generator (`yield` instead of `return`, `def` or `async def`) answers a request any
number of times, each yield one answer, and sees one request at a time:

        def infer(self, inputs: dict[str, Array]) -> Iterator[dict[str, Array]]:
            for count in range(int(inputs["N"].item())):
                yield {"Y": np.array([count], np.int32)}

Callers read it by generate_stream or gRPC's ModelStreamInfer. It waits at its `yield` while its reader is
slow, and gets GeneratorExit there when the reader has gone; what it raises ends the stream as an error.

While it answers, a model may call others of the same repository through the `context.gateway` that `load`
was given:

        def infer(self, inputs: dict[str, Array]) -> dict[str, Array]:
            return self.gateway.infer("doubler", {"X": inputs["X"] + 1})

With `sequence_batching` the inputs hold the controls and states of config.pbtxt too, a row for each
sequence (direct: for each slot, READY or not), and the answer must hold the states. What a model keeps
itself is its own affair: if it raises, all requests of that call fail, and none is run again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gateway.core.dtypes import DType
from gateway.core.errors import InvalidInput, Reason
from gateway.core.tensor_spec import TensorSpec

__all__ = [
    "Array",
    "CallFailed",
    "Context",
    "DType",
    "Gateway",
    "InvalidInput",
    "Model",
    "Outputs",
    "Reason",
    "TensorSpec",
]

Array = np.ndarray[Any, np.dtype[Any]]
Outputs = dict[str, Array]


class CallFailed(Exception):
    """A model that was called gave no answer; where it is not caught the caller's own request fails so."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


class Gateway(Protocol):
    """The other models, to be called only while a request is answered; from any thread.

    A call is a request like any other: it wakes its model, shares batches with others and counts. It has
    at most the time that the request being answered has left, and is given up with that. The model must
    be another one than those that wait for this answer. `inputs` need every input, BYTES as arrays of
    bytes or str, and none may be BF16; `version` may be a label, `outputs` empty asks for all; answers are
    the caller's to change.
    """

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: int | str = 0,
        outputs: Sequence[str] = (),
    ) -> Outputs:
        """The answer of a model, which is waited for; raises CallFailed."""

    def infer_async(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: int | str = 0,
        outputs: Sequence[str] = (),
    ) -> Awaitable[Outputs]:
        """The same, under way at once, to be awaited on the running event loop; raises CallFailed there."""

    def stream(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: int | str = 0,
        outputs: Sequence[str] = (),
    ) -> Generator[Outputs]:
        """All answers of a model that may give any number; raises CallFailed while it is read."""

    def stream_async(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: int | str = 0,
        outputs: Sequence[str] = (),
    ) -> AsyncGenerator[Outputs]:
        """The same on the running event loop."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a model is told when it is loaded.

    `folder` holds model.py and whatever lies beside it; `parameters` are those of config.pbtxt.
    `max_batch_size` 0 means that tensors have no batch axis; else one in front of each spec's `shape`.
    """

    folder: Path
    name: str
    version: int
    parameters: Mapping[str, str]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int
    gateway: Gateway


class Model(ABC):
    """One model; made without arguments, then loaded."""

    def load(self, context: Context) -> Awaitable[None] | None:  # ruff: ignore[empty-method-without-abstract-decorator]
        """Called once before any batch; an exception makes the version unavailable, with that reason."""

    @abstractmethod
    def infer(
        self, inputs: dict[str, Array]
    ) -> Outputs | Awaitable[Outputs] | Iterator[Outputs] | AsyncIterator[Outputs]:
        """Every output by name for every input by name: a whole batch, its rows along the first axis.

        An optional input that was left out is not among `inputs`; it is for no request of the batch.

        BYTES are object arrays of bytes (outputs may also be of str), BF16 uint16 arrays of its bits.
        Inputs are read-only and valid until this returns: copy what you change or keep.
        """

    def sleep(self) -> Awaitable[None] | None:  # ruff: ignore[empty-method-without-abstract-decorator]
        """Moves what is on the GPU to the host's memory; called only where the class has a `wake` of its own.

        An unused model on a GPU is put to sleep instead of unloaded; nothing is asked of it until `wake`.
        """

    def wake(self) -> Awaitable[None] | None:  # ruff: ignore[empty-method-without-abstract-decorator]
        """Moves it back to the same GPU; if this raises, the model is loaded anew in another worker."""

    def unload(self) -> Awaitable[None] | None:  # ruff: ignore[empty-method-without-abstract-decorator]
        """Called once before the worker ends, unless it is killed."""
