from __future__ import annotations

import json
from math import inf

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.dtypes import DType
from gateway.core.errors import GatewayError, InvalidInput, TooLarge
from gateway.core.messages import InferResponse
from gateway.core.tensor import Tensor, serialise_bytes_elements
from gateway.core.tensor_spec import TensorSpec
from gateway.frontends.v2_rest.codec import Target
from gateway.frontends.v2_rest.generate import decode_generate, encode_event, encode_generate
from tests.fakes.inference import FRAUD


def spec(*inputs, max_batch_size=8):
    return msgspec.structs.replace(FRAUD, inputs=inputs, max_batch_size=max_batch_size)


X = TensorSpec("x", DType.INT8, (-1,))
TEXT = TensorSpec("text", DType.BYTES, (1,))
NUMBER = TensorSpec("n", DType.INT8, ())


def read(body, of=None, **target):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_generate(of or spec(X, TEXT), Target("fraud", 3, **target), text, None, lambda: 5.0)


@pytest.mark.parametrize(
    ("of", "value", "shape", "data"),
    [
        (spec(X), 5, (1, 1), b"\5"),
        (spec(X), [1, 2], (1, 2), b"\1\2"),
        (spec(X), [[1, 2], [3, 4]], (2, 2), b"\1\2\3\4"),
        (spec(X), [], (1, 0), b""),
        (spec(X), [[], []], (2, 0), b""),
        (spec(X, max_batch_size=0), 5, (1,), b"\5"),
        (spec(X, max_batch_size=0), [1, 2], (2,), b"\1\2"),
        (spec(msgspec.structs.replace(NUMBER, name="x"), max_batch_size=0), 5, (), b"\5"),
        (spec(msgspec.structs.replace(NUMBER, name="x")), [5, 6], (2,), b"\5\6"),
        (spec(msgspec.structs.replace(TEXT, name="x")), "hi", (1, 1), b"\2\0\0\0hi"),
    ],
)
def test_values_become_tensors(of, value, shape, data):
    (tensor,) = read({"x": value}, of).inputs
    assert (tensor.name, tensor.shape, tensor.data) == ("x", shape, data)


def test_all_else_is_id_and_parameters():
    request = read({"x": 1, "id": "7", "a": 1.5, "b": True, "parameters": {"c": "d", "timeout": 1_000_000}})
    assert (request.id, request.parameters) == ("7", {"a": 1.5, "b": True, "c": "d"})
    assert (request.timeout_at, request.version, request.outputs) == (6.0, 3, ())
    assert (read({}).timeout_at, request.deadline) == (inf, inf)
    assert read({"parameters": {"priority": 2}}).priority == 2


def test_an_input_may_be_called_id():
    request = read({"id": 5}, spec(msgspec.structs.replace(X, name="id")))
    assert (request.id, request.inputs[0].data) == ("", b"\5")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ([], InvalidInput),
        (b'{"x":1,"x":2}', InvalidInput),
        ({"x": "a"}, InvalidInput),
        ({"x": 300}, InvalidInput),
        ({"x": None}, InvalidInput),
        ({"x": {"a": 1}}, InvalidInput),
        ({"x": [[[1]]]}, InvalidInput),
        ({"x": [[1, 2], [3]]}, InvalidInput),
        ({"x": [1, [2]]}, InvalidInput),
        ({"text": 5}, InvalidInput),
        ({"id": 5}, InvalidInput),
        (b'{"id":"\\ud800","a":NaN}', InvalidInput),
        ({"parameters": []}, InvalidInput),
        ({"a": 1, "parameters": {"a": 2}}, InvalidInput),
        ({"a": [1]}, InvalidInput),
        ({"triton_x": 1}, InvalidInput),
    ],
)
def test_what_cannot_be_read_is_refused(body, error):
    with pytest.raises(error):
        read(body)


def test_the_size_is_limited():
    with pytest.raises(TooLarge):
        read({"x": 1}, max_json_bytes=4)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["x", "text", "id", "parameters", "a"]), JSON))
def test_whatever_comes_is_read_or_refused(document):
    try:
        request = read(document)
    except GatewayError:
        return
    assert {tensor.name for tensor in request.inputs} == {"x", "text"} & set(document)


RESPONSE = InferResponse(
    "m",
    2,
    (
        Tensor("one", DType.FP32, (1, 1), b"\0\0\x80\x3f"),
        Tensor("two", DType.INT8, (2,), b"\1\2"),
        Tensor("none", DType.INT8, (0,), b""),
        Tensor("text", DType.BYTES, (1,), serialise_bytes_elements([b'"a"\n'])),
    ),
)


def test_answers():
    body, headers = encode_generate(RESPONSE)
    assert headers == ((b"content-type", b"application/json"),)
    assert json.loads(body) == {
        "model_name": "m", "model_version": "2", "one": 1.0, "two": [1, 2], "none": [], "text": '"a"\n',
    }  # fmt: skip
    named = InferResponse(RESPONSE.model, RESPONSE.version, (), "7", {"p": True})
    assert json.loads(encode_generate(named)[0]) == {
        "id": "7", "model_name": "m", "model_version": "2", "p": True,
    }  # fmt: skip


@pytest.mark.parametrize("identity", ["", "7"])
@pytest.mark.parametrize("outputs", [(), RESPONSE.outputs])
def test_answers_with_and_without_parameters_say_the_same(identity, outputs):
    plain = InferResponse(RESPONSE.model, RESPONSE.version, outputs, identity)
    more = InferResponse(RESPONSE.model, RESPONSE.version, outputs, identity, {"p": True})
    assert encode_generate(more)[0].replace(b',"p":true', b"") == encode_generate(plain)[0]


def test_an_event_is_one_line():
    event = encode_event(RESPONSE)
    assert event == b"data: " + encode_generate(RESPONSE)[0] + b"\n\n"
    assert event.count(b"\n") == 2


def test_an_output_outranks_what_is_told_of_the_model():
    tensor = Tensor("model_name", DType.INT8, (1,), b"\1")
    assert json.loads(encode_generate(InferResponse("m", 1, (tensor,)))[0])["model_name"] == 1


def test_a_content_type_is_kept_to():
    assert read({"text": "a", "content_type": "str"}, spec(TEXT)).parameters == {"content_type": "str"}
    with pytest.raises(InvalidInput, match="input 'x': content_type 'str' is for BYTES, not for INT8"):
        read({"x": 1, "content_type": "str"}, spec(X))
    assert read({"x": 1, "content_type": "image/png"}, spec(X)).inputs
