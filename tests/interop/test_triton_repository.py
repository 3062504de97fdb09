"""A whole repository in Triton's layout, behind one gateway that calls itself Triton, and its clients.

EXAMPLES names the examples of Triton's client repository that need what the gateway has (all but
sequences and shared memory), and the function of examples_script.py that does what the example does,
through the official client and with the example's own expectations.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from gateway.generated import open_inference_pb2 as pb
from tests.bench.environments import Missing, environment
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.triton_repository import BROKEN, KINDS, LABELS, build

NAMES = [kind.name for kind in KINDS]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    root = build(tmp_path_factory.mktemp("models"))
    # One front: sequences are for one alone.
    with gateway(root, "--insecure-dev", environment={"GATEWAY_FRONTENDS__COMPAT": "triton"}) as started:
        yield started
        assert started.stop() == 0, started.log.read_text()


def tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def pair(datatype: str = "INT32", names: tuple[str, str] = ("INPUT0", "INPUT1")) -> list[dict[str, Any]]:
    """0 to 15, and ones."""
    columns: tuple[list[Any], list[Any]] = (list(range(16)), [1] * 16)
    if datatype == "BYTES":
        columns = [str(one) for one in columns[0]], [str(one) for one in columns[1]]
    return [tensor(name, datatype, [1, 16], column) for name, column in zip(names, columns, strict=True)]


class Call(NamedTuple):
    """A request, and what it must be answered with by output."""

    model: str
    inputs: list[dict[str, Any]]
    answer: Mapping[str, list[Any]]
    version: str = ""
    parameters: Mapping[str, Any] = {}


_SUM, _DIFFERENCE = [i + 1 for i in range(16)], [i - 1 for i in range(16)]
CALLS = (
    Call("simple", pair(), {"OUTPUT0": _SUM, "OUTPUT1": _DIFFERENCE}),
    Call("simple_int8", pair("INT8"), {"OUTPUT0": _SUM, "OUTPUT1": _DIFFERENCE}),
    Call(
        "simple_string",
        pair("BYTES"),
        {"OUTPUT0": list(map(str, _SUM)), "OUTPUT1": list(map(str, _DIFFERENCE))},
    ),
    Call("simple_identity", [tensor("INPUT0", "BYTES", [1, 2], ["a\0b", "ü"])], {"OUTPUT0": ["a\0b", "ü"]}),
    Call("versions", [tensor("X", "FP32", [1, 1], [10])], {"Y": [13.0]}),
    Call("versions", [tensor("X", "FP32", [1, 1], [10])], {"Y": [11.0]}, "1"),
    Call("versions", [tensor("X", "FP32", [1, 1], [10])], {"Y": [11.0]}, "stable"),
    Call("versions", [tensor("X", "FP32", [1, 1], [10])], {"Y": [13.0]}, "canary"),
    Call("echo", [tensor("X", "INT32", [1, 2], [4, 5])], {"Y": [4, 5]}),
    Call("twice_of_each", pair(names=("A", "B")), {"TWICE_A": list(range(0, 32, 2)), "TWICE_B": [2] * 16}),
    Call("calling", pair(), {"SUM": _SUM}),
    Call(
        "simple_sequence",
        [tensor("INPUT", "INT32", [1, 1], [11])],
        {"OUTPUT": [12]},
        parameters={"sequence_id": 7, "sequence_start": True},
    ),
    Call(
        "simple_sequence",
        [tensor("INPUT", "INT32", [1, 1], [7])],
        {"OUTPUT": [7]},
        parameters={"sequence_id": 7, "sequence_end": True},
    ),
)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.model} {call.version}".strip())
def test_every_kind_answers(running: Gateway, call: Call) -> None:
    version = f"/versions/{call.version}" if call.version else ""
    body = {"inputs": call.inputs, "parameters": dict(call.parameters)}
    status, told, _ = running.ask(f"/v2/models/{call.model}{version}/infer", body, 30)
    assert status == 200, told
    assert {one["name"]: one["data"] for one in told["outputs"]} == call.answer


def test_classes_have_the_names_of_the_label_file(running: Gateway) -> None:
    inputs = [tensor("data_0", "FP32", [3, 4, 4], [i / 7 for i in range(48)])]
    asked = [{"name": "fc6_1", "parameters": {"classification": 5}}]
    status, told, _ = running.infer("image_classes", {"inputs": inputs, "outputs": asked}, 30)
    assert status == 200, told
    (output,) = told["outputs"]
    rows = [one.split(":") for one in output["data"]]
    assert {label for _, _, label in rows} == set(LABELS)
    assert all(label == LABELS[int(index)] for _, index, label in rows)
    values = [float(value) for value, _, _ in rows]
    assert values == sorted(values, reverse=True)


def test_the_decoupled_one_answers_as_often_as_it_is_asked_to(running: Gateway) -> None:
    columns = (("IN", "INT32", [5, 6]), ("DELAY", "UINT32", [0, 0]), ("WAIT", "UINT32", [0]))
    message = pb.ModelInferRequest(model_name="repeat_int32")
    for name, datatype, values in columns:
        message.inputs.add(name=name, datatype=datatype, shape=[len(values)])
        message.raw_input_contents.append(b"".join(value.to_bytes(4, "little") for value in values))
    with grpc.insecure_channel(running.grpc) as channel:
        stream = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelStreamInferResponse.FromString,
        )
        told = [one.infer_response.raw_output_contents[0] for one in stream(iter([message]), timeout=30)]
    assert [int.from_bytes(one, "little") for one in told] == [5, 6]


def test_only_the_broken_one_is_unavailable_and_the_index_says_why(running: Gateway) -> None:
    """All of them loaded, as by a Triton that starts."""
    for name in NAMES:
        running.ask(f"/v2/repository/models/{name}/load", {}, 60)
    assert running.ask("/v2/health/ready")[0] == 200
    index = running.ask("/v2/repository/index", {})[1]
    assert {one["name"] for one in index} == set(NAMES)
    assert sum(one["name"] == "versions" for one in index) == 2
    unavailable = {one["name"]: one["reason"] for one in index if one["state"] != "READY"}
    assert unavailable.keys() == {BROKEN}
    assert "Protobuf parsing failed" in unavailable[BROKEN]
    ready = {name for name in NAMES if running.ask(f"/v2/models/{name}/ready")[0] == 200}
    assert ready == set(NAMES) - unavailable.keys()


# ---- clients -------------------------------------------------------------------------------------

EXAMPLES = (
    *("simple_http_infer_client", "simple_http_async_infer_client", "simple_http_aio_infer_client"),
    *("simple_grpc_infer_client", "simple_grpc_async_infer_client", "simple_grpc_aio_infer_client"),
    *("simple_grpc_keepalive_client", "simple_grpc_custom_args_client", "grpc_client"),
    *("grpc_explicit_int_content_client", "grpc_explicit_int8_content_client"),
    *("grpc_explicit_byte_content_client",),
    *("simple_http_string_infer_client", "simple_grpc_string_infer_client"),
    *("simple_http_health_metadata", "simple_grpc_health_metadata"),
    *("simple_http_model_control", "simple_grpc_model_control"),
    *("image_client", "grpc_image_client", "simple_grpc_custom_repeat"),
)


@pytest.fixture(scope="module")
def examples(running: Gateway) -> Mapping[str, str | None]:
    """What was wrong with each example, by its name; None where nothing was."""
    try:
        python = environment("tritonclient", "tritonclient") / "bin" / "python"
    except Missing as missing:
        pytest.skip(f"tritonclient cannot be installed: {missing}")
    script = Path(__file__).with_name("examples_script.py")
    index = running.ask("/v2/repository/index", {})[1]
    addresses = [running.http.removeprefix("http://"), running.grpc.removeprefix("http://")]
    command = [str(python), str(script), *addresses, str(len(index))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told: Mapping[str, str | None] = json.loads(done.stdout)
    assert sorted(told) == sorted(EXAMPLES)
    return told


@pytest.mark.timeout(600)  # the first run may have to install the clients
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_tritons_client_works(examples: Mapping[str, str | None], example: str) -> None:
    assert examples[example] is None, examples[example]
