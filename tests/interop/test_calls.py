"""Models that call other models, behind a gateway started as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
import pytest

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.calling_files import add_callers
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.waiting import until_blocking

# The tests below kill more workers of one model in a minute than the default takes for a crash loop.
CRASHES = {"GATEWAY_WORKERS__CRASH_LIMIT": "20", "GATEWAY_WORKERS__RESTART_BACKOFF_S": "0.05"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    add_callers(root)
    return root


@pytest.fixture(scope="module")
def running(repository: Path) -> Generator[Gateway]:
    with gateway(repository, "--insecure-dev", environment=CRASHES) as started:
        yield started
        assert started.stop() == 0, started.log.read_text()


def body(how: str, *x: float, **more: Any) -> dict[str, Any]:
    inputs = [
        {"name": "X", "datatype": "FP32", "shape": [len(x)], "data": x},
        {"name": "HOW", "datatype": "BYTES", "shape": [1], "data": [how]},
    ]
    return {"inputs": inputs, **more}


def ask(running: Gateway, how: str, *x: float, **more: Any) -> tuple[list[float], str]:
    """What the caller answers, and what it notes."""
    status, answer, _ = running.infer("caller", body(how, *x, **more), timeout_s=30)
    assert status == 200, answer
    y, note = (one["data"] for one in answer["outputs"])
    return y, note[0]


# ---- what comes back -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "x", "y"),
    [
        ("two_in_turn", [3, 4], [12, 16]),
        ("gather", [1], [2, 4, 6, 8]),
        ("threads", [1], [100]),
        ("one_as_many", [2], [4]),
        ("counted", [5], [0, 1, 2, 3, 4]),
        ("counted_later", [3], [0, 1, 2, 0, 1]),
        ("counted_in_part", [7], [7]),
        ("large", [10], [10]),
        ("large", [300_000], [300_000]),
        ("slow_later", [0], [0]),
    ],
)
def test_a_file_for_triton_calls_others(running: Gateway, how: str, x: list[float], y: list[float]) -> None:
    assert ask(running, how, *x) == (y, "")


@pytest.mark.parametrize("size", [1, 300_000])
def test_texts_come_back(running: Gateway, size: int) -> None:
    assert ask(running, "texts", size)[1] == f"0 {size} 5"


@pytest.mark.parametrize(
    ("how", "note"),
    [
        ("missing", "2 Request for unknown model: 'nobody' is not found"),
        ("raising", "1 RuntimeError: thirteen, as table.csv says"),
        ("refusing", "3 X must not have a 14"),
        ("misfitting", "3 inference input 'X' of model 'own' has datatype INT64, the model expects FP32"),
        ("mistyped", "3 a call that cannot be sent: Expected `str`, got `int` - at `$.id`"),
        ("counted_once", "5 the model is decoupled: a call of it must be one for several answers"),
        ("itself", "5 a model cannot be called from within its own execution: caller/1 calls caller/1"),
        ("initialized", "other models can be called only while a request is executed"),
    ],
)
def test_what_fails_is_a_response_with_an_error(running: Gateway, how: str, note: str) -> None:
    assert ask(running, how, 1.0) == ([1.0], note)


def test_an_error_is_the_last_of_several_responses(running: Gateway) -> None:
    assert ask(running, "counted", 30) == (list(range(29)), "RuntimeError: no answer 29")


def test_more_calls_at_a_time_than_there_may_be(running: Gateway) -> None:
    assert ask(running, "many", 1.0) == ([128.0], "128 calls are under way already")


def test_an_error_that_the_caller_does_not_expect_fails_its_request(running: Gateway) -> None:
    status, answer, _ = running.infer("caller", body("untold", 1))
    assert (status, answer["code"]) == (500, "MODEL_FAILED")
    assert answer["error"] == "TritonModelException: RuntimeError: thirteen, as table.csv says"


@pytest.mark.parametrize("model", ["ping", "into_round"])
def test_models_that_call_each_other_in_a_circle_do_not_wait(running: Gateway, model: str) -> None:
    x = {"name": "X", "datatype": "FP32", "shape": [1], "data": [1.0]}
    status, answer, _ = running.infer(model, {"inputs": [x]})
    assert status == 500
    way = {"ping": "ping/1 calls pong/1 calls ping/1", "into_round": "into_round/1 calls into_round/1"}
    assert answer["error"].endswith(f"within its own execution: {way[model]}")
    assert ask(running, "two_in_turn", 1) == ([4.0], "")


def test_what_a_batch_leaves_behind_is_over(running: Gateway) -> None:
    ask(running, "left_behind", 0.2)
    until_blocking(lambda: "later" in ask(running, "what_was_left", 1)[1])
    assert ask(running, "what_was_left", 1)[1] == (
        "7 the request whose execution made this call has ended "
        "later: other models can be called only while a request is executed"
    )


def test_calls_are_counted_as_requests(running: Gateway) -> None:
    def counted() -> int:
        _, answer, _ = running.ask("/v2/models/own/stats")
        return int(answer["model_stats"][0]["inference_stats"]["success"]["count"])

    before = counted()
    ask(running, "gather", 1)
    assert counted() == before + 2


# ---- through gRPC, and in this house's class ------------------------------------------------------


def test_through_grpc(running: Gateway) -> None:
    message = pb.ModelInferRequest(model_name="caller")
    message.inputs.add(name="X", datatype="FP32", shape=[2])
    message.inputs.add(name="HOW", datatype="BYTES", shape=[1])
    message.raw_input_contents.append(np.array([1, 2], "<f4").tobytes())
    message.raw_input_contents.append(b"\x0b\0\0\0two_in_turn")
    with grpc.insecure_channel(running.grpc) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelInferResponse.FromString,
        )
        answer = call(message, timeout=10)
    assert np.frombuffer(answer.raw_output_contents[0], "<f4").tolist() == [4, 8]


@pytest.mark.parametrize(
    ("model", "count", "answers"),
    [("own_caller", 4, [0, 4, 8, 12, 0, -404]), ("relay", 300, [2 * index for index in range(300)])],
)
def test_models_that_stream_call_others(running: Gateway, model: str, count: int, answers: list[int]) -> None:
    message = pb.ModelInferRequest(model_name=model)
    message.inputs.add(name="N", datatype="INT32", shape=[1])
    message.raw_input_contents.append(np.array([count], "<i4").tobytes())
    with grpc.insecure_channel(running.grpc) as channel:
        call = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelStreamInferResponse.FromString,
        )
        got = list(call(iter([message]), timeout=20))
    assert [one.error_message for one in got if one.error_message] == []
    assert [int(np.frombuffer(one.infer_response.raw_output_contents[0], "<i4")[0]) for one in got] == answers


# ---- trouble -------------------------------------------------------------------------------------


class Slow:
    """A request to the caller, in a thread, that calls the sleeper for so many seconds."""

    def __init__(self, running: Gateway, repository: Path, seconds: float) -> None:
        self.asleep, self.calling = repository / "sleeper/1/asleep", repository / "caller/1/calling"
        for file in (self.asleep, self.calling):
            file.unlink(missing_ok=True)
        self.found: list[tuple[int, Any]] = []
        self.thread = threading.Thread(target=self.run, args=(running, seconds))
        self.thread.start()

    def run(self, running: Gateway, seconds: float) -> None:
        self.found.append(running.infer("caller", body("slow", seconds), timeout_s=30)[:2])

    def kill(self, file: Path) -> None:
        """Kills the process that `file` names, once it has written it anew."""
        until_blocking(lambda: file.exists() and file.read_text())
        pid = int(file.read_text())
        file.unlink()
        os.kill(pid, signal.SIGKILL)

    def answer(self) -> tuple[int, Any]:
        self.thread.join(30)
        return self.found[0]


def test_a_called_worker_that_dies_is_asked_again(running: Gateway, repository: Path) -> None:
    slow = Slow(running, repository, 0.4)
    slow.kill(slow.asleep)
    assert slow.answer()[0] == 200


def test_one_that_dies_twice_is_an_error_of_the_call(running: Gateway, repository: Path) -> None:
    slow = Slow(running, repository, 0.7)
    slow.kill(slow.asleep)
    slow.kill(slow.asleep)
    status, answer = slow.answer()
    assert (status, answer["code"]) == (500, "MODEL_FAILED")
    assert "died twice while running this request" in answer["error"]
    assert ask(running, "two_in_turn", 1) == ([4.0], "")


def test_a_caller_that_dies_runs_again_and_its_call_is_given_up(running: Gateway, repository: Path) -> None:
    slow = Slow(running, repository, 0.4)
    until_blocking(slow.asleep.exists)
    slow.kill(slow.calling)
    assert slow.answer()[0] == 200


def test_a_deadline_ends_the_call_too(running: Gateway) -> None:
    status, answer, _ = running.infer("caller", body("slow", 2, parameters={"timeout": 200_000}))
    assert (status, answer["code"]) == (504, "DEADLINE_EXCEEDED")
    assert ask(running, "two_in_turn", 1) == ([4.0], "")


def test_a_caller_whose_client_goes_is_free_at_once(running: Gateway, repository: Path) -> None:
    """The sleeper sleeps on; the model that called it is told that nobody waits."""
    calling = repository / "caller/1/calling"
    calling.unlink(missing_ok=True)
    text = json.dumps(body("slow", 4)).encode()
    address = urlsplit(running.http)
    with socket.create_connection((address.hostname, address.port)) as client:
        head = f"POST /v2/models/caller/infer HTTP/1.1\r\nHost: h\r\nContent-Length: {len(text)}\r\n\r\n"
        client.sendall(head.encode() + text)
        until_blocking(calling.exists)
    assert ask(running, "two_in_turn", 1) == ([4.0], "")
    until_blocking(lambda: "nobody waits any more" in running.log.read_text())


def test_a_front_that_dies_takes_its_calls_with_it(running: Gateway, repository: Path) -> None:
    """Last: the address stays, the connection is lost. The worker goes on, for the next front."""
    calling = repository / "caller/1/calling"
    calling.unlink(missing_ok=True)
    request = urllib.request.Request(
        running.http + "/v2/models/caller/infer", json.dumps(body("slow", 4)).encode()
    )
    lost: list[Exception] = []

    def ask_slowly() -> None:
        try:
            urllib.request.urlopen(request, timeout=30)
        except OSError as error:
            lost.append(error)

    thread = threading.Thread(target=ask_slowly)
    thread.start()
    until_blocking(calling.exists)
    (front,) = running.processes("front")
    worker = int(calling.read_text())
    running.kill(front)
    thread.join(10)
    running.wait_for_replacement("front")
    until_blocking(running.is_healthy, 10)
    assert lost
    assert ask(running, "two_in_turn", 1) == ([4.0], "")
    assert worker in [one.pid for one in running.processes("gateway-worker")]
