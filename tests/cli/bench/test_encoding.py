from __future__ import annotations

import contextlib
import json

import hpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.bench import encoding
from gateway.cli.bench.inputs import InputSpec
from gateway.cli.bench.plan import BenchError, Plan, Target
from gateway.core.dtypes import DType
from gateway.core.tensor import Tensor
from gateway.generated import open_inference_pb2 as pb

TARGET = Target("127.0.0.1", 8000)
X = Tensor("x", DType.INT32, (1, 2), b"\x01\0\0\0\xff\xff\xff\xff")
S = Tensor("s", DType.BYTES, (1,), b"\x02\0\0\0hi")


def _plan(**changes: object) -> Plan:
    return msgspec.structs.replace(Plan(model="fraud"), **changes)


def _parse(head: bytes) -> tuple[str, dict[str, str]]:
    assert head.endswith(b"\r\n")
    first, *lines = head.decode().rstrip("\r\n").split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines)  # type: ignore[misc]


def test_json_over_rest() -> None:
    request = encoding.rest_infer(_plan(version="3", headers=(("X-Key", "v"),)), TARGET, [X, S])
    first, headers = _parse(request.head)
    assert first == "POST /v2/models/fraud/versions/3/infer HTTP/1.1"
    assert headers["host"] == "127.0.0.1:8000"
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(request.body))
    assert headers["x-key"] == "v"
    assert json.loads(request.body) == {
        "inputs": [
            {"name": "x", "datatype": "INT32", "shape": [1, 2], "data": [1, -1]},
            {"name": "s", "datatype": "BYTES", "shape": [1], "data": ["hi"]},
        ]
    }


def test_binary_over_rest() -> None:
    request = encoding.rest_infer(_plan(protocol="rest-binary"), TARGET, [X, S])
    _, headers = _parse(request.head)
    length = int(headers["inference-header-content-length"])
    head = json.loads(request.body[:length])
    assert [item["parameters"]["binary_data_size"] for item in head["inputs"]] == [8, 6]
    assert head["parameters"] == {"binary_data_output": True}
    assert request.body[length:] == bytes(X.data) + bytes(S.data)


def test_bytes_that_are_no_text_cannot_be_json() -> None:
    with pytest.raises(BenchError, match="'s' is not UTF-8"):
        encoding.rest_infer(_plan(), TARGET, [Tensor("s", DType.BYTES, (1,), b"\x01\0\0\0\xff")])


def test_grpc_inference_is_what_protobuf_reads() -> None:
    request = encoding.grpc_infer(_plan(version="3"), TARGET, [X, S])
    assert request.body[0] == 0
    assert int.from_bytes(request.body[1:5], "big") == len(request.body) - 5
    message = pb.ModelInferRequest.FromString(request.body[5:])
    assert (message.model_name, message.model_version, message.id) == ("fraud", "3", "")
    read = [(item.name, item.datatype, tuple(item.shape)) for item in message.inputs]
    assert read == [("x", "INT32", (1, 2)), ("s", "BYTES", (1,))]
    assert list(message.raw_input_contents) == [X.data, S.data]


def _fields(block: bytes) -> dict[bytes, bytes]:
    return {bytes(name): bytes(value) for name, value in hpack.Decoder().decode(block, raw=True)}


def test_grpc_headers() -> None:
    plan = _plan(deadline_s=0.25, headers=(("X-Key", "v"),), tokens=("secret",))
    fields = _fields(encoding.grpc_infer(plan, TARGET, [X]).blocks.literal)
    assert fields[b":path"] == b"/inference.GRPCInferenceService/ModelInfer"
    assert fields[b":authority"] == b"127.0.0.1:8000"
    assert fields[b"grpc-timeout"] == b"250000u"
    assert fields[b"x-key"] == b"v"
    assert fields[b"authorization"] == b"Bearer secret"


def test_what_changes_is_not_in_the_constant_headers() -> None:
    plan = _plan(deadline_s=1.0, tokens=("t",), unique_metadata=True)
    assert not {b"grpc-timeout", b"authorization"} & set(
        _fields(encoding.grpc_infer(plan, TARGET, []).blocks.literal)
    )


def test_too_many_headers_are_refused() -> None:
    with pytest.raises(BenchError, match="bytes of headers"):
        encoding.grpc_infer(_plan(headers=(("x", "v" * 13_000),)), TARGET, [])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1, b"100000u"), (99.0, b"99000000u"), (100.0, b"100000m"), (86_400.0, b"86400000m")],
)
def test_timeouts(seconds: float, text: bytes) -> None:
    assert encoding.grpc_timeout(seconds) == text


@given(
    st.lists(
        st.tuples(st.text(max_size=20), st.text(max_size=8), st.lists(st.integers(-1, 2**40), max_size=4)),
        max_size=4,
    )
)
@settings(max_examples=50, deadline=None)
def test_metadata_is_read_as_protobuf_writes_it(inputs: list[tuple[str, str, list[int]]]) -> None:
    message = pb.ModelMetadataResponse(name="m", versions=["1", "2"], platform="p")
    for name, datatype, shape in inputs:
        message.inputs.add(name=name, datatype=datatype, shape=shape)
        message.outputs.add(name="y", datatype="FP32", shape=[-1])
    expected = tuple(InputSpec(name, datatype, tuple(shape)) for name, datatype, shape in inputs)
    assert encoding.metadata_inputs(message.SerializeToString()) == expected


def test_unpacked_shapes_and_unknown_fields_are_read() -> None:
    message = b"\x22\x07\x0a\x01x\x18\x02\x18\x03" + b"\x4d\0\0\0\0" + b"\x51" + bytes(8) + b"\x78\x01"
    assert encoding.metadata_inputs(message) == (InputSpec("x", "", (2, 3)),)


@pytest.mark.parametrize(
    "message", [b"\x22\x05ab", b"\x22", b"\x80", b"\x0b", b"\xff" * 11, b"\x51\x00", b"\x20\x00"]
)
def test_a_message_cut_off_is_a_value_error(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"a message|number"):
        encoding.metadata_inputs(message)


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_garbage_is_a_value_error_or_nothing(message: bytes) -> None:
    with contextlib.suppress(ValueError):
        encoding.metadata_inputs(message)
