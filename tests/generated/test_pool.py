"""The generated modules: the public protocol's numbers, our own pool, and no staleness."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, text_format

from gateway.generated import (
    health_pb2,
    model_config_pb2,
    open_inference_pb2,
    reflection_pb2,
    reflection_v1alpha_pb2,
)
from gateway.generated.pool import POOL, message_class

ROOT = Path(__file__).resolve().parents[2]
MODULES = (health_pb2, model_config_pb2, open_inference_pb2, reflection_pb2, reflection_v1alpha_pb2)
Field = descriptor_pb2.FieldDescriptorProto


def listing(module: ModuleType) -> Iterator[str]:
    """Every name and number that travels, a line each, as in public_fields.txt."""
    file = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    at = f".{file.package}"
    for message in file.message_type:
        yield from message_lines(message, at)
    for enum in file.enum_type:
        yield from enum_lines(enum, at)
    for service in file.service:
        for rpc in service.method:
            asks = f"{'stream ' * rpc.client_streaming}{rpc.input_type}"
            answers = f"{'stream ' * rpc.server_streaming}{rpc.output_type}"
            yield f"{at}.{service.name}: {rpc.name}({asks}) -> {answers}"


def message_lines(message: descriptor_pb2.DescriptorProto, at: str) -> Iterator[str]:
    at = f"{at}.{message.name}"
    if not message.field:
        yield f"{at}:"
    for field in message.field:
        kind = field.type_name or Field.Type.Name(field.type)[5:].lower()
        repeated = "repeated " * (field.label == Field.LABEL_REPEATED)
        choice = f" ({message.oneof_decl[field.oneof_index].name})" if field.HasField("oneof_index") else ""
        yield f"{at}: {repeated}{kind} {field.name} = {field.number}{choice}"
    for enum in message.enum_type:
        yield from enum_lines(enum, at)
    for nested in message.nested_type:
        yield from message_lines(nested, at)


def enum_lines(enum: descriptor_pb2.EnumDescriptorProto, at: str) -> Iterator[str]:
    for value in enum.value:
        yield f"{at}.{enum.name}: {value.name} = {value.number}"


def test_every_name_and_number_is_the_public_one() -> None:
    # The lines were listed from the descriptors in tritonclient 2.73 and the grpcio 1.85 packages.
    public = Path(__file__).with_name("public_fields.txt").read_text(encoding="utf-8").splitlines()
    ours = [line for module in MODULES if module is not reflection_pb2 for line in listing(module)]
    assert sorted(ours) == sorted(public)


def test_reflection_v1_is_v1alpha_under_another_name() -> None:
    older = [line.replace("v1alpha", "v1") for line in listing(reflection_v1alpha_pb2)]
    assert list(listing(reflection_pb2)) == older


def test_the_modules_are_what_the_protos_make(tmp_path: Path) -> None:
    generate = runpy.run_path(str(ROOT / "protos" / "generate.py"))
    generate["main"](tmp_path)
    committed = ROOT / "gateway" / "generated"
    by_hand = {"__init__.py", "pool.py"}
    names = {path.name for path in committed.glob("*.py*") if path.is_file()} - by_hand
    assert {path.name for path in tmp_path.iterdir()} == names
    for name in names:
        assert (tmp_path / name).read_bytes() == (committed / name).read_bytes(), name


OTHERS = [
    "from grpc_health.v1 import health_pb2 as theirs_health",
    "from grpc_reflection.v1alpha import reflection_pb2 as theirs_reflection",
]
OURS = [f"from gateway.generated import {module.__name__.rpartition('.')[2]}" for module in MODULES]


@pytest.mark.parametrize("lines", [OTHERS + OURS, OURS + OTHERS], ids=["theirs first", "ours first"])
def test_other_declarations_of_the_same_names_live_in_the_same_process(lines: list[str]) -> None:
    check = "assert theirs_health.HealthCheckRequest is not health_pb2.HealthCheckRequest"
    program = "\n".join([*lines, check])
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


def test_the_default_pool_is_left_alone() -> None:
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")
    assert (
        POOL.FindMessageTypeByName("inference.ModelInferRequest").full_name == "inference.ModelInferRequest"
    )


def test_message_class_refuses_an_unknown_name() -> None:
    with pytest.raises(KeyError):
        message_class(health_pb2.DESCRIPTOR, "Nothing")


def test_messages_travel_and_nest() -> None:
    request = open_inference_pb2.ModelInferRequest(model_name="m", raw_input_contents=[b"\1\2"])
    request.inputs.append(
        open_inference_pb2.ModelInferRequest.InferInputTensor(name="x", datatype="UINT8", shape=[1, 2])
    )
    request.parameters["priority"].int64_param = -1
    assert open_inference_pb2.ModelInferRequest.FromString(request.SerializeToString()) == request
    answer = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
    assert answer.SerializeToString() == b"\x08\x01"


def test_golden_bytes_of_an_inference() -> None:
    request = open_inference_pb2.ModelInferRequest(
        model_name="m",
        id="7",
        inputs=[
            open_inference_pb2.ModelInferRequest.InferInputTensor(
                name="x",
                datatype="INT32",
                shape=[3],
                contents=open_inference_pb2.InferTensorContents(int_contents=[1, 2, 300]),
            )
        ],
    )
    tensor = b"\x0a\x01x\x12\x05INT32\x1a\x01\x03\x2a\x06\x12\x04\x01\x02\xac\x02"
    assert request.SerializeToString() == b"\x0a\x01m\x1a\x017\x2a" + bytes([len(tensor)]) + tensor


def test_enums_and_text_and_json_work_in_a_pool_of_their_own() -> None:
    assert model_config_pb2.DataType.Name(model_config_pb2.TYPE_STRING) == "TYPE_STRING"
    assert model_config_pb2.DataType.Value("TYPE_BF16") == 14
    text = 'name: "m" input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] }'
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert json_format.Parse(json_format.MessageToJson(config), model_config_pb2.ModelConfig()) == config


def test_the_config_response_carries_the_other_files_message() -> None:
    config = model_config_pb2.ModelConfig(name="m")
    response = open_inference_pb2.ModelConfigResponse(config=config)
    assert response.config.name == "m"
    assert [file.name for file in open_inference_pb2.DESCRIPTOR.dependencies] == ["model_config.proto"]
