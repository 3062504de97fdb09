from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.generated import open_inference_pb2 as pb
from tests.bench.bodies import Signature, TensorName, binary_infer, fraud_rows, grpc_infer, json_infer
from tests.bench.bodies import raw_outputs as outputs_of

SIGNATURE = Signature(
    "fraud", (TensorName("features", "FP32", (-1, 30)),), (TensorName("score", "FP32", (-1, 1)),)
)


def test_the_rows_are_always_the_same_and_short_in_json() -> None:
    assert (fraud_rows(2) == fraud_rows(2)).all()
    assert len(json_infer(SIGNATURE, fraud_rows())) < 400


def test_json_carries_the_values() -> None:
    (tensor,) = json.loads(json_infer(SIGNATURE, fraud_rows(3)))["inputs"]
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("features", "FP32", [3, 30])
    assert (np.array(tensor["data"], np.float32).reshape(3, 30) == fraud_rows(3)).all()


def test_binary_carries_the_bytes_after_its_header() -> None:
    body, header = binary_infer(SIGNATURE, fraud_rows())
    tensor = json.loads(body[:header])["inputs"][0]
    assert tensor["parameters"]["binary_data_size"] == 120
    assert body[header:] == fraud_rows().tobytes()


@given(rows=st.integers(1, 500))
def test_the_grpc_message_is_what_protobuf_reads(rows: int) -> None:
    framed = grpc_infer(SIGNATURE, fraud_rows(rows))
    assert framed[0] == 0
    assert int.from_bytes(framed[1:5]) == len(framed) - 5
    message = pb.ModelInferRequest.FromString(framed[5:])
    assert message.model_name == "fraud"
    (tensor,) = message.inputs
    assert (tensor.name, tensor.datatype, [*tensor.shape]) == ("features", "FP32", [rows, 30])
    assert [*message.raw_input_contents] == [fraud_rows(rows).tobytes()]


@given(raw=st.lists(st.binary(max_size=300), max_size=4), identifier=st.text(max_size=5))
def test_outputs_are_found_in_what_protobuf_writes(raw: list[bytes], identifier: str) -> None:
    answer = pb.ModelInferResponse(model_name="m", id=identifier, raw_output_contents=raw)
    answer.outputs.add(name="score", datatype="FP32", shape=[1, 1])
    assert outputs_of(answer.SerializeToString()) == raw
