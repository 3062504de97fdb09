"""A gateway in front of other servers, started as a user starts it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.remote_models import add_remote
from tests.fakes.upstream import Served
from tests.fakes.waiting import until_blocking

CERTIFICATES = Path("tests/wire/certificates").absolute()
SIXTEEN = list(range(16))
SIMPLE = {
    "inputs": [
        {"name": name, "datatype": "INT32", "shape": [1, 16], "data": SIXTEEN}
        for name in ("INPUT0", "INPUT1")
    ]
}
MISFIT = 'max_batch_size: 8 input { name: "Z" data_type: TYPE_FP32 dims: 1 }'
PAIR = {"inputs": [{"name": "X", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}
INFER = "/v2/models/m/infer"
QUICK = {"probe_interval_ms": "100", "open_ms": "100", "failures_to_open": "2"}
SLOW = {"max_in_flight": "32", "probe_interval_ms": "600000"}


TLS = {
    "GATEWAY_TLS__CERTIFICATE": f"{CERTIFICATES}/server.pem",
    "GATEWAY_TLS__KEY": f"{CERTIFICATES}/server.key",
    "GATEWAY_TLS__CLIENT_CA": f"{CERTIFICATES}/authority.pem",
}
PROOF = {
    "ca_file": f"{CERTIFICATES}/server.pem",
    "cert_file": f"{CERTIFICATES}/client.pem",
    "key_file": f"{CERTIFICATES}/client.key",
    "model_name": "simple",
}


class World(NamedTuple):
    """`front` is before another gateway, which wants certificates, and before `served`: that is the test."""

    front: Gateway
    served: Served


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    root = tmp_path_factory.mktemp("models")
    with Served() as served, gateway(Path("model_repo"), environment=TLS) as back:
        port = back.http.rpartition(":")[2]
        add_remote(root, "over_http", f"https://127.0.0.1:{port}", **PROOF, model_version="1")
        add_remote(root, "over_grpc", f"grpcs://localhost:{port}", **PROOF)
        add_remote(root, "misfit", f"https://127.0.0.1:{port}", MISFIT, **PROOF)
        add_remote(root, "untrusted", f"https://127.0.0.1:{port}", model_name="simple")
        add_remote(root, "played", served.url, model_name="m", **SLOW)
        add_remote(root, "shedding", served.url, model_name="m", retries="0", **SLOW)
        add_remote(root, "unknown", served.url)
        add_remote(root, "unsound", "file:///etc/passwd")
        with gateway(root, "--insecure-dev") as front:
            yield World(front, served)
            assert front.stop() == 0, front.log.read_text()


@pytest.mark.parametrize("model", ["over_http", "over_grpc"])
def test_a_model_of_another_gateway_answers_as_there(world: World, model: str) -> None:
    status, body, _ = world.front.infer(model, SIMPLE)
    assert status == 200, body
    assert [output["data"] for output in body["outputs"]] == [[2 * one for one in SIXTEEN], [0] * 16]
    status, metadata, _ = world.front.ask(f"/v2/models/{model}")
    tensors = [*metadata["inputs"], *metadata["outputs"]]
    assert [one["name"] for one in tensors] == ["INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1"]
    assert all((one["datatype"], one["shape"]) == ("INT32", [-1, 16]) for one in tensors)
    assert metadata["platform"] == "remote"


@pytest.mark.parametrize("model", ["over_http", "over_grpc"])
def test_a_request_that_is_wrong_is_refused_here(world: World, model: str) -> None:
    wrong = {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1, 16], "data": SIXTEEN}]}
    assert world.front.infer(model, wrong)[0] == 400


def test_callers_do_not_learn_where_the_upstream_is(world: World) -> None:
    world.front.infer("over_http", SIMPLE)
    status, config, _ = world.front.ask("/v2/models/over_http/config")
    assert status == 200
    assert set(config["parameters"]) == {"model_name", "model_version"}
    assert "127.0.0.1" not in json.dumps(config)


def test_what_cannot_be_served_says_why(world: World) -> None:
    for model, words in (
        ("unknown", "does not tell of its model"),
        ("misfit", "unexpected input 'Z'"),
        ("untrusted", "its certificate is not one that is trusted"),
        ("unsound", "parameters['url']: must be given, and begin with"),
    ):
        status, body, _ = world.front.infer(model, PAIR)
        assert status == 503
        assert words in body["error"], body


def test_many_requests_are_under_way_in_one_worker(world: World) -> None:
    served, front = world.served, world.front
    front.infer("played", PAIR)
    before, say = len(served.asked), served.answers[INFER]
    served.hang_now(INFER)
    threads = [threading.Thread(target=front.infer, args=("played", PAIR)) for _ in range(20)]
    for thread in threads:
        thread.start()
    try:
        until_blocking(lambda: len(served.asked) == before + 20)
    finally:
        served.answers[INFER] = say
        served.let_go()
    for thread in threads:
        thread.join(10)


def test_a_worker_that_is_killed_takes_none_of_its_many_requests_along(world: World) -> None:
    served, front = world.served, world.front
    front.infer("played", PAIR)
    before, say = len(served.asked), served.answers[INFER]
    served.hang_now(INFER)
    told: list[int] = []
    threads = [
        threading.Thread(target=lambda: told.append(front.infer("played", PAIR, 30)[0])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    try:
        until_blocking(lambda: len(served.asked) == before + 8)
    finally:
        served.answers[INFER] = say
    for worker in front.processes("gateway-worker"):
        front.kill(worker)
    for thread in threads:
        thread.join(30)
    assert told == [200] * 8


def test_the_callers_time_and_its_end_reach_the_upstream(world: World) -> None:
    served, front = world.served, world.front
    front.infer("played", PAIR)
    say = served.answers[INFER]
    gone = served.hang_now(INFER)
    status, body, _ = front.infer("played", {**PAIR, "parameters": {"timeout": 200_000}})
    assert (status, body["code"]) == (504, "DEADLINE_EXCEEDED")
    until_blocking(gone.is_set)
    gone, before = served.hang_now(INFER), len(served.asked)
    host, port = front.http.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as caller:
        data = json.dumps(PAIR).encode()
        head = f"POST /v2/models/played/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(data)}\r\n\r\n"
        caller.sendall(head.encode() + data)
        until_blocking(lambda: len(served.asked) > before)
        assert not gone.is_set()
    until_blocking(gone.is_set)
    served.answers[INFER] = say


@pytest.mark.parametrize(
    ("status", "headers", "expected", "code"),
    [
        (400, {}, 400, "INVALID_INPUT"),
        (404, {}, 503, "OVERLOADED"),
        (429, {"Retry-After": "7"}, 503, "OVERLOADED"),
        (500, {}, 500, "MODEL_FAILED"),
        (503, {"Retry-After": "9"}, 503, "OVERLOADED"),
        (504, {}, 504, "DEADLINE_EXCEEDED"),
        (200, {}, 500, "MODEL_FAILED"),
    ],
)
def test_what_an_upstream_says_keeps_its_meaning(
    world: World, status: int, headers: Mapping[str, str], expected: int, code: str
) -> None:
    served = world.served
    assert world.front.infer("shedding", PAIR)[0] == 200  # so that no failures in a row add up
    say = served.answers[INFER]
    served.say(INFER, {"error": "of the upstream"}, status=status, headers=dict(headers))
    found, body, answered = world.front.infer("shedding", PAIR)
    served.answers[INFER] = say
    assert (found, body["code"]) == (expected, code), body
    assert "127.0.0.1" not in body["error"]
    if "Retry-After" in headers:
        assert answered["retry-after"] == headers["Retry-After"]
    if status != 200:
        assert "of the upstream" in body["error"]


def test_over_grpc_too_it_is_told_when_to_come_again(world: World) -> None:
    served = world.served
    world.front.infer("shedding", PAIR)
    say = served.answers[INFER]
    served.say(INFER, {"error": "busy"}, status=503, headers={"Retry-After": "3"})
    request = pb.ModelInferRequest(model_name="shedding", raw_input_contents=[bytes(8)])
    request.inputs.add(name="X", datatype="FP32", shape=[2])
    with grpc.insecure_channel(world.front.grpc) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as caught:
            call(request.SerializeToString(), timeout=1)
    served.answers[INFER] = say
    error: Any = caught.value
    assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


def test_configurations_of_callers_name_no_upstream(world: World) -> None:
    config = json.dumps({"backend": "remote", "parameters": {"url": {"string_value": world.served.url}}})
    path = "/v2/repository/models/played/load"
    status, body, _ = world.front.ask(path, {"parameters": {"config": config}})
    assert status == 400
    assert "'remote'" in body["error"]


def test_an_upstream_that_dies_is_shut_out_until_it_is_back(tmp_path: Path) -> None:
    ports = [str(_free_port()) for _ in range(2)]
    flags = ("--http-port", ports[0], "--grpc-port", ports[1])
    add_remote(tmp_path, "h", f"http://127.0.0.1:{ports[0]}", model_name="simple", **QUICK)
    add_remote(tmp_path, "g", f"grpc://127.0.0.1:{ports[1]}", model_name="simple", **QUICK)
    with gateway(tmp_path) as front:
        with gateway(Path("model_repo"), *flags) as back:
            for model in "hg":
                assert front.infer(model, SIMPLE)[0] == 200
                assert front.ask(f"/v2/models/{model}/ready")[0] == 200
            back.process.kill()
        for model in "hg":
            until_blocking(lambda path=f"/v2/models/{model}/ready": front.ask(path)[0] != 200, 20)
            for _ in range(5):
                status, body, headers = front.infer(model, SIMPLE)
                assert (status, body["code"]) == (503, "OVERLOADED")
                assert int(headers["retry-after"]) >= 1
            trips = f'gateway_upstream_breaker_trips_total{{model="{model}",version="1"}}'
            until_blocking(lambda trips=trips: front.page().get(trips, 0) >= 1, 10)
            state = f'gateway_upstream_breaker_state{{model="{model}",state="open",version="1"}}'
            assert state in front.page()
        with gateway(Path("model_repo"), *flags):
            for model in "hg":
                until_blocking(lambda model=model: front.infer(model, SIMPLE)[0] == 200, 60)
                assert front.ask(f"/v2/models/{model}/ready")[0] == 200
        assert "Traceback" not in front.log.read_text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
