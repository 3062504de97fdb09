from __future__ import annotations

import json
import struct
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.dtypes import ITEM_SIZE, NUMPY, DType
from gateway.core.errors import GatewayError, InvalidInput, TooLarge, Unsupported
from gateway.core.messages import InferResponse, RequestedOutput
from gateway.core.tensor import Tensor, serialise_bytes_elements
from gateway.frontends.v2_rest import codec
from gateway.frontends.v2_rest.codec import ALL_JSON, Target, decode, encode
from gateway.frontends.v2_rest.forms import Form
from tests.fakes.inference import FakeLease

TARGET = Target("m", 2)
FRAUD = b'{"inputs":[{"name":"features","shape":[1,3],"datatype":"FP32","data":[1.5,-2,0.1]}]}'
PACKED = struct.pack("<3f", 1.5, -2, 0.1)


def read(body, length=None):
    if isinstance(body, dict | list):
        body = json.dumps(body).encode()
    return decode(TARGET, length, body, None, lambda: 100.0)


def document(**changes):
    tensor = {"name": "x", "shape": [2], "datatype": "INT32", "data": [1, 2]}
    return {"inputs": [tensor]} | changes


def binary_body(document, *blobs):
    head = json.dumps(document).encode()
    return head + b"".join(blobs), len(head)


# ---- decode -------------------------------------------------------------------------------------


def test_the_plainest_request():
    request, form = read(FRAUD)
    assert (request.model, request.version, request.id, request.protocol) == ("m", 2, "", "rest")
    assert request.inputs == (Tensor("features", DType.FP32, (1, 3), PACKED),)
    assert (request.outputs, request.deadline, form) == ((), inf, ALL_JSON)


@pytest.mark.parametrize("body", [memoryview(FRAUD), bytearray(FRAUD)])
def test_any_buffer_will_do(body):
    assert read(body) == read(FRAUD)


@pytest.mark.parametrize(
    "body",
    [
        FRAUD.replace(b"[1.5,-2,0.1]", b"[[1.5,-2,0.1]]"),
        FRAUD.replace(b'"FP32"', b'"FP\\u0033\\u0032"'),
        FRAUD.replace(b'"FP32"', b'"FP32","x":{"y":["z"]}'),
        FRAUD.replace(b"{", b'{"parameters":{},', 1),
        FRAUD.replace(b"{", b'{"outputs":[],', 1),
        FRAUD.replace(b"{", b' \n{"unknown":"\\"", ', 1),
    ],
)
def test_the_same_request_otherwise_spelt(body):
    assert read(body) == read(FRAUD)


def test_an_id_and_more_inputs_still_take_the_short_way():
    body = document(id="abc")
    body["inputs"].append({"name": "y", "shape": [1], "datatype": "FP64", "data": [3]})
    text = json.dumps(body).encode()
    assert codec._plain_inputs(text) is not None
    request, _ = read(text)
    assert request.id == "abc"
    assert [bytes(tensor.data) for tensor in request.inputs] == [
        struct.pack("<2i", 1, 2),
        struct.pack("<d", 3.0),
    ]


def test_parameters_and_timeout():
    request, _ = read(document(parameters={"a": 1, "timeout": 2_000_000, "priority": 3}))
    assert (request.parameters, request.priority) == ({"a": 1}, 3)
    assert (request.timeout_at, request.deadline) == (102.0, inf)


def test_requested_outputs():
    outputs = [{"name": "a", "parameters": {"binary_data": True, "k": 1}}, {"name": "b"}]
    request, form = read(document(outputs=outputs))
    assert request.outputs == (RequestedOutput("a", {"k": 1}), RequestedOutput("b"))
    assert form == Form(frozenset({"a"}))


def test_binary_data_output_counts_only_where_no_output_is_named():
    asked = {"parameters": {"binary_data_output": True}}
    assert read(document(**asked))[1].all_binary
    assert read(document(outputs=[{"name": "a"}], **asked))[1] == ALL_JSON


@pytest.mark.parametrize("dtype", DType)
def test_every_datatype_by_binary_data(dtype):
    blob = serialise_bytes_elements([b"a", b"\xff"]) if dtype is DType.BYTES else bytes(2 * ITEM_SIZE[dtype])
    tensor = {
        "name": "x",
        "shape": [2],
        "datatype": dtype.name,
        "parameters": {"binary_data_size": len(blob)},
    }
    body, length = binary_body({"inputs": [tensor]}, blob)
    for _ in range(2):  # the second time from memory
        request, _ = read(body, length)
        assert request.inputs == (Tensor("x", dtype, (2,), blob),)


def test_a_remembered_header_brings_its_own_deadline_id_and_form():
    head = {
        "id": "7",
        "inputs": [{"name": "x", "shape": [1], "datatype": "INT8", "parameters": {"binary_data_size": 1}}],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
        "parameters": {"timeout": 1_000_000},
    }
    body, length = binary_body(head, b"\5")
    first, again = (decode(TARGET, length, body, None, lambda now=now: now) for now in (1.0, 2.0))
    assert (first[0].timeout_at, again[0].timeout_at) == (2.0, 3.0)
    assert first[0].id == again[0].id == "7"
    assert first[1] == again[1] == Form(frozenset({"y"}))


def test_memory_of_headers_is_bounded(monkeypatch):
    monkeypatch.setattr(codec, "_headers", {})
    monkeypatch.setattr(codec, "_CACHED_HEADERS", 3)
    for number in range(10):
        head = {
            "id": str(number),
            "inputs": [
                {"name": "x", "shape": [1], "datatype": "INT8", "parameters": {"binary_data_size": 1}}
            ],
        }
        read(*binary_body(head, b"\5"))
        assert len(codec._headers) <= 3
    read(*binary_body({"id": "x" * 4000, **{key: head[key] for key in ("inputs",)}}, b"\5"))
    assert max(map(len, codec._headers)) <= codec._CACHED_HEADER_BYTES


def test_json_and_binary_inputs_mixed():
    mixed = document()
    mixed["inputs"].insert(
        0, {"name": "b", "shape": [1, 2], "datatype": "FP16", "parameters": {"binary_data_size": 4}}
    )
    request, _ = read(*binary_body(mixed, b"abcd"))
    assert [bytes(tensor.data) for tensor in request.inputs] == [b"abcd", struct.pack("<2i", 1, 2)]


def test_the_lease_goes_with_the_request():
    lease = FakeLease()
    assert decode(TARGET, None, FRAUD, lease, lambda: 0.0)[0].lease is lease
    with pytest.raises(InvalidInput):
        decode(TARGET, None, b"{}", lease, lambda: 0.0)
    assert lease.holds == 1


def test_the_json_part_is_capped():
    small = TARGET._replace(max_json_bytes=20)
    for body, length in ((FRAUD, None), (FRAUD, len(FRAUD))):
        with pytest.raises(TooLarge):
            decode(small, length, body, None, lambda: 0.0)


def nested(depth):
    return {"inputs": [], "x": json.loads("[" * depth + "]" * depth)}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ([], "object"),
        ({}, "inputs"),
        ({"inputs": {}}, "array of objects"),
        ({"inputs": [1]}, "array of objects"),
        ({"inputs": [{}]}, "name"),
        ({"inputs": [{"name": 1}]}, "name"),
        ({"inputs": [{"name": "x"}]}, "'x'.*datatype"),
        (document(outputs={}), "array of objects"),
        (document(outputs=[{}]), "name"),
        (document(outputs=[{"name": "a"}, {"name": "a"}]), "'a' is requested more than once"),
        (document(outputs=[{"name": "a", "parameters": 1}]), "'a'.*parameters"),
        (document(outputs=[{"name": "a", "parameters": {"binary_data": 1}}]), "'a'.*binary_data"),
        (document(parameters=[]), "parameters"),
        (document(parameters={"triton_x": 1}), "triton_"),
        (document(id=1), "'id'"),
        (nested(101), "deeper"),
        (b'{"inputs":[],"inputs":[]}', "duplicate key 'inputs'"),
        (FRAUD.replace(b'"shape"', b'"name":"y","shape"'), "duplicate key 'name'"),
        (FRAUD.replace(b"{", b'{"id":"a","id":"b",', 1), "duplicate key 'id'"),
        (FRAUD.replace(b"1.5", b"NaN,"), "parse"),
        (FRAUD.replace(b"[1,3]", b"[NaN]"), "shape"),
        (FRAUD.replace(b"FP32", b"INT32").replace(b"1.5", b"NaN"), "INT32"),
        (FRAUD.replace(b'"features"', b'"\\ud800"'), "parse"),
        (FRAUD.replace(b"1.5", b"true"), "'features'"),
        (FRAUD.replace(b"features", b"\xff"), "parse"),
        (FRAUD.replace(b"inputs", b"\x80nputs"), "parse"),
    ],
)
def test_what_is_wrong_is_said(body, text):
    with pytest.raises(InvalidInput, match=text):
        read(body)


def test_exactly_one_source_for_each_input():
    both = document()
    both["inputs"][0]["parameters"] = {"binary_data_size": 8}
    neither = document()
    del neither["inputs"][0]["data"]
    for body in (both, neither):
        with pytest.raises(InvalidInput, match="must set only one of"):
            read(body)


@pytest.mark.parametrize(
    "parameters", [{"shared_memory_region": "r"}, {"shared_memory_region": "r", "binary_data_size": 1}]
)
def test_client_shared_memory_is_not_offered(parameters):
    body = document()
    body["inputs"][0] = {"name": "x", "shape": [1], "datatype": "INT8", "parameters": parameters}
    with pytest.raises(Unsupported, match="shared memory"):
        read(body)


def test_infinity_is_a_number_of_fp_tensors():
    request, _ = read(FRAUD.replace(b"1.5", b"NaN").replace(b"-2", b"-Infinity"))
    values = struct.unpack("<3f", request.inputs[0].data)
    assert values[0] != values[0]
    assert values[1] == -inf


# ---- encode -------------------------------------------------------------------------------------

SCORE = Tensor("score", DType.FP32, (1, 2), struct.pack("<2f", 0.5, -3))


def test_golden_json():
    body, length = encode(ALL_JSON, InferResponse("fraud", 3, (SCORE,)))
    assert length is None
    assert body == (
        b'{"model_name":"fraud","model_version":"3","outputs":'
        b'[{"name":"score","datatype":"FP32","shape":[1,2],"data":[0.5,-3.0]}]}'
    )


def test_golden_id_and_parameters():
    body, _ = encode(ALL_JSON, InferResponse("m", 1, (), 'a"b', {"k": True}))
    assert body == (
        b'{"model_name":"m","model_version":"1","id":"a\\"b","parameters":{"k":true},"outputs":[]}'
    )


def test_golden_binary():
    other = Tensor("label", DType.BYTES, (1,), serialise_bytes_elements([b"ok"]))
    body, length = encode(Form(frozenset({"score"})), InferResponse("m", 1, (other, SCORE)))
    head = (
        b'{"model_name":"m","model_version":"1","outputs":'
        b'[{"name":"label","datatype":"BYTES","shape":[1],"data":["ok"]},'
        b'{"name":"score","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}'
    )
    assert (body, length) == ((head, SCORE.data), len(head))
    assert body[1] is SCORE.data


def test_binary_outputs_of_no_bytes_are_announced_in_plain_json():
    empty = Tensor("x", DType.FP16, (0,), b"")
    body, length = encode(Form(all_binary=True), InferResponse("m", 1, (empty,)))
    assert length is None
    assert json.loads(body)["outputs"][0]["parameters"] == {"binary_data_size": 0}


@pytest.mark.parametrize("dtype", DType)
@given(data=st.data())
@settings(max_examples=15)
def test_what_is_answered_can_be_sent_again(dtype, data):
    """encode, then decode of its own words: the tensors are the same, in both formats."""
    shape = tuple(data.draw(st.lists(st.integers(0, 3), max_size=3)))
    count = int(np.prod(shape))
    if dtype is DType.BYTES:
        texts = data.draw(st.lists(st.text(max_size=5), min_size=count, max_size=count))
        blob = serialise_bytes_elements([text.encode() for text in texts])
    elif dtype is DType.BOOL:
        blob = bytes(data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    elif NUMPY[dtype].kind == "f":
        floats = st.floats(width=16, allow_nan=False)
        blob = np.array(data.draw(st.lists(floats, min_size=count, max_size=count)), NUMPY[dtype]).tobytes()
    else:
        blob = data.draw(st.binary(min_size=count * ITEM_SIZE[dtype], max_size=count * ITEM_SIZE[dtype]))
    if dtype is DType.BF16:  # JSON knows one NaN, BF16 many
        bits = np.frombuffer(blob, "<u2")
        blob = np.where(bits & 0x7FFF > 0x7F80, 0x7FC0, bits).astype("<u2").tobytes()
    tensor = Tensor("x", dtype, shape, blob)
    for form in (Form(all_binary=True), ALL_JSON):
        body, _ = encode(form, InferResponse("m", 1, (tensor,)))
        head = body[0] if isinstance(body, tuple) else body
        again = json.dumps({"inputs": json.loads(head)["outputs"]}).encode()
        payload = b"".join(body[1:]) if isinstance(body, tuple) else b""
        request, _ = read(again + payload, len(again) if form is not ALL_JSON else None)
        assert [(t.name, t.dtype, t.shape, bytes(t.data)) for t in request.inputs] == [
            ("x", dtype, shape, blob)
        ]


# ---- hostile ------------------------------------------------------------------------------------

BINARY, BINARY_LENGTH = binary_body(
    {
        "id": "1",
        "inputs": [
            {"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
            {"name": "s", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 6}},
        ],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    },
    bytes(8),
    b"\2\0\0\0ab",
)


def try_to_read(body, length):
    """Only a GatewayError may come out."""
    try:
        request, _ = read(body, length)
    except GatewayError as error:
        assert isinstance(error, InvalidInput | Unsupported | TooLarge)  # ruff: ignore[pytest-assert-in-except]
        return
    for tensor in request.inputs:
        if tensor.dtype is not DType.BYTES:
            assert len(tensor.data) == int(np.prod(tensor.shape, dtype=object)) * ITEM_SIZE[tensor.dtype]


def test_cut_at_every_byte():
    for end in range(len(FRAUD)):
        with pytest.raises(InvalidInput):
            read(FRAUD[:end])
    for end in range(len(BINARY)):
        with pytest.raises(InvalidInput):
            read(BINARY[:end], BINARY_LENGTH)


def test_lying_header_lengths():
    for length in range(len(BINARY) + 5):
        if length != BINARY_LENGTH:
            with pytest.raises((InvalidInput, Unsupported)):
                read(BINARY, length)


@given(st.data())
@settings(max_examples=400)
def test_mutated_bodies(data):
    body, length = data.draw(st.sampled_from([(FRAUD, None), (BINARY, BINARY_LENGTH), (BINARY, None)]))
    changed = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        match data.draw(st.sampled_from(["set", "insert", "drop", "repeat"])):
            case "set":
                changed[at] = data.draw(st.integers(0, 255))
            case "insert":
                changed[at:at] = data.draw(
                    st.sampled_from([b"[", b"{", b'"', b"NaN", b"-1", b"null", b"1e999"])
                )
            case "drop":
                del changed[at : at + data.draw(st.integers(1, 8))]
            case "repeat":
                changed[at:at] = changed[at : at + 40]
        if not changed:
            break
    try_to_read(bytes(changed), length)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just("BYTES"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)
ANY_INPUT = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("x") | JUNK,
        "shape": st.lists(st.integers(-1, 3) | st.just(1 << 62), max_size=3) | JUNK,
        "datatype": st.sampled_from([dtype.name for dtype in DType]) | JUNK,
        "data": JUNK,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-1, 9) | JUNK})
        | JUNK,
    },
)
ANY_REQUEST = st.fixed_dictionaries(
    {"inputs": st.lists(ANY_INPUT, max_size=2) | JUNK},
    optional={"id": JUNK, "outputs": st.lists(ANY_INPUT, max_size=2) | JUNK, "parameters": JUNK},
)


@given(ANY_REQUEST, st.binary(max_size=16), st.booleans())
@settings(max_examples=400)
def test_any_json_in_any_field(request_document, blob, is_binary):
    head = json.dumps(request_document).encode()
    try_to_read(head + blob if is_binary else head, len(head) if is_binary else None)
