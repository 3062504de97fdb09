from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.dtypes import DType
from gateway.core.errors import InvalidInput
from gateway.core.messages import InferResponse
from gateway.core.tensor import Tensor, serialise_bytes_elements
from gateway.frontends.content_types import OutputTypes
from gateway.frontends.v2_rest.codec import ALL_JSON, Form, Target, decode, encode
from gateway.frontends.v2_rest.content_types import binary_label, dump_labelled, from_base64

SPELLED = OutputTypes("", {"x": "base64", "y": "base64"})


@given(st.lists(st.binary(max_size=10), max_size=5))
def test_what_is_spelled_is_read_again(elements):
    tensor = Tensor("x", DType.BYTES, (len(elements),), serialise_bytes_elements(elements))
    told = json.loads(b"{" + dump_labelled(SPELLED, tensor))
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
        dump_labelled(SPELLED, Tensor("x", DType.FP32, (1,), b"\0\0\0\0"))


def body(parameters, wanted):
    tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "data": ["/w=="], "parameters": parameters}
    return json.dumps({"inputs": [tensor], "outputs": [{"name": "y", "parameters": wanted}]}).encode()


@pytest.mark.parametrize(
    ("parameters", "element"), [({"content_type": "base64"}, b"\xff"), ({"content_type": "str"}, b"/w==")]
)
def test_an_input_is_what_its_content_type_says(parameters, element):
    request, form = decode(Target("m", 0), None, body(parameters, {}), None, lambda: 0.0)
    assert request.inputs[0].data == serialise_bytes_elements([element])
    assert form is ALL_JSON


def test_an_output_is_spelled_on_request_unless_it_is_binary():
    wanted = {"content_type": "base64"}
    _, form = decode(Target("m", 0), None, body({}, wanted), None, lambda: 0.0)
    assert form == Form(labels=OutputTypes("", {"y": "base64"}))
    y = Tensor("y", DType.BYTES, (1,), serialise_bytes_elements([b"\xff"]))
    answer, length = encode(form, InferResponse("m", 1, (y,)))
    assert length is None
    assert json.loads(answer)["outputs"] == [
        {"name": "y", "datatype": "BYTES", "shape": [1], "parameters": wanted, "data": ["/w=="]}
    ]
    _, form = decode(Target("m", 0), None, body({}, wanted | {"binary_data": True}), None, lambda: 0.0)
    assert form == Form(frozenset({"y"}))


# ---- answers that say what they are ---------------------------------------------------------------

NUMBERS = Tensor("n", DType.FP32, (1, 1), b"\0\0\0\0")
TEXTS = Tensor("t", DType.BYTES, (1, 1), serialise_bytes_elements([b"2024-02-29T10:00:00"]))


def asked(parameters, wanted=None, **more):
    """The form of the answer to a request with these parameters and outputs."""
    tensor = {"name": "x", "shape": [1, 1], "datatype": "BYTES", "data": ["a"], **more}
    document = {"inputs": [tensor], "parameters": parameters}
    if wanted is not None:
        document["outputs"] = [{"name": name, "parameters": found} for name, found in wanted.items()]
    return decode(Target("m", 0), None, json.dumps(document).encode(), None, lambda: 0.0)[1]


def told(form, *outputs):
    """The content types of an answer and of its outputs."""
    body, length = encode(form, InferResponse("m", 1, outputs))
    text = body if isinstance(body, bytes) else body[0]
    document = json.loads(text if length is None else text[:length])
    labels = [one.get("parameters", {}).get("content_type") for one in document["outputs"]]
    return document.get("parameters", {}).get("content_type"), labels


@pytest.mark.parametrize(
    ("content_type", "alone", "both"),
    [
        ("np", ("np", ["np"]), (None, ["np", "np"])),
        ("str", ("str", ["str"]), (None, [None, "str"])),
        ("pd", ("pd", ["str"]), ("pd", [None, "str"])),
        ("text/plain", (None, [None]), (None, [None, None])),
    ],
)
@pytest.mark.parametrize("is_binary", [False, True])
def test_an_answer_is_labelled_as_the_request_is(content_type, alone, both, is_binary):
    form = asked({"content_type": content_type, "binary_data_output": is_binary})
    assert told(form, TEXTS) == alone
    assert told(form, NUMBERS, TEXTS) == both


def test_an_output_is_labelled_as_it_was_asked_for():
    wanted = {"n": {"content_type": "np"}, "t": {"content_type": "datetime", "binary_data": True}}
    assert told(asked({}, wanted), NUMBERS, TEXTS) == (None, ["np", "datetime"])
    with pytest.raises(InvalidInput, match="output 'n': content_type 'str' is for BYTES, not for FP32"):
        told(asked({}, {"n": {"content_type": "str"}}), NUMBERS)
    with pytest.raises(InvalidInput, match="output 't': element 0 is not JSON"):
        binary_label(OutputTypes("", {"t": "pd_json"}), TEXTS)


def test_a_binary_output_is_not_said_to_be_spelled():
    wanted = {"t": {"content_type": "base64", "binary_data": True}}
    assert told(asked({}, wanted), TEXTS) == (None, [None])


def test_parameters_of_an_answer_are_kept_beside_the_label():
    body, _ = encode(asked({"content_type": "np"}), InferResponse("m", 1, (NUMBERS,), parameters={"a": 1}))
    assert json.loads(body)["parameters"] == {"a": 1, "content_type": "np"}


@pytest.mark.parametrize("is_binary", [False, True])
def test_an_input_that_is_not_what_it_says_is_refused(is_binary):
    parameters = {"content_type": "datetime"} | ({"binary_data_size": 5} if is_binary else {})
    tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "parameters": parameters}
    if not is_binary:
        tensor["data"] = ["a"]
    head = json.dumps({"inputs": [tensor]}).encode()
    raw = serialise_bytes_elements([b"a"]) if is_binary else b""
    length = len(head) if is_binary else None
    for _ in range(2):  # the second time what the JSON says is remembered
        with pytest.raises(InvalidInput, match="input 'x': element 0 is not a date"):
            decode(Target("m", 0), length, head + raw, None, lambda: 0.0)
