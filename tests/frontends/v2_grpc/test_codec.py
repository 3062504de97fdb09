from __future__ import annotations

import struct
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.dtypes import ITEM_SIZE, DType
from gateway.core.errors import GatewayError, InvalidInput, Unsupported
from gateway.core.messages import InferResponse, RequestedOutput
from gateway.core.tensor import Tensor, serialise_bytes_elements
from gateway.frontends.v2_grpc import codec
from gateway.frontends.v2_grpc.codec import decode, encode
from gateway.generated import open_inference_pb2 as pb


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    monkeypatch.setattr(codec, "_plans", {})


def read(message, start=0):
    if not isinstance(message, bytes | bytearray | memoryview):
        message = message.SerializeToString()
    return decode(message, start, inf, None, lambda: 100.0)


def infer(datatype="FP32", shape=(2,), raw=None, contents=None, **fields):
    message = pb.ModelInferRequest(**({"model_name": "m"} | fields))
    tensor = message.inputs.add(name="x", datatype=datatype, shape=shape)
    if contents is not None:
        for field, values in contents.items():
            tensor.contents.SetInParent()
            getattr(tensor.contents, field).extend(values)
    if raw is not None:
        message.raw_input_contents.append(raw)
    return message


# ---- decode -------------------------------------------------------------------------------------


def test_raw_contents():
    message = infer(raw=bytes(8), id="7", model_version="3")
    for _ in range(2):  # the second time from memory
        request = read(message)
        assert (request.model, request.version, request.id, request.protocol) == ("m", 3, "7", "grpc")
        assert request.inputs == (Tensor("x", DType.FP32, (2,), bytes(8)),)
        assert request.deadline == inf


def test_golden_bytes():
    message = b"\x0a\x01m\x1a\x02id*\x0c\x0a\x01x\x12\x04INT8\x1a\x01\x02:\x02\x05\x06"
    assert read(b"frame" + message, 5).inputs == (Tensor("x", DType.INT8, (2,), b"\5\6"),)
    assert pb.ModelInferRequest.FromString(message).id == "id"


def test_the_id_does_not_make_a_request_new():
    for number in range(5):
        assert read(infer(raw=bytes(8), id=f"call {number}")).id == f"call {number}"
    assert len(codec._plans) == 1


def test_memory_of_plans_is_bounded(monkeypatch):
    monkeypatch.setattr(codec, "_CACHED_PLANS", 3)
    for number in range(10):
        read(infer(raw=bytes(8), model_name=f"m{number}"))
        assert len(codec._plans) <= 3
    message = infer(raw=bytes(8))
    message.parameters["k"].string_param = "x" * 5000
    read(message)
    read(infer("BYTES", [1], contents={"bytes_contents": [b"x" * 100]}))
    assert all(len(rest) < 100 for rest in codec._plans)


def test_large_contents_are_views():
    body = bytearray(infer("INT8", [8192], raw=bytes(8192)).SerializeToString())
    (tensor,) = read(body).inputs
    body[-1] = 9
    assert tensor.data[-1] == 9


@pytest.mark.parametrize("dtype", DType)
def test_every_datatype_raw(dtype):
    raw = serialise_bytes_elements([b"a", b"\xff"]) if dtype is DType.BYTES else bytes(2 * ITEM_SIZE[dtype])
    assert read(infer(dtype.name, raw=raw)).inputs == (Tensor("x", dtype, (2,), raw),)


TYPED = [
    ("BOOL", "bool_contents", [True, False], b"\1\0"),
    ("INT8", "int_contents", [-128, 127], b"\x80\x7f"),
    ("INT16", "int_contents", [-2, 2], struct.pack("<2h", -2, 2)),
    ("INT32", "int_contents", [-3, 3], struct.pack("<2i", -3, 3)),
    ("INT64", "int64_contents", [-(1 << 63), 1], struct.pack("<2q", -(1 << 63), 1)),
    ("UINT8", "uint_contents", [0, 255], b"\0\xff"),
    ("UINT16", "uint_contents", [0, 65535], b"\0\0\xff\xff"),
    ("UINT32", "uint_contents", [0, 7], struct.pack("<2I", 0, 7)),
    ("UINT64", "uint64_contents", [0, (1 << 64) - 1], struct.pack("<2Q", 0, (1 << 64) - 1)),
    ("FP32", "fp32_contents", [1.5, inf], struct.pack("<2f", 1.5, inf)),
    ("FP64", "fp64_contents", [0.1, 2], struct.pack("<2d", 0.1, 2)),
    ("BYTES", "bytes_contents", [b"\xff", b""], b"\1\0\0\0\xff\0\0\0\0"),
]


@pytest.mark.parametrize(("datatype", "field", "values", "packed"), TYPED)
def test_typed_contents(datatype, field, values, packed):
    assert read(infer(datatype, contents={field: values})).inputs[0].data == packed
    for shape in ([1], [3], []):
        with pytest.raises(InvalidInput, match="'x'"):
            read(infer(datatype, shape, contents={field: values}))


@pytest.mark.parametrize(
    "contents",
    [{"fp32_contents": [1, 2]}, {"int_contents": [1, 2], "fp32_contents": [1.0]}, {"int_contents": [1, 128]}],
)
def test_typed_contents_of_the_wrong_kind(contents):
    with pytest.raises(InvalidInput, match="'x'"):
        read(infer("INT8", contents=contents))


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_precision_is_raw_only(datatype):
    with pytest.raises(InvalidInput, match="raw_input_contents"):
        read(infer(datatype, contents={"fp32_contents": [1, 2]}))


def test_raw_and_typed_exclude_each_other():
    with pytest.raises(InvalidInput, match="must not be specified when using raw_input_contents"):
        read(infer(raw=bytes(8), contents={"fp32_contents": [1, 2]}))


@pytest.mark.parametrize("is_raw_first", [True, False])
def test_an_empty_tensor_needs_no_contents_and_may_have_them(is_raw_first):
    for is_raw in (is_raw_first, not is_raw_first):
        message = infer(shape=[0, 2], raw=b"" if is_raw else None)
        assert read(message).inputs == (Tensor("x", DType.FP32, (0, 2), b""),)
    assert len(codec._plans) == 1


@pytest.mark.parametrize("raws", [0, 2, 3])
def test_counts_must_match(raws):
    message = infer()
    message.raw_input_contents.extend([bytes(8)] * raws)
    for _ in range(2):
        with pytest.raises(InvalidInput):
            read(message)


def test_parameters_outputs_and_timeout():
    message = infer(raw=bytes(8))
    message.parameters["a"].bool_param = True
    message.parameters["b"].int64_param = -1
    message.parameters["c"].string_param = "s"
    message.parameters["d"].double_param = 0.5
    message.parameters["e"].uint64_param = (1 << 64) - 1
    message.parameters["timeout"].int64_param = 2_000_000
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    message.outputs.add(name="y").parameters["binary_data"].bool_param = True
    message.outputs.add(name="z").parameters["k"].int64_param = 1
    request = read(message)
    assert request.parameters == {"a": True, "b": -1, "c": "s", "d": 0.5, "e": (1 << 64) - 1}
    assert request.outputs == (RequestedOutput("y"), RequestedOutput("z", {"k": 1}))
    assert (request.timeout_at, request.deadline) == (102.0, inf)
    again = decode(message.SerializeToString(), 0, 101.0, None, lambda: 200.0)
    assert (again.timeout_at, again.deadline) == (202.0, 101.0)


@pytest.mark.parametrize("kind", ["int64_param", "uint64_param"])
def test_a_priority_of_either_integer(kind):
    message = pb.ModelInferRequest(model_name="m")
    setattr(message.parameters["priority"], kind, 2)
    request = read(message)
    assert (request.priority, request.parameters) == (2, {})


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"model_name": ""}, "model name"),
        ({"model_name": "../x"}, "model name"),
        ({"model_version": "1x"}, "version"),
        ({"model_version": "0"}, "version"),
        ({"datatype": "FP31"}, "'x'.*datatype"),
        ({"shape": [-1]}, "'x'"),
        ({"shape": [1 << 62, 1 << 62]}, "'x'"),
        ({"shape": [3]}, "'x'"),
        ({"datatype": "BYTES", "raw": b"\1\0\0\0a\0\0\0"}, "'x'"),
    ],
)
def test_what_is_wrong_is_said(fields, text):
    for _ in range(2):
        with pytest.raises(InvalidInput, match=text):
            read(infer(**({"raw": bytes(8)} | fields)))


def test_more_refusals():
    twice = infer(raw=bytes(8))
    twice.outputs.add(name="y")
    twice.outputs.add(name="y")
    empty = infer(raw=bytes(8))
    empty.parameters["k"].SetInParent()
    reserved = infer(raw=bytes(8))
    reserved.parameters["triton_x"].bool_param = True
    for message in (twice, empty, reserved):
        with pytest.raises(InvalidInput):
            read(message)
    region = infer()
    region.inputs[0].parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(Unsupported):
        read(region)


# ---- the walk is protobuf -----------------------------------------------------------------------


def oracle(message):
    """Raw contents, id and all else, as protobuf itself reads `message`; None if it does not."""
    try:
        parsed = codec._parse(message)
    except InvalidInput:
        return None
    raw, identity = list(parsed.raw_input_contents), parsed.id
    parsed.ClearField("raw_input_contents")
    parsed.ClearField("id")
    return raw, identity, parsed


def walked(message):
    try:
        rest, identity, raw = codec._split(b"12345" + message, 5)
        return [bytes(each) for each in raw], identity, codec._parse(rest)
    except InvalidInput:
        return None


def field(number, wire, payload):
    return bytes([number << 3 | wire]) + payload


def delimited(payload):
    return bytes([len(payload)]) + payload


FIELDS = st.one_of(
    st.builds(field, st.integers(1, 15), st.just(2), st.binary(max_size=20).map(delimited)),
    st.builds(
        field,
        st.sampled_from([1, 2, 3]),
        st.just(2),
        st.text(max_size=5).map(lambda t: delimited(t.encode())),
    ),
    st.builds(field, st.just(7), st.just(2), st.binary(max_size=20).map(delimited)),
    st.builds(
        field, st.just(7), st.just(2), st.binary(max_size=90).map(lambda b: bytes([len(b) | 0x80, 0]) + b)
    ),
    st.builds(field, st.integers(0, 15), st.integers(0, 7), st.binary(max_size=9)),
    st.just(infer(raw=bytes(8), id="i").SerializeToString()),
    st.just(infer("INT8", contents={"int_contents": [1, 2]}).SerializeToString()),
    st.just(infer(raw=bytes(300)).SerializeToString()),
    st.binary(max_size=6),
)


@given(st.lists(FIELDS, max_size=6).map(b"".join))
@settings(max_examples=1500)
def test_any_sequence_of_fields_is_read_as_protobuf_reads_it(message):
    assert walked(message) == oracle(message)


@given(st.data())
@settings(max_examples=500)
def test_mutations_are_read_as_protobuf_reads_them_and_only_refused(data):
    whole = infer(raw=b"\2\0\0\0ab\0\0\0\0", datatype="BYTES", id="abc", model_version="1")
    whole.parameters["k"].int64_param = 300
    whole.outputs.add(name="y")
    message = bytearray(whole.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(message) - 1))
        if data.draw(st.booleans()):
            message[at] = data.draw(st.integers(0, 255))
        else:
            del message[at : at + data.draw(st.integers(1, 5))]
        if not message:
            break
    assert walked(bytes(message)) == oracle(bytes(message))
    try:
        read(bytes(message))
    except GatewayError as error:
        assert isinstance(error, InvalidInput | Unsupported)  # ruff: ignore[pytest-assert-in-except]


def test_cut_at_every_byte():
    """Between two fields a cut message is a whole one, which says less: never half a tensor."""
    message = infer("BYTES", raw=b"\2\0\0\0ab\0\0\0\0", id="abc").SerializeToString()
    read(message)
    whole = [end for end in range(len(message)) if oracle(message[:end]) is not None]
    for end in range(len(message)):
        if end in whole and oracle(message[:end])[2].model_name and not oracle(message[:end])[2].inputs:
            assert read(message[:end]).inputs == ()
        else:
            with pytest.raises(InvalidInput):
                read(message[:end])


# ---- encode -------------------------------------------------------------------------------------


def parse(body):
    whole = b"".join(body) if isinstance(body, tuple) else body
    flag, size = struct.unpack_from(">BI", whole)
    assert (flag, size) == (0, len(whole) - 5)
    return pb.ModelInferResponse.FromString(whole[5:])


def test_golden_answer():
    score = Tensor("s", DType.INT8, (1, 2), b"\5\6")
    message = b"\x0a\x01m\x12\x011*\x0d\x0a\x01s\x12\x04INT8\x1a\x02\x01\x022\x02\5\6"
    assert encode(InferResponse("m", 1, (score,))) == struct.pack(">BI", 0, len(message)) + message


def test_large_answers_are_not_joined():
    data = bytes(1 << 17)
    body = encode(InferResponse("m", 1, (Tensor("s", DType.UINT8, (1 << 17,), data),), "id"))
    assert isinstance(body, tuple)
    assert body[-1] is data
    assert parse(body).raw_output_contents[0] == data


TENSORS = st.builds(
    lambda name, dtype, dims, data: Tensor(name, dtype, tuple(dims), data),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    st.sampled_from(DType),
    st.lists(st.integers(0, 1 << 40), max_size=3),
    st.binary(max_size=300) | st.binary(max_size=20).map(memoryview),
)
PARAMETERS = st.dictionaries(
    st.text(max_size=3),
    st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False) | st.text(max_size=3),
    max_size=3,
)


@given(st.lists(TENSORS, max_size=3), st.text(max_size=5), PARAMETERS, st.integers(1, 1 << 60))
@settings(max_examples=300)
def test_protobuf_reads_what_is_assembled_by_hand(tensors, identity, parameters, version):
    parsed = parse(encode(InferResponse("m", version, tuple(tensors), identity, parameters)))
    assert (parsed.model_name, parsed.model_version, parsed.id) == ("m", str(version), identity)
    assert {
        key: getattr(value, value.WhichOneof("parameter_choice")) for key, value in parsed.parameters.items()
    } == parameters
    assert [(o.name, o.datatype, tuple(o.shape)) for o in parsed.outputs] == [
        (t.name, t.dtype.name, t.shape) for t in tensors
    ]
    assert list(parsed.raw_output_contents) == [bytes(t.data) for t in tensors]


@pytest.mark.parametrize("dtype", DType)
def test_what_is_answered_can_be_sent_again(dtype):
    data = (
        serialise_bytes_elements([b"\xff", b""])
        if dtype is DType.BYTES
        else bytes(range(2 * ITEM_SIZE[dtype]))
    )
    parsed = parse(encode(InferResponse("m", 1, (Tensor("x", dtype, (2,), data),))))
    again = pb.ModelInferRequest(model_name="m", raw_input_contents=parsed.raw_output_contents)
    again.inputs.add(name="x", datatype=parsed.outputs[0].datatype, shape=parsed.outputs[0].shape)
    assert read(again).inputs[0].data == data


def test_size_is_checked_before_numpy_could_see_it():
    values = np.zeros(3, "<f4").tobytes()
    with pytest.raises(InvalidInput, match="expecting 8 bytes"):
        read(infer(raw=values))


# ---- content types --------------------------------------------------------------------------------


def test_an_input_is_kept_to_its_content_type_also_when_its_plan_is_remembered():
    for text, is_right in ((b"2024-02-29", True), (b"soon", False), (b"2024-03-01", True), (b"never", False)):
        message = infer("BYTES", [1], raw=serialise_bytes_elements([text]))
        message.inputs[0].parameters["content_type"].string_param = "datetime"
        if is_right:
            assert read(message).inputs[0].data == serialise_bytes_elements([text])
            continue
        with pytest.raises(InvalidInput, match="input 'x': element 0 is not a date"):
            read(message)


def test_a_content_type_must_be_known_and_have_a_value():
    message = infer(raw=bytes(8))
    parameter = message.inputs[0].parameters["content_type"]
    with pytest.raises(InvalidInput, match="parameter 'content_type' has no value"):
        read(message)
    parameter.string_param = "npy"
    with pytest.raises(InvalidInput, match="input 'x': content_type is 'npy'"):
        read(message)
    del message.inputs[0].parameters["content_type"]
    message.inputs[0].parameters["another"].SetInParent()  # is the caller's own business
    message.parameters["content_type"].string_param = "np"
    assert read(message).parameters == {"content_type": "np"}
    message.parameters["content_type"].string_param = "str"
    with pytest.raises(InvalidInput, match="input 'x': content_type 'str' is for BYTES, not for FP32"):
        read(message)
