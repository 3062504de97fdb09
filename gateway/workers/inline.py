"""A link to a model in this very process: lowest latency, no isolation, one copy of each batch less.

The engine is imported by name when such a model is loaded, so a front that has none imports none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gateway.core.dtypes import NUMPY, DType
from gateway.core.tensor import Buffer
from gateway.runtimes.contract import Array, BadInput, EngineBroken, LoadedModel, ModelFailed, one_line
from gateway.workers.execution import (
    ModelMisbehaved,
    ServePlan,
    check_outputs,
    decode_bytes,
    encode_outputs,
    in_places,
)
from gateway.workers.frames import Failure, Table
from gateway.workers.links import LinkListener, Output, Timings
from gateway.workers.plans import RunPlan, Signature, check_sizes, size_of

_MAX_PLANS = 512
Defer = Callable[..., object]


class Answered(NamedTuple):
    """The model's answer to a batch."""

    outputs: tuple[Output, ...]
    timings_ns: Timings


class Failed(NamedTuple):
    """Why there is none."""

    failure: Failure
    text: str


class PrivateMemory:
    """Implements contract.OutputMemory where nothing has to be shared."""

    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array | None:
        """See contract.OutputMemory."""
        return np.empty(shape, dtype)


class InlineLink:
    """Implements links.Link. Blocks the caller while the model runs.

    `defer` (an event loop's call_soon) answers from the loop; without it the listener is called
    before `send` returns.
    """

    def __init__(
        self,
        model: LoadedModel,
        worker_id: int,
        listener: LinkListener,
        now_ns: Callable[[], int],
        defer: Defer | None = None,
    ) -> None:
        self.worker_id = worker_id
        self._model = model
        self._spec = model.spec
        self._listener = listener
        self._now_ns = now_ns
        self._defer = defer
        self._plans: dict[tuple[Signature, int], tuple[RunPlan, ServePlan]] = {}
        self._memory = PrivateMemory()
        self._in_flight: set[int] = set()
        self._is_open = True

    @property
    def in_flight(self) -> int:
        """Batches sent and not answered: 0 but for deferred answers."""
        return len(self._in_flight)

    def send(self, batch_id: int, rows: int, signature: Signature, parts: Sequence[Sequence[Buffer]]) -> None:
        """See links.Link.send; never raises Overloaded."""
        plans = self._plans.get((signature, rows)) or self._plan(signature, rows)
        check_sizes(plans[0], [size_of(some) for some in parts])
        self._in_flight.add(batch_id)
        answer = self._run(*plans, parts)
        if self._defer is None:
            self._answer(batch_id, answer)
        else:
            self._defer(self._answer, batch_id, answer)

    def grant(self, batch_id: int, size: int) -> None:
        """See links.Link.grant. Nothing to do: no model that runs in a front is decoupled."""

    def limit(self, batch_id: int, timeout_s: float) -> None:
        """See links.Link.limit. Nothing to do: no model that runs in a front has a concurrency."""

    def stop(self, batch_id: int) -> None:
        """See links.Link.stop. Nothing to do: a batch is over before anybody could say this."""

    def close(self) -> None:
        """Frees the model; deferred answers never come."""
        if self._is_open:
            self._is_open = False
            self._in_flight.clear()
            self._model.close()

    def _plan(self, signature: Signature, rows: int) -> tuple[RunPlan, ServePlan]:
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        run = RunPlan(self._spec, signature, rows)
        serve = ServePlan(self._spec, Table(rows, (), signature.outputs), 0)
        self._plans[signature, rows] = run, serve
        return run, serve

    def _run(self, run: RunPlan, serve: ServePlan, parts: Sequence[Sequence[Buffer]]) -> Answered | Failed:
        begun = self._now_ns()
        try:
            inputs: Sequence[Array] = [
                _input(dtype, shape, some)
                for dtype, shape, some in zip(run.dtypes, run.shapes, parts, strict=True)
            ]
            if len(inputs) < len(self._spec.inputs):
                inputs = in_places(inputs, run.ordinals, len(self._spec.inputs))
            before = self._now_ns()
            results = self._model.infer(inputs, serve.outputs, serve.rows, self._memory)
            after = self._now_ns()
            check_outputs(serve, results)
            outputs = tuple([
                (result.shape, _data(data))
                for result, data in zip(results, encode_outputs(results), strict=True)
            ])
        except BadInput as error:
            return Failed(Failure.BAD_INPUT, one_line(error))
        except EngineBroken as error:
            return Failed(Failure.FATAL, one_line(error))
        except (ModelMisbehaved, ModelFailed) as error:
            return Failed(Failure.MODEL_FAILED, one_line(error))
        except Exception as error:  # ruff: ignore[blind-except] - a model may raise anything; the batch fails
            return Failed(Failure.MODEL_FAILED, f"{type(error).__name__}: {one_line(error)}")
        return Answered(outputs, (before - begun, after - before, self._now_ns() - after))

    def _answer(self, batch_id: int, answer: Answered | Failed) -> None:
        if batch_id not in self._in_flight:  # closed since
            return
        self._in_flight.discard(batch_id)
        match answer:
            case Failed(failure, text):
                self._listener.on_error(self, batch_id, failure, text)
            case Answered(outputs, timings_ns):
                self._listener.on_reply(self, batch_id, outputs, timings_ns, None)


def _input(dtype: DType, shape: tuple[int, ...], parts: Sequence[Buffer]) -> Array:
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    if dtype is DType.BYTES:
        return decode_bytes(shape, data)
    array: Array = np.frombuffer(data, NUMPY[dtype]).reshape(shape)
    array.flags.writeable = False
    return array


def _data(data: Array | bytes) -> Buffer:
    return data if isinstance(data, bytes) else data.tobytes()
