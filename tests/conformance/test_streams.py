"""Any number of answers: the same ones, and the same end, by events and by both engines of gRPC."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack

import grpc
import pytest

from tests.conformance.streams import STREAMS, Events, Rpc, Stream, StreamCase, StreamDoor
from tests.conformance.test_conformance import CONTRACT
from tests.fakes.gateway_process import Gateway

EVENTS = "events"
INSIDE = ("native, told inside", "grpcio, told inside")
STATUS = ("native, by status", "grpcio, by status")


@pytest.fixture(scope="module")
def stream_doors(gateways: Mapping[str, Gateway]) -> Generator[Mapping[str, StreamDoor]]:
    with ExitStack() as stack:
        doors: dict[str, StreamDoor] = {EVENTS: Events(gateways["native"].http)}
        for engine, running in gateways.items():
            channel = stack.enter_context(grpc.insecure_channel(running.grpc))
            doors[f"{engine}, told inside"] = Rpc(channel, ends_at_error=False)
            doors[f"{engine}, by status"] = Rpc(channel, ends_at_error=True)
        yield doors


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.id)
def test_every_door_tells_the_same_stream(stream_doors: Mapping[str, StreamDoor], case: StreamCase) -> None:
    told = {name: door.ask(case) for name, door in stream_doors.items()}
    for name, stream in told.items():
        assert stream.answers == case.answers, name
    if case.failure is None:
        assert all((stream.reason, stream.text) == ("", "") for stream in told.values()), told
    else:
        check_failure(case, told)


def check_failure(case: StreamCase, told: Mapping[str, Stream]) -> None:
    assert case.failure is not None
    http, rpc = CONTRACT[case.failure.code]
    late = case.failure.code if case.answers else f"{http} {case.failure.code}"
    assert told[EVENTS].reason == late
    assert {told[name].reason for name in STATUS} == {rpc}
    assert {told[name].reason for name in INSIDE} == {""}, "a stream that tells its errors inside ends well"
    (text,) = {stream.text for stream in told.values()}
    assert case.failure.words in text
