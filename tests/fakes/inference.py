"""A pipeline, an exchange and a lease that remember what was done with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.core.caller import ANYBODY, Caller
from gateway.core.dtypes import DType
from gateway.core.errors import GatewayError, ModelNotFound
from gateway.core.messages import Done, InferRequest, InferResponse, StreamSink
from gateway.core.model import ModelSpec
from gateway.core.statistics import BatchStatistics, MemoryUsage, ResponseStatistics, Spent, VersionStatistics
from gateway.core.tensor import Buffer
from gateway.core.tensor_spec import TensorSpec
from gateway.pipeline.service import Described, ModelDescription
from gateway.pipeline.statistics import Counted
from gateway.wire.exchange import Exchange, Head, Headers, Peer

FRAUD = ModelSpec(
    "fraud",
    3,
    "onnxruntime_onnx",
    "onnxruntime",
    (TensorSpec("features", DType.FP32, (30,)),),
    (TensorSpec("score", DType.FP32, (1,)),),
    max_batch_size=64,
)

# Every number is another one, so that none can stand in another's place; some need 64 bits.
COUNTED = VersionStatistics(
    "fraud",
    3,
    1_700_000_000_001,
    12,
    5,
    Spent(7, 1 << 63),
    Spent(2, 22),
    Spent(8, 33),
    Spent(9, 44),
    Spent(10, 55),
    Spent(11, 66),
    (
        BatchStatistics(1, Spent(3, 1), Spent(3, 2), Spent(3, 3)),
        BatchStatistics(4, Spent(2, 4), Spent(2, 5), Spent(2, 6)),
    ),
    (ResponseStatistics(2, Spent(21, 31), Spent(22, 32), Spent(23, 33), Spent(24, 34)),),
    (MemoryUsage("CPU", 0, 77),),
)
NOT_CALLED = VersionStatistics("fraud", 1)


class FakeAsk:
    """A question that is not answered yet."""

    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


def identity(request: InferRequest) -> InferResponse | GatewayError:
    """Answers with the inputs, or those of them that were asked for, under the request's id."""
    wanted = {output.name for output in request.outputs} or {tensor.name for tensor in request.inputs}
    outputs = tuple([tensor for tensor in request.inputs if tensor.name in wanted])
    version = request.version if isinstance(request.version, int) else 3
    return InferResponse(request.model, version or 1, outputs, request.id, request.parameters)


class FakeLease:
    """Counts its holds; one is out when it is made."""

    def __init__(self) -> None:
        self.holds = 1

    def hold(self) -> None:
        self.holds += 1

    def release(self) -> None:
        assert self.holds > 0, "released more often than held"
        self.holds -= 1


class FakeTicket:
    """A request that waits for `FakeInferenceService.finish`."""

    def __init__(self, request: InferRequest, done: Done) -> None:
        self.request = request
        self.done = done
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeStream(FakeTicket):
    """A stream whose answers a test gives by `sink`."""

    version = 3

    def __init__(self, request: InferRequest, sink: StreamSink) -> None:
        super().__init__(request, lambda _: None)
        self.sink = sink
        self.resumed = 0

    def resume(self) -> None:
        self.resumed += 1


class FakeInferenceService:
    """Answers at once with `run`, or, when `holds`, once a test calls `finish` on a ticket."""

    def __init__(
        self, run: Callable[[InferRequest], InferResponse | GatewayError] = identity, *, holds: bool = False
    ) -> None:
        self.run = run
        self.streams = False
        self.holds = holds
        self.models = {"fraud": ModelDescription(FRAUD, (1, 3))}
        self.not_ready: set[str] = set()
        self.live = self.ready = True
        self.requests: list[InferRequest] = []
        self.callers: list[Caller] = []
        self.answers: list[tuple[InferRequest, int, Caller]] = []
        self.tickets: list[Any] = []
        self.refusals: list[tuple[str, GatewayError]] = []
        self.asks: list[FakeAsk] = []

    def infer(self, request: InferRequest, done: Done, caller: Caller = ANYBODY) -> FakeTicket | None:
        self.requests.append(request)
        self.callers.append(caller)
        if self.holds:
            self.tickets.append(FakeTicket(request, done))
            return self.tickets[-1]
        self.finish(FakeTicket(request, done))
        return None

    def stream(
        self, request: InferRequest, sink: StreamSink, caller: Caller = ANYBODY
    ) -> FakeTicket | FakeStream | None:
        """As `infer`; when `streams`, what a test tells by the ticket."""
        if self.streams:
            self.requests.append(request)
            self.callers.append(caller)
            self.tickets.append(FakeStream(request, sink))
            return self.tickets[-1]

        def done(result: InferResponse | GatewayError) -> None:
            if isinstance(result, GatewayError):
                sink.on_end(result)
            else:
                sink.on_response(result, is_last=True)

        return self.infer(request, done, caller)

    def finish(self, ticket: FakeTicket) -> None:
        """Answers a request and lets go of its lease, as the pipeline does."""
        result = self.run(ticket.request)
        if ticket.request.lease is not None:
            ticket.request.lease.release()
        if not ticket.is_cancelled:
            ticket.done(result)

    def refused(self, protocol: str, error: GatewayError, model: str = "", caller: Caller = ANYBODY) -> None:
        self.refusals.append((protocol, error))

    def describe(self, model: str, version: int, described: Described, caller: Caller = ANYBODY) -> None:
        found = self.models.get(model)
        described(self._unknown(model) if found is None else found)

    def statistics(
        self, model: str, version: int, counted: Counted, caller: Caller = ANYBODY
    ) -> FakeAsk | None:
        """Of version 3 alone where it is named, else of version 1 too."""
        if self.holds:
            self.asks.append(FakeAsk())
            return self.asks[-1]
        if model and model not in self.models:
            counted(self._unknown(model))
        else:
            counted((COUNTED,) if version else (NOT_CALLED, COUNTED))
        return None

    def is_live(self) -> bool:
        return self.live

    def is_ready(self) -> bool:
        return self.ready

    def resolve(self, model: str, version: int | str) -> int:
        """Models have version 3."""
        return 3 if model in self.models else 0

    def answered(self, request: InferRequest, version: int, caller: Caller) -> None:
        self.answers.append((request, version, caller))

    def is_published(self, model: str, version: int | str) -> bool:
        """Version 3 answers, and any label is one."""
        return version in (0, 3) or isinstance(version, str)

    def is_model_ready(self, model: str, version: int, caller: Caller = ANYBODY) -> bool:
        found = self.models.get(model)
        if found is None or (version and version not in found.versions):
            raise self._unknown(model)
        return model not in self.not_ready

    @staticmethod
    def _unknown(model: str) -> ModelNotFound:
        return ModelNotFound(f"Request for unknown model: '{model}' is not found")


class FakeExchange(Exchange):
    """Keeps the one answer it is given; `write_now` False keeps `on_written` for the test to call."""

    def __init__(self, head: Head, *, write_now: bool = True) -> None:
        self.head = head
        self.peer = Peer(("127.0.0.1", 1))
        self.caller = ANYBODY
        self.on_gone = None
        self.on_writable = None
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.trailers: dict[bytes, bytes] = {}
        self.body = b""
        self.parts: tuple[Buffer, ...] = ()
        self.write_now = write_now
        self.on_written: Callable[[], None] | None = None
        self.writable = True
        self.is_reading = True
        self.has_ended = False

    def respond(
        self,
        status: int,
        headers: Headers,
        body: Buffer | tuple[Buffer, ...] = b"",
        trailers: Headers = (),
        on_written: Callable[[], None] | None = None,
    ) -> None:
        assert self.is_open, "answered twice"
        self.start(status, headers)
        self.parts = body if isinstance(body, tuple) else (body,)
        self.body = b"".join(self.parts)
        self.finish(trailers)
        self.on_written = on_written
        if on_written is not None and self.write_now:
            on_written()

    def start(self, status: int, headers: Headers) -> None:
        assert self.status == 0, "started twice"
        self.status = status
        self.headers = dict(headers)

    def write(self, data: Buffer) -> None:
        assert self.status, "wrote before start"
        assert not self.has_ended, "wrote after the end"
        self.body += data

    def finish(self, trailers: Headers = ()) -> None:
        assert self.status, "finished before start"
        assert not self.has_ended, "finished twice"
        self.trailers = dict(trailers)
        self.has_ended = True

    def abort(self) -> None:
        self.has_ended = True

    @property
    def is_writable(self) -> bool:
        return self.writable

    @property
    def is_open(self) -> bool:
        return not self.has_ended

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True
