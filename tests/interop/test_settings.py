"""Trace and log settings, changed by callers of a started gateway with two fronts, and what they do."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.waiting import until_blocking
from tests.interop.test_extensions import call, sums

EVENTS = [
    *("REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START"),
    *("COMPUTE_END", "REQUEST_END", "HTTP_SEND_START", "HTTP_SEND_END"),
]


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the operator names."""
    return tmp_path_factory.mktemp("traces") / "traces.json"


@pytest.fixture(scope="module")
def running(repository: Path, traces: Path) -> Generator[Gateway]:
    environment = {"GATEWAY_TELEMETRY__LOG_STYLE": "json"}
    flags = ("--insecure-dev", "--fronts", "2", "--trace-file", str(traces))
    with gateway(repository, *flags, environment=environment) as process:
        yield process
        assert process.stop() == 0, process.log.read_text()


def read(file: Path) -> list[dict[str, Any]]:
    """A trace file is JSON at all times, but while one byte of it is another's."""
    try:
        return list(json.loads(file.read_bytes()))
    except (FileNotFoundError, json.JSONDecodeError):
        return []


def requests(file: Path, model: str) -> list[dict[str, Any]]:
    return [one for one in read(file) if one.get("model_name") == model]


def infer(running: Gateway, model: str = "simple", count: int = 1) -> None:
    for _ in range(count):
        assert running.infer(model, sums([]))[0] == 200


def test_every_front_traces_as_one_was_told_up_to_a_number_of_traces(running: Gateway, traces: Path) -> None:
    path = "/v2/models/simple/trace/setting"
    changes = {"trace_level": ["TIMESTAMPS", "TENSORS"], "trace_rate": "1", "trace_count": "3"}
    status, told, _ = running.ask(path, changes)
    assert (status, told["trace_level"], told["trace_file"]) == (200, changes["trace_level"], str(traces))
    infer(running, count=12)
    until_blocking(lambda: len(requests(traces, "simple")) >= 3)
    assert running.ask(path)[1]["trace_count"] == "0"
    infer(running, count=4)
    assert running.ask("/v2/trace/setting")[1]["trace_level"] == ["OFF"]
    assert len(requests(traces, "simple")) == 3
    (first, *_), everything = requests(traces, "simple"), read(traces)
    mine = [one for one in everything if one["id"] == first["id"]]
    times = [event for one in mine for event in one.get("timestamps", ())]
    assert [event["name"] for event in times] == EVENTS
    assert [event["ns"] for event in times] == sorted(event["ns"] for event in times)
    tensors = {one["tensor"]["name"]: one for one in mine if "tensor" in one}
    assert tensors["INPUT1"]["activity"] == "TENSOR_QUEUE_INPUT"
    assert tensors["INPUT1"]["tensor"]["data"] == ",".join(["100"] * 16)
    assert tensors["OUTPUT0"]["activity"] == "TENSOR_BACKEND_OUTPUT"
    assert (tensors["OUTPUT0"]["tensor"]["shape"], tensors["OUTPUT0"]["tensor"]["dtype"]) == ("1,16", "INT32")


def test_a_front_that_is_started_anew_knows_what_was_set(running: Gateway, traces: Path) -> None:
    changes = {"trace_level": ["TIMESTAMPS"], "trace_rate": "1", "trace_count": "1000000"}
    assert running.ask("/v2/models/echo_fp32/trace/setting", changes)[0] == 200
    assert running.ask("/v2/logging", {"log_verbose_level": 4})[0] == 200
    for front in running.processes("front"):
        running.kill(front)
        running.wait_for_replacement("front")
    until_blocking(running.is_healthy)
    told = running.ask("/v2/models/echo_fp32/trace/setting")[1]
    assert (told["trace_level"], told["trace_count"]) == (["TIMESTAMPS"], "1000000")
    assert running.ask("/v2/logging")[1]["log_verbose_level"] == 4
    given = {"inputs": [{"name": "X", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}
    assert running.infer("echo_fp32", given)[0] == 200
    until_blocking(lambda: requests(traces, "echo_fp32"))
    assert running.ask("/v2/logging", {"log_verbose_level": None})[1]["log_verbose_level"] == 0
    cleared = dict.fromkeys(changes)
    assert running.ask("/v2/models/echo_fp32/trace/setting", cleared)[1]["trace_count"] == "-1"


def test_over_grpc(running: Gateway, traces: Path) -> None:
    with grpc.insecure_channel(running.grpc) as channel:
        request = pb.TraceSettingRequest(model_name="fraud")
        request.settings["trace_level"].value.append("TIMESTAMPS")
        request.settings["trace_rate"].value.append("1")
        told = call(channel, "TraceSetting", request).settings
        assert list(told["trace_rate"].value) == ["1"]
        asked = pb.ModelInferRequest(model_name="fraud", id="7", raw_input_contents=[bytes(120)])
        asked.inputs.add(name="features", datatype="FP32", shape=[1, 30])
        call(channel, "ModelInfer", asked)
        until_blocking(lambda: requests(traces, "fraud"))
        (about,) = requests(traces, "fraud")
        assert about["request_id"] == "7"
        names = [one["timestamps"][0]["name"] for one in read(traces) if "timestamps" in one]
        assert names[-2:] == ["GRPC_SEND_START", "GRPC_SEND_END"]
        back = pb.TraceSettingRequest(model_name="fraud")
        for name in request.settings:
            back.settings[name].SetInParent()
        assert list(call(channel, "TraceSetting", back).settings["trace_level"].value) == ["OFF"]
        for bad in (pb.TraceSettingRequest(), pb.TraceSettingRequest(model_name="absent")):
            bad.settings["trace_file"].value.append("/tmp/x")
            with pytest.raises(grpc.RpcError) as error:
                call(channel, "TraceSetting", bad)
            assert error.value.code() is (
                grpc.StatusCode.NOT_FOUND if bad.model_name else grpc.StatusCode.INVALID_ARGUMENT
            )


def lines(running: Gateway) -> list[dict[str, Any]]:
    return [json.loads(line) for line in running.log.read_text().splitlines()]


def loaded(running: Gateway) -> set[str]:
    return {line["model"] for line in lines(running) if line.get("event") == "model_loaded"}


def test_the_log_tells_what_it_is_set_to_tell(running: Gateway) -> None:
    given = {"inputs": [{"name": "X", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}
    assert running.ask("/v2/logging", {"log_info": False, "log_format": "ISO8601"})[0] == 200
    assert running.infer("cold_0", given)[0] == 200
    assert running.infer("broken", given)[0] == 503
    until_blocking(lambda: any(line.get("event") == "model_load_failed" for line in lines(running)))
    (failed,) = [line for line in lines(running) if line.get("event") == "model_load_failed"]
    assert (failed["model"], failed["level"], failed["time"][-1]) == ("broken", "ERROR", "Z")
    assert running.ask("/v2/logging", {"log_info": None, "log_format": None})[0] == 200
    assert running.infer("cold_1", given)[0] == 200
    until_blocking(lambda: "cold_1" in loaded(running))
    assert "cold_0" not in loaded(running)


def test_no_path_is_taken_and_no_nonsense(running: Gateway) -> None:
    for path, bad in (
        ("/v2/trace/setting", {"trace_file": "/tmp/x"}),
        ("/v2/trace/setting", {"trace_mode": "opentelemetry"}),
        ("/v2/trace/setting", {"trace_config": {"url": "http://127.0.0.1"}}),
        ("/v2/models/simple/trace/setting", {"trace_rate": "0"}),
        ("/v2/trace/setting", {"trace_level": ["EVERYTHING"]}),
        ("/v2/logging", {"log_file": "/tmp/x"}),
        ("/v2/logging", {"log_info": "yes"}),
        ("/v2/logging", {"log_format": "json"}),
    ):
        status, answer, _ = running.ask(path, bad)
        assert (status, answer["code"]) == (400, "INVALID_INPUT"), bad
    assert running.ask("/v2/models/absent/trace/setting")[0] == 404
    extensions = running.ask("/v2")[1]["extensions"]
    assert extensions[-2:] == ["trace", "logging"]


def test_without_the_right_settings_are_read_only(repository: Path) -> None:
    with gateway(repository) as closed:
        status, told, _ = closed.ask("/v2/trace/setting")
        assert (status, told["trace_file"], closed.ask("/v2/logging")[0]) == (200, "", 200)
        assert closed.ask("/v2/trace/setting", {"trace_rate": "1"})[0] == 403
        assert closed.ask("/v2/logging", {"log_info": False})[0] == 403
        assert not {"trace", "logging"} & set(closed.ask("/v2")[1]["extensions"])
        assert closed.stop() == 0


def test_what_the_operator_set_is_traced_from_the_start_and_to_the_log(repository: Path) -> None:
    environment = {"GATEWAY_TELEMETRY__TRACE_LEVEL": '["TIMESTAMPS"]', "GATEWAY_TELEMETRY__TRACE_RATE": "1"}
    with gateway(repository, environment=environment) as process:
        infer(process)
        until_blocking(lambda: '{"trace":[' in process.log.read_text())
        line = next(line for line in process.log.read_text().splitlines() if line.startswith('{"trace":['))
        assert json.loads(line)["trace"][0]["model_name"] == "simple"
        assert process.stop() == 0
