from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.dtypes import DType
from gateway.core.errors import InvalidInput
from gateway.core.messages import InferResponse
from gateway.core.tensor import Tensor, serialise_bytes_elements
from gateway.frontends.v2_rest.codec import Form, Target, decode, encode
from gateway.frontends.v2_rest.content_types import dump_base64, from_base64


@given(st.lists(st.binary(max_size=10), max_size=5))
def test_what_is_spelled_is_read_again(elements):
    tensor = Tensor("x", DType.BYTES, (len(elements),), serialise_bytes_elements(elements))
    told = json.loads(b"{" + dump_base64(tensor))
    assert told["parameters"] == {"content_type": "base64"}
    spelled = serialise_bytes_elements([text.encode() for text in told["data"]])
    assert from_base64("x", DType.BYTES, spelled) == tensor.data


@pytest.mark.parametrize("text", [b"?", b"YQ=", b"YQ==\n", "é".encode()])
def test_what_is_not_base64_is_refused(text):
    with pytest.raises(InvalidInput, match="'x': an element is not base64"):
        from_base64("x", DType.BYTES, serialise_bytes_elements([text]))


def test_it_is_for_bytes():
    with pytest.raises(InvalidInput, match="not for FP32"):
        from_base64("x", DType.FP32, b"\0\0\0\0")
    with pytest.raises(InvalidInput, match="not for FP32"):
        dump_base64(Tensor("x", DType.FP32, (1,), b"\0\0\0\0"))


def body(parameters, wanted):
    tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "data": ["/w=="], "parameters": parameters}
    return json.dumps({"inputs": [tensor], "outputs": [{"name": "y", "parameters": wanted}]}).encode()


@pytest.mark.parametrize(
    ("parameters", "element"), [({"content_type": "base64"}, b"\xff"), ({"content_type": "str"}, b"/w==")]
)
def test_an_input_is_what_its_content_type_says(parameters, element):
    request, form = decode(Target("m", 0), None, body(parameters, {}), None, lambda: 0.0)
    assert request.inputs[0].data == serialise_bytes_elements([element])
    assert form == Form()


def test_an_output_is_spelled_on_request_unless_it_is_binary():
    wanted = {"content_type": "base64"}
    _, form = decode(Target("m", 0), None, body({}, wanted), None, lambda: 0.0)
    assert form == Form(base64=frozenset({"y"}))
    y = Tensor("y", DType.BYTES, (1,), serialise_bytes_elements([b"\xff"]))
    answer, length = encode(form, InferResponse("m", 1, (y,)))
    assert length is None
    assert json.loads(answer)["outputs"] == [
        {"name": "y", "datatype": "BYTES", "shape": [1], "parameters": wanted, "data": ["/w=="]}
    ]
    _, form = decode(Target("m", 0), None, body({}, wanted | {"binary_data": True}), None, lambda: 0.0)
    assert form == Form(frozenset({"y"}))
