"""Which requests are traced, and what is known of one: a front's tracer, there only while one is wanted.

DESIGN: a request under trace is an ordinary one whose callbacks are wrapped, so that others cost one
comparison. What a worker tells are durations, and they are told by their ends: COMPUTE_END is when its
answer came, and the events before it lie that much earlier. When a head's first byte came is not known
here, so there are no events of receiving.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import count

from gateway.control.budget import Budget
from gateway.core.errors import GatewayError
from gateway.core.messages import InferResponse
from gateway.core.tensor import Tensor
from gateway.core.trace_settings import TraceSettings
from gateway.scheduling.contract import Loop
from gateway.scheduling.pending import Pending, PendingStream
from gateway.telemetry.traced import Traced, TracedTensor

QUEUE_INPUT = "TENSOR_QUEUE_INPUT"
BACKEND_OUTPUT = "TENSOR_BACKEND_OUTPUT"
# A stream may have any number of answers.
_MAX_TENSORS = 1000


class Scope:
    """The requests of one model, or of all that have no settings of their own."""

    __slots__ = ("budget", "seen", "settings")

    def __init__(self, settings: TraceSettings, budget: Budget | None) -> None:
        self.settings = settings
        self.budget = budget
        self.seen = 0

    def samples(self) -> bool:
        """True for one request in so many, while the budget lasts."""
        self.seen += 1
        if not self.settings.levels or self.seen % self.settings.rate:
            return False
        return self.budget is None or self.budget.take()


class Tracer:
    """Traces requests as `scopes` say, "" being that of all models without one of their own.

    `first` is the number of its first trace; `elements` of each tensor are written at most.
    """

    def __init__(
        self,
        write: Callable[[Traced], None],
        loop: Loop,
        clock_ns: Callable[[], int],
        first: int,
        elements: int,
    ) -> None:
        self._write = write
        self._loop = loop
        self._clock_ns = clock_ns
        self._numbers = count(first)
        self._elements = elements
        self.scopes: Mapping[str, Scope] = {}

    def begin(self, pending: Pending) -> None:
        """Must be called before `pending` enters a queue; wraps it where it is to be traced."""
        request = pending.request
        if request.protocol == "ensemble":  # a part of what is traced as a whole
            return
        scope = self.scopes.get(request.model) or self.scopes.get("")
        if scope is None or not scope.samples():
            return
        settings = scope.settings
        traced = Traced(
            next(self._numbers), request.model, pending.version, request.id, settings.log_frequency
        )
        under_way = _UnderWay(traced, pending, self._clock_ns, settings, self._elements)
        under_way.begin(lambda: self._loop.call_soon(partial(self._write, traced)))


class _UnderWay:
    """One request under trace, until it is closed."""

    __slots__ = ("_clock_ns", "_elements", "_has_tensors", "_has_times", "_pending", "_prefix", "_traced")

    def __init__(
        self,
        traced: Traced,
        pending: Pending,
        clock_ns: Callable[[], int],
        settings: TraceSettings,
        elements: int,
    ) -> None:
        self._traced = traced
        self._pending = pending
        self._clock_ns = clock_ns
        self._has_times = "TIMESTAMPS" in settings.levels
        self._has_tensors = "TENSORS" in settings.levels
        self._elements = elements
        self._prefix = "GRPC" if pending.request.protocol == "grpc" else "HTTP"

    def begin(self, finish: Callable[[], object]) -> None:
        """Wraps the request's callbacks; `finish` is called when it is closed, before it is told."""
        pending = self._pending
        self._add_tensors(QUEUE_INPUT, pending.request.inputs)
        pending.on_closed = partial(self._closed, pending.on_closed, finish)
        pending.done = partial(self._told, pending.done)

    def _closed(
        self,
        on_closed: Callable[[Pending, GatewayError | None], None],
        finish: Callable[[], object],
        pending: Pending,
        error: GatewayError | None,
    ) -> None:
        on_closed(pending, error)
        self._traced.version = pending.version
        if self._has_times:
            self._traced.events[:0] = self._events()
        finish()

    def _events(self) -> list[tuple[str, int]]:
        pending, now = self._pending, self._clock_ns()
        start = round(pending.arrived * 1e9)
        events = [("REQUEST_START", start), ("QUEUE_START", start)]
        if any(pending.timings_ns):  # else it never ran to an end
            input_ns, infer_ns, output_ns = pending.timings_ns
            output_start = now - output_ns
            input_end = output_start - infer_ns
            events += [
                ("COMPUTE_START", input_end - input_ns),
                ("COMPUTE_INPUT_END", input_end),
                ("COMPUTE_OUTPUT_START", output_start),
                ("COMPUTE_END", now),
            ]
        events.append(("REQUEST_END", now))
        return events

    def _told(
        self,
        done: Callable[[InferResponse | GatewayError], None],
        result: InferResponse | GatewayError,
    ) -> None:
        """An answer, the only one or one of a stream."""
        if not isinstance(result, GatewayError):
            self._add_tensors(BACKEND_OUTPUT, result.outputs)
        start = self._clock_ns()
        done(result)
        if self._has_times and not isinstance(self._pending, PendingStream):
            self._traced.events += [
                (f"{self._prefix}_SEND_START", start),
                (f"{self._prefix}_SEND_END", self._clock_ns()),
            ]

    def _add_tensors(self, activity: str, tensors: tuple[Tensor, ...]) -> None:
        if self._has_tensors and len(self._traced.tensors) < _MAX_TENSORS:
            self._traced.tensors += [TracedTensor(activity, tensor, self._elements) for tensor in tensors]
