"""Models that answer any number of times, behind a gateway started as a user starts it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from gateway.generated import open_inference_pb2 as pb
from tests.bench.environments import Missing, environment
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.python_files import (
    COUNTER,
    COUNTER_CONFIG,
    DOUBLER_CONFIG,
    LATER_COUNTER,
    OWN,
    REPEAT,
    REPEAT_CONFIG,
    SHORT_COUNTER_CONFIG,
    add_model,
)
from tests.fakes.waiting import until_blocking

MIB = 1 << 20
ENGINES = ["native", "grpcio"]
# What says nothing about an engine of gRPC.
REST_ALONE = pytest.mark.parametrize("running", ["native"], indirect=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    add_model(root, "counter", COUNTER, COUNTER_CONFIG)
    add_model(root, "later", LATER_COUNTER, SHORT_COUNTER_CONFIG)
    add_model(root, "repeat_int32", REPEAT, REPEAT_CONFIG)
    add_model(root, "own", OWN, DOUBLER_CONFIG)
    return root


@pytest.fixture(scope="module", params=ENGINES)
def running(request: pytest.FixtureRequest, repository: Path) -> Generator[Gateway]:
    environment = {
        "GATEWAY_FRONTENDS__GRPC__ENGINE": request.param,
        # Shorter than a test may pause a call: an open conversation is not a body that comes too slowly.
        "GATEWAY_WIRE__BODY_IDLE_TIMEOUT_S": "1",
    }
    with gateway(repository, "--insecure-dev", environment=environment) as started:
        yield started
        assert started.stop() == 0, started.log.read_text()


# ---- clients -------------------------------------------------------------------------------------


def counter(n: int, *, fail_at: int = -1, rest_ms: int = 0, size: int = 0) -> dict[str, int]:
    return {"N": n, "FAIL_AT": fail_at, "REST_MS": rest_ms, "SIZE": size}


def generate(running: Gateway, model: str, body: Any, how: str = "generate_stream") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(running.http.removeprefix("http://"), timeout=30)
    try:
        connection.request("POST", f"/v2/models/{model}/{how}", json.dumps(body))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def events(body: bytes) -> list[Any]:
    return [json.loads(one.removeprefix(b"data: ")) for one in body.split(b"\n\n")[:-1]]


def request(
    model: str, identity: str = "", empty: bool = False, **inputs: np.ndarray
) -> pb.ModelInferRequest:
    made = pb.ModelInferRequest(model_name=model, id=identity)
    for name, array in inputs.items():
        datatype = {"f4": "FP32", "i4": "INT32", "u4": "UINT32"}[array.dtype.str[1:]]
        made.inputs.add(name=name, datatype=datatype, shape=array.shape)
        made.raw_input_contents.append(array.tobytes())
    if empty:
        made.parameters["triton_enable_empty_final_response"].bool_param = True
    return made


def count(n: int, identity: str = "", empty: bool = False, **more: int) -> pb.ModelInferRequest:
    inputs = {name: np.array([value], "<i4") for name, value in counter(n, **more).items()}
    return request("counter", identity, empty, **inputs)


def double(value: float, identity: str) -> pb.ModelInferRequest:
    return request("own", identity, X=np.array([[value]], "<f4"))


class Client:
    """A bidirectional call of grpcio's client."""

    def __init__(self, running: Gateway) -> None:
        self.channel = grpc.insecure_channel(running.grpc)
        self.stream = self.channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelStreamInferResponse.FromString,
        )
        self.unary = self.channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelInferResponse.FromString,
        )

    def ask(self, *requests: pb.ModelInferRequest, **more: Any) -> list[pb.ModelStreamInferResponse]:
        return list(self.stream(iter(requests), timeout=30, **more))


@pytest.fixture
def client(running: Gateway) -> Iterator[Client]:
    made = Client(running)
    yield made
    made.channel.close()


def first(message: pb.ModelStreamInferResponse) -> int:
    return int(np.frombuffer(message.infer_response.raw_output_contents[0], "<i4")[0])


def final(message: pb.ModelStreamInferResponse) -> bool:
    return message.infer_response.parameters["triton_final_response"].bool_param


def ended(repository: Path) -> str:
    """How the counter's last stream ended, once it has."""
    file = repository / "counter" / "1" / "ended"
    until_blocking(lambda: file.exists() and file.read_text() != "")
    text = file.read_text()
    file.unlink()
    return text


@pytest.fixture(autouse=True)
def forgotten(repository: Path) -> None:
    (repository / "counter" / "1" / "ended").unlink(missing_ok=True)


# ---- REST ----------------------------------------------------------------------------------------


@REST_ALONE
@pytest.mark.parametrize("model", ["counter", "later"])
@pytest.mark.parametrize("n", [0, 1, 100])
def test_an_event_for_each_answer(running: Gateway, model: str, n: int) -> None:
    status, body = generate(running, model, counter(n) if model == "counter" else {"N": n})
    assert (status, [one["I"] for one in events(body)]) == (200, list(range(n)))


@REST_ALONE
def test_errors_before_and_after_the_first_answer(running: Gateway) -> None:
    status, body = generate(running, "counter", counter(3, fail_at=0))
    assert (status, json.loads(body)["error"]) == (500, "RuntimeError: no answer 0")
    status, body = generate(running, "counter", counter(-1))
    assert (status, json.loads(body)["error"]) == (400, "N must not be negative")
    status, body = generate(running, "counter", counter(3, fail_at=2))
    *good, bad = events(body)
    assert (status, len(good), bad["error"]) == (200, 2, "RuntimeError: no answer 2")
    assert generate(running, "nobody", {})[0] == 404


@REST_ALONE
def test_generate_wants_exactly_one(running: Gateway) -> None:
    status, body = generate(running, "counter", counter(1), "generate")
    assert (status, json.loads(body)["I"]) == (200, 0)
    for n in (0, 2):
        status, body = generate(running, "counter", counter(n), "generate")
        assert status == 400
        assert json.loads(body)["error"].startswith("generate expects model to produce exactly 1 response")


@REST_ALONE
def test_other_models_have_one_event(running: Gateway) -> None:
    status, body = generate(running, "own", {"X": [[1, 2]]})
    assert (status, [one["Y"] for one in events(body)]) == (200, [[2.0, 4.0]])


def test_a_decoupled_model_has_no_single_answer(running: Gateway, client: Client) -> None:
    inputs = [{"name": "N", "datatype": "INT32", "shape": [1], "data": [2]}]
    status, answer, _ = running.infer("later", {"inputs": inputs})
    assert status == 501
    assert answer["error"] == "HTTP end point doesn't support models with decoupled transaction policy"
    with pytest.raises(grpc.RpcError) as caught:
        client.unary(count(1))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details() == "ModelInfer RPC doesn't support models with decoupled transaction policy"


def test_its_configuration_says_so(running: Gateway) -> None:
    for model in ("repeat_int32", "later"):
        assert generate(running, model, {"N": 0})[0] in {200, 400}  # it is loaded now
        _, config, _ = running.ask(f"/v2/models/{model}/config")
        assert config["model_transaction_policy"] == {"decoupled": True}


# ---- gRPC ----------------------------------------------------------------------------------------


def test_answers_and_their_end(client: Client) -> None:
    told = client.ask(count(3, "a"))
    assert [(first(one), one.infer_response.id, final(one)) for one in told] == [
        (0, "a", False),
        (1, "a", False),
        (2, "a", False),
    ]
    *_, last = client.ask(count(2, "a", empty=True))
    assert (last.infer_response.id, final(last), list(last.infer_response.outputs)) == ("a", True, [])
    (only,) = client.ask(count(0, "z", empty=True))
    assert (only.infer_response.id, only.infer_response.model_version, final(only)) == ("z", "1", True)
    assert client.ask(count(0)) == []


def test_repeat_int32_as_triton_s_own_client_asks_it(client: Client) -> None:
    values = list(range(100, 110))
    told = client.ask(
        request(
            "repeat_int32",
            IN=np.array(values, "<i4"),
            DELAY=np.array([index + 1 for index in range(10)], "<u4"),
            WAIT=np.array([5], "<u4"),
        )
    )
    assert [first(one) for one in told] == values
    indices = [np.frombuffer(one.infer_response.raw_output_contents[1], "<u4")[0] for one in told]
    assert indices == list(range(10))


def test_an_error_by_a_response_sender_is_one_of_the_answers(running: Gateway, client: Client) -> None:
    inputs = {"IN": [1, -2, 3], "DELAY": [0, 0, 0], "WAIT": [0]}
    arrays = {name: np.array(some, "<i4" if name == "IN" else "<u4") for name, some in inputs.items()}
    told = client.ask(request("repeat_int32", "a", empty=True, **arrays))
    assert [(one.infer_response.id, one.error_message) for one in told] == [
        *(("a", ""), ("a", "-2 is negative"), ("a", ""), ("a", "")),
    ]
    assert ([first(told[0]), first(told[2])], final(told[3])) == ([1, 3], True)
    status, body = generate(running, "repeat_int32", inputs)
    assert (status, [one.get("OUT", one.get("error")) for one in events(body)]) == (
        *(200, [1, "-2 is negative", 3]),
    )


def test_single_answers_keep_their_order(client: Client) -> None:
    told = client.ask(*(double(value, str(value)) for value in range(100, 150)))
    assert [one.infer_response.id for one in told] == [str(value) for value in range(100, 150)]
    assert all(final(one) for one in told)


def test_errors_stay_inside_the_call(client: Client) -> None:
    unknown = pb.ModelInferRequest(model_name="nobody", id="u")
    told = client.ask(double(1, "a"), unknown, double(13, "b"), double(2, "c"))
    assert [one.infer_response.id for one in told] == ["a", "u", "b", "c"]
    assert told[1].error_message == "Request for unknown model: 'nobody' is not found"
    assert told[2].error_message.startswith("RuntimeError: thirteen")
    told = client.ask(count(3, "d", fail_at=1), double(1, "e"))
    assert {one.infer_response.id: one.error_message for one in told} == {
        "d": "RuntimeError: no answer 1",
        "e": "",
    }


def test_or_end_it_where_the_client_wants_that(client: Client) -> None:
    call = client.stream(iter([count(3, fail_at=1)]), timeout=30, metadata=(("triton_grpc_error", "true"),))
    assert first(next(call)) == 0
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "RuntimeError: no answer 1"


def test_a_conversation_may_pause(client: Client) -> None:
    """Longer than a body may: nobody says how long half of a conversation takes."""

    def slowly() -> Iterator[pb.ModelInferRequest]:
        time.sleep(1.7)
        yield double(1, "a")
        time.sleep(1.7)
        yield double(2, "b")

    assert [one.infer_response.id for one in client.stream(slowly(), timeout=30)] == ["a", "b"]


def test_a_deadline_ends_the_call_and_the_model(client: Client, repository: Path) -> None:
    told: list[pb.ModelStreamInferResponse] = []
    for timeout_s in (0.3, 3.0, 30.0):  # the first in which it has begun
        with pytest.raises(grpc.RpcError) as caught:
            told.extend(client.stream(iter([count(10_000, rest_ms=5)]), timeout=timeout_s))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if told:
            break
    assert ended(repository).startswith("closed")


# ---- readers that are slow, or go ----------------------------------------------------------------


def test_a_client_that_goes_closes_the_generator(running: Gateway, client: Client, repository: Path) -> None:
    call = client.stream(iter([count(100_000, rest_ms=1)]))
    assert first(next(call)) == 0
    call.cancel()
    assert ended(repository).startswith("closed")
    connection = http.client.HTTPConnection(running.http.removeprefix("http://"), timeout=30)
    connection.request("POST", "/v2/models/counter/generate_stream", json.dumps(counter(100_000, rest_ms=1)))
    answer = connection.getresponse()
    assert answer.read(10)
    answer.close()
    connection.close()
    assert ended(repository).startswith("closed")


def slow_socket(running: Gateway, body: Any) -> socket.socket:
    """A client that asks for a stream and reads nothing."""
    host, port = running.http.removeprefix("http://").split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    sock.connect((host, int(port)))
    data = json.dumps(body).encode()
    head = (
        f"POST /v2/models/counter/generate_stream HTTP/1.1\r\nhost: a\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    sock.sendall(head.encode() + data)
    return sock


def resident(processes: Sequence[psutil.Process]) -> int:
    return sum(process.memory_info().rss for process in processes)


def given(repository: Path) -> int:
    return int.from_bytes((repository / "counter" / "1" / "given").read_bytes(), "little")


def has_stopped(repository: Path) -> bool:
    """True if for a second no further answer is given."""
    before = given(repository)
    time.sleep(1.0)
    return 1 < given(repository) == before


def used_s(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


@REST_ALONE
@pytest.mark.parametrize("size", [1000, 200_000])
def test_a_slow_reader_stops_the_model_and_fills_no_memory(
    running: Gateway, repository: Path, size: int
) -> None:
    generate(running, "counter", counter(200, size=size))
    ended(repository)
    family = [*running.processes("front"), *running.processes("gateway-worker")]
    before = resident(family)
    n = 2_000_000 // max(size // 100, 1)
    sock = slow_socket(running, counter(n, size=size))
    try:
        until_blocking(lambda: has_stopped(repository), 60)
        before_s = used_s(family)
        time.sleep(1.0)
        assert used_s(family) - before_s < 0.5, "somebody spins"
        assert not (repository / "counter" / "1" / "ended").exists(), "it was never stopped"
        assert resident(family) - before < 16 * MIB
    finally:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    assert ended(repository).startswith("closed")


@REST_ALONE
def test_what_a_slow_reader_reads_is_whole(running: Gateway) -> None:
    connection = http.client.HTTPConnection(running.http.removeprefix("http://"), timeout=30)
    connection.request("POST", "/v2/models/counter/generate_stream", json.dumps(counter(300, size=20_000)))
    answer = connection.getresponse()
    body = b""
    while piece := answer.read(100_000):
        body += piece
        time.sleep(0.005)
    connection.close()
    assert [one["I"] for one in events(body)] == list(range(300))


def test_a_slow_grpc_client_is_waited_for_too(client: Client, repository: Path) -> None:
    call = client.stream(iter([count(1000, size=100_000)]))
    assert first(next(call)) == 0
    time.sleep(1.0)
    assert not (repository / "counter" / "1" / "ended").exists()
    assert [first(one) for one in call] == list(range(1, 1000))
    assert ended(repository) == "all 1000"


@REST_ALONE
def test_one_after_the_other_in_one_instance(running: Gateway) -> None:
    told: list[tuple[int, bytes]] = []
    threads = [
        threading.Thread(target=lambda: told.append(generate(running, "counter", counter(20, rest_ms=5))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(status, len(events(body))) for status, body in told] == [(200, 20)] * 4


# ---- deaths --------------------------------------------------------------------------------------


def test_a_worker_that_dies_ends_the_stream_and_is_replaced(running: Gateway, client: Client) -> None:
    call = client.stream(iter([count(100_000, "a", rest_ms=5)]), timeout=60)
    assert first(next(call)) == 0
    for worker in running.processes("gateway-worker"):
        os.kill(worker.pid, signal.SIGKILL)
    *_, last = call
    assert (last.infer_response.id, last.error_message) == (
        "a",
        "the model's process died after the first answers to this request",
    )
    assert [first(one) for one in client.ask(count(2))] == [0, 1]


# ---- the official client -------------------------------------------------------------------------


@pytest.mark.timeout(600)  # the first run may have to install it
def test_tritonclient_streams(running: Gateway) -> None:
    try:
        python = environment("tritonclient", "tritonclient") / "bin" / "python"
    except Missing as missing:
        pytest.skip(f"tritonclient cannot be installed: {missing}")
    script = Path(__file__).with_name("stream_script.py")
    command = [str(python), str(script), running.grpc.removeprefix("http://")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    wrong = {check: why for check, why in json.loads(done.stdout).items() if why}
    assert not wrong, "\n".join(f"{check}:\n{why}" for check, why in wrong.items())


# ---- the end of the gateway ----------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_drain_lets_streams_end_and_ends_idle_calls(repository: Path, engine: str) -> None:
    with gateway(
        repository, "--insecure-dev", environment={"GATEWAY_FRONTENDS__GRPC__ENGINE": engine}
    ) as running:
        client = Client(running)
        wait = threading.Event()

        def idle() -> Iterator[pb.ModelInferRequest]:
            yield count(1)
            wait.wait(30)

        quiet = client.stream(idle())
        assert first(next(quiet)) == 0
        busy = client.stream(iter([count(20, rest_ms=50)]))
        assert first(next(busy)) == 0
        running.process.terminate()
        assert len(list(busy)) == 19
        with pytest.raises(grpc.RpcError) as caught:
            next(quiet)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        wait.set()
        assert running.process.wait(30) == 0
        client.channel.close()


def test_answers_are_counted_by_their_place(running: Gateway) -> None:
    def told() -> Any:
        (entry,) = running.ask("/v2/models/counter/stats")[1]["model_stats"]
        return entry["response_stats"]

    def count(place: int, kind: str) -> int:
        return int(told().get(str(place), {}).get(kind, {"count": 0})["count"])

    before = [(count(place, "success"), count(place, "fail")) for place in range(4)]
    empty = count(0, "empty_response")
    assert generate(running, "counter", counter(3))[0] == 200
    generate(running, "counter", counter(3, fail_at=1))
    generate(running, "counter", counter(0))
    after = [(count(place, "success"), count(place, "fail")) for place in range(4)]
    grown = [(now[0] - then[0], now[1] - then[1]) for now, then in zip(after, before, strict=True)]
    assert grown == [(2, 0), (1, 1), (1, 0), (0, 0)]
    assert count(0, "empty_response") == empty + 1
    assert told()["0"]["compute_infer"]["ns"] == told()["0"]["success"]["ns"] > 0
    with grpc.insecure_channel(running.grpc) as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ModelStatistics")
        request = pb.ModelStatisticsRequest(name="counter").SerializeToString()
        (same,) = pb.ModelStatisticsResponse.FromString(ask(request, timeout=10)).model_stats
    assert same.response_stats["1"].fail.count == after[1][1]
