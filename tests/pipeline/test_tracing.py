from __future__ import annotations

import numpy as np
import pytest

from gateway.core.errors import GatewayError
from gateway.core.trace_settings import Level, TraceSettings
from gateway.pipeline.tracing import Scope, Tracer
from gateway.telemetry.traced import Traced
from tests.fakes.specs import KeptStream, row_request
from tests.pipeline.test_pipeline import World

BOTH: tuple[Level, ...] = ("TIMESTAMPS", "TENSORS")


class Traces(World):
    """A front whose requests are traced as `settings` say."""

    def __init__(self, settings: TraceSettings) -> None:
        super().__init__()
        self.traces: list[Traced] = []
        self.tracer = Tracer(self.traces.append, self.loop, lambda: round(self.clock.now * 1e9), 5, 100)
        self.tracer.scopes = {"": Scope(settings, None)}
        self.pipeline.tracer = self.tracer
        self.world("ready")
        self.link = self.attach()

    def names(self) -> list[str]:
        (trace,) = self.traces
        return [name for name, _ in trace.events]


def test_a_request_is_told_by_its_times_and_its_tensors() -> None:
    world = Traces(TraceSettings(BOTH, 1))
    start = round(world.clock.now * 1e9)
    world.ask(2.0)
    world.clock.now += 0.25
    world.link.double()
    assert world.traces == [], "the answer goes first"
    world.loop.turn()
    (trace,) = world.traces
    end = start + 250_000_000
    assert (trace.number, trace.model, trace.version) == (5, "double", 1)
    assert trace.events == [
        ("REQUEST_START", start),
        ("QUEUE_START", start),
        ("COMPUTE_START", end - 5000),
        ("COMPUTE_INPUT_END", end - 5000),
        ("COMPUTE_OUTPUT_START", end),
        ("COMPUTE_END", end),
        ("REQUEST_END", end),
        ("HTTP_SEND_START", end),
        ("HTTP_SEND_END", end),
    ]
    given, made = trace.tensors
    assert (given.activity, made.activity) == ("TENSOR_QUEUE_INPUT", "TENSOR_BACKEND_OUTPUT")
    assert np.frombuffer(made.data, "<f4").tolist() == [4.0, 4.0]


def test_one_request_of_so_many_is_traced() -> None:
    world = Traces(TraceSettings(("TIMESTAMPS",), 3))
    for _ in range(7):
        world.ask()
        world.link.double()
        world.loop.turn()
    assert [trace.number for trace in world.traces] == [5, 6]
    assert all(trace.tensors == [] for trace in world.traces)


def test_a_models_own_settings_come_before_those_of_all() -> None:
    world = Traces(TraceSettings(("TIMESTAMPS",), 1))
    world.tracer.scopes = {**world.tracer.scopes, "double": Scope(TraceSettings(), None)}
    world.ask()
    world.link.double()
    world.loop.turn()
    assert world.traces == []
    world.tracer.scopes = {}
    world.ask()


def test_a_request_that_fails_or_is_given_up_is_traced_to_its_end() -> None:
    world = Traces(TraceSettings(("TIMESTAMPS",), 1))
    ticket = world.pipeline.infer(row_request(1.0), world.got.append)
    assert ticket is not None
    ticket.cancel()
    world.loop.turn()
    assert world.names() == ["REQUEST_START", "QUEUE_START", "REQUEST_END"]
    world.traces.clear()
    world.ask(request=row_request(1.0, width=3))
    assert isinstance(world.got[-1], GatewayError)
    world.loop.turn()
    assert world.names() == [
        *("REQUEST_START", "QUEUE_START", "REQUEST_END", "HTTP_SEND_START", "HTTP_SEND_END"),
    ]


def test_a_stream_is_traced_without_times_of_sending() -> None:
    world = Traces(TraceSettings(BOTH, 1))
    world.pipeline.stream(row_request(2.0), KeptStream())
    world.loop.turn()
    world.link.double()
    world.loop.turn()
    assert world.names()[-1] == "REQUEST_END"
    (trace,) = world.traces
    assert [tensor.activity for tensor in trace.tensors] == ["TENSOR_QUEUE_INPUT", "TENSOR_BACKEND_OUTPUT"]


def test_parts_of_an_ensemble_are_no_requests_of_their_own() -> None:
    world = Traces(TraceSettings(("TIMESTAMPS",), 1))
    world.ask(request=row_request(1.0, protocol="ensemble"))
    world.link.double()
    world.loop.turn()
    assert world.traces == []


@pytest.mark.parametrize("levels", [(), ("TIMESTAMPS",)])
def test_a_scope_that_is_off_samples_nothing(levels: tuple[Level, ...]) -> None:
    assert Scope(TraceSettings(levels, 1), None).samples() is bool(levels)
