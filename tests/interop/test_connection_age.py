"""A client that stays: its connections are recycled under it, and it never sees a failed call.

`GATEWAY_LONG_CALLS` sets how many calls the long one makes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator
from pathlib import Path

import grpc
import numpy as np
import pytest

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.onnx_files import identity

LONG_CALLS = int(os.environ.get("GATEWAY_LONG_CALLS", "200000"))
CALLS = 5000
WINDOW = 50
METHOD = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    identity(folder / "echo" / "1")
    return folder


@pytest.fixture
def served(models: Path, request: pytest.FixtureRequest) -> Generator[Gateway]:
    """A gateway whose connections live for as many seconds as the test's parameter says; 0 is for ever."""
    environment = {"GATEWAY_WIRE__MAX_CONNECTION_AGE_S": str(request.param)}
    with gateway(models, "--insecure-dev", "--fronts", "2", environment=environment) as running:
        yield running
        assert running.stop() == 0, running.log.read_text()


def message(number: int) -> pb.ModelInferRequest:
    array = np.array([[number]], np.float32)
    made = pb.ModelInferRequest(model_name="echo", raw_input_contents=[array.tobytes()])
    made.inputs.add(name="X", datatype="FP32", shape=[1, 1])
    return made


def call_and_check(channel: grpc.Channel, count: int) -> None:
    """Makes `count` calls, `WINDOW` of them under way at any time; each must bring its own number back."""
    infer = channel.unary_unary(
        METHOD,
        request_serializer=lambda made: made.SerializeToString(),
        response_deserializer=pb.ModelInferResponse.FromString,
    )
    waiting: deque[tuple[int, grpc.Future]] = deque()
    for number in range(count + WINDOW):
        if len(waiting) == WINDOW or number >= count:
            expected, future = waiting.popleft()
            answer = future.result()
            assert np.frombuffer(answer.raw_output_contents[0], np.float32)[0] == expected
        if number < count:
            waiting.append((number, infer.future(message(number), timeout=30)))
        if not waiting:
            break


def accepted(served: Gateway, channel_calls: int, count: int) -> None:
    with grpc.insecure_channel(served.grpc) as channel:
        for _ in range(channel_calls):
            call_and_check(channel, count)


@pytest.mark.parametrize("served", [0.3], indirect=True)
def test_recycled_connections_cost_no_call(served: Gateway) -> None:
    """Some ten recyclings while calls are under way."""
    accepted(served, 1, CALLS)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("served", [0, 5], indirect=True)
def test_two_hundred_thousand_calls(served: Gateway) -> None:
    """On one connection that lives for ever, and on connections of five seconds each."""
    accepted(served, 1, LONG_CALLS)
