from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.dtypes import DType
from gateway.core.tensor_spec import TensorSpec
from gateway.generated import open_inference_pb2 as pb
from gateway.runtimes.remote import grpc_codec
from gateway.runtimes.remote.description import Described, RemoteTensor
from gateway.runtimes.remote.faults import Fault, Kind
from gateway.runtimes.remote.tensors import Sent

X = TensorSpec("X", DType.FP32, (2,))
Y = TensorSpec("Y", DType.INT32, (1,))


def response(*outputs: tuple[str, str, list[int], bytes]) -> pb.ModelInferResponse:
    message = pb.ModelInferResponse()
    for name, datatype, shape, raw in outputs:
        message.outputs.add(name=name, datatype=datatype, shape=shape)
        message.raw_output_contents.append(raw)
    return message


def test_a_request_has_raw_contents() -> None:
    raw = grpc_codec.encode(Sent([(X, np.array([[1, 2]], "<f4"))], [Y]), "m", "3")
    message = pb.ModelInferRequest.FromString(raw)
    assert (message.model_name, message.model_version) == ("m", "3")
    assert [(one.name, one.datatype, list(one.shape)) for one in message.inputs] == [("X", "FP32", [1, 2])]
    assert list(message.raw_input_contents) == [np.array([1, 2], "<f4").tobytes()]
    assert [one.name for one in message.outputs] == ["Y"]


def test_an_answer_may_have_more_than_was_asked_for() -> None:
    message = response(("Z", "FP64", [9], b""), ("Y", "INT32", [1, 1], b"\x05\0\0\0"))
    (found,) = grpc_codec.decode(message.SerializeToString(), [Y])
    assert found.tolist() == [[5]]


TYPED = pb.ModelInferResponse()
TYPED.outputs.add(name="Y", datatype="INT32", shape=[1]).contents.int_contents.append(5)


@pytest.mark.parametrize(
    "message",
    [
        response(),
        TYPED,
        response(("Y", "INT32", [1], bytes(4)), ("Y", "INT32", [1], bytes(4))),
        response(("Y", "INT64", [1], bytes(8))),
        response(("Y", "INT32", [2], bytes(4))),
        response(("Y", "INT32", [-1], bytes(4))),
        response(*[(str(n), "INT32", [1], b"") for n in range(1025)]),
    ],
)
def test_hostile_answers(message: pb.ModelInferResponse) -> None:
    with pytest.raises(Fault) as caught:
        grpc_codec.decode(message.SerializeToString(), [Y])
    assert caught.value.kind is Kind.UNSOUND


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_fail(data: bytes) -> None:
    with pytest.raises(Fault):
        grpc_codec.decode(data, [Y])


def test_descriptions_with_and_without_a_configuration() -> None:
    metadata = pb.ModelMetadataResponse()
    metadata.inputs.add(name="X", datatype="FP32", shape=[-1, 2])
    metadata.outputs.add(name="Y", datatype="INT32", shape=[-1, 1])
    raw = metadata.SerializeToString()
    tensors = (RemoteTensor("X", DType.FP32, (-1, 2)),), (RemoteTensor("Y", DType.INT32, (-1, 1)),)
    assert grpc_codec.described(raw, None) == Described(*tensors)
    config = pb.ModelConfigResponse()
    config.config.max_batch_size = 8
    config.config.model_transaction_policy.decoupled = True
    assert grpc_codec.described(raw, config.SerializeToString()) == Described(*tensors, 8, True)
    config.config.max_batch_size = -1
    with pytest.raises(Fault):
        grpc_codec.described(raw, config.SerializeToString())
    assert grpc_codec.described(b"", None) == Described((), ())


def test_readiness_and_questions() -> None:
    assert grpc_codec.is_ready(pb.ModelReadyResponse(ready=True).SerializeToString(), of_model=True)
    assert not grpc_codec.is_ready(b"", of_model=False)
    asked = pb.ModelConfigRequest.FromString(grpc_codec.model_ask("ModelConfig", "m", "2"))
    assert (asked.name, asked.version) == ("m", "2")
