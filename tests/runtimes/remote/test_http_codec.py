from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.dtypes import NUMPY, DType
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import BadInput, LoadError
from gateway.runtimes.remote import http_codec
from gateway.runtimes.remote.description import Described, RemoteTensor
from gateway.runtimes.remote.faults import Fault, Kind
from gateway.runtimes.remote.http_codec import Body
from gateway.runtimes.remote.tensors import Sent

X = TensorSpec("X", DType.FP32, (2,))
T = TensorSpec("T", DType.BYTES, (1,))
SENT = Sent(
    [(X, np.array([[1.5, 2.5]], np.float32)), (T, np.array([[b"ab"]], object))],
    [TensorSpec("Y", DType.INT32, (1,))],
)


def test_a_binary_request_is_json_and_then_the_tensors() -> None:
    body = http_codec.encode(SENT, is_binary=True)
    assert json.loads(body.data[: body.json_bytes]) == {
        "inputs": [
            {"name": "X", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
            {"name": "T", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": 6}},
        ],
        "outputs": [{"name": "Y", "parameters": {"binary_data": True}}],
    }
    assert body.data[body.json_bytes :] == b"\x00\x00\xc0?\x00\x00 @\x02\x00\x00\x00ab"


def test_a_request_for_a_server_without_the_extension_is_json_alone() -> None:
    body = http_codec.encode(SENT, is_binary=False)
    assert body == Body(body.data, 0)
    assert json.loads(body.data) == {
        "inputs": [
            {"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.5]},
            {"name": "T", "datatype": "BYTES", "shape": [1, 1], "data": ["ab"]},
        ],
        "outputs": [{"name": "Y"}],
    }


@pytest.mark.parametrize(
    ("spec", "array", "words"),
    [
        (X, np.array([1.0, np.nan], np.float32), "NaN"),
        (X, np.array([1.0, np.inf], np.float32), "NaN"),
        (T, np.array([b"\xff"], object), "not UTF-8"),
    ],
)
def test_what_json_cannot_carry_is_the_callers_matter(spec: TensorSpec, array: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        http_codec.encode(Sent([(spec, array)], []), is_binary=False)
    assert http_codec.encode(Sent([(spec, array)], []), is_binary=True).json_bytes


def answer(*outputs: dict[str, Any], rest: bytes = b"") -> tuple[bytes, int | None]:
    head = json.dumps({"model_name": "m", "outputs": list(outputs)}).encode()
    return head + rest, len(head) if rest else None


def test_an_answer_may_mix_both_and_have_more_than_was_asked_for() -> None:
    body, length = answer(
        {"name": "Z", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}},
        {"name": "X", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
        {"name": "T", "datatype": "BYTES", "shape": [2], "data": ["a", "\u00e9"]},
        rest=bytes(4) + np.array([1, 2], "<f4").tobytes(),
    )
    texts, floats = http_codec.decode(body, length, [T, X])
    assert texts.tolist() == [b"a", b"\xc3\xa9"]
    assert floats.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("dtype", sorted(set(NUMPY) - {DType.BF16}))
def test_numbers_in_json_flat_or_nested(dtype: DType) -> None:
    spec = TensorSpec("X", dtype, (-1,))
    array = np.array([[0, 1], [1, 0]]).astype(NUMPY[dtype])
    for data in (array.ravel().tolist(), array.tolist()):
        body, _ = answer({"name": "X", "datatype": dtype.name, "shape": [2, 2], "data": data})
        (found,) = http_codec.decode(body, None, [spec])
        assert found.dtype == NUMPY[dtype]
        np.testing.assert_array_equal(found, array)
    body, _ = answer({"name": "X", "datatype": dtype.name, "shape": [0], "data": []})
    assert http_codec.decode(body, None, [spec])[0].shape == (0,)


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("INT8", [128]),
        ("INT8", [1.5]),
        ("INT8", ["1"]),
        ("INT8", [None]),
        ("INT8", [1, [2]]),
        ("UINT8", [-1]),
        ("INT8", 1),
        ("INT8", {"0": 1}),
        ("INT8", [10**30]),
        ("FP32", ["1"]),
        ("FP32", [None]),
        ("FP32", [{}]),
        ("BOOL", [1]),
        ("BOOL", ["true"]),
        ("BYTES", [1]),
        ("BYTES", [None]),
        ("BF16", [1]),
        ("INT8", None),
        ("INT8", [1, 2]),
        ("INT8", []),
        ("INT8", [[[[1]]], 2]),
    ],
)
def test_values_that_are_not_what_was_promised(datatype: str, data: object) -> None:
    spec = TensorSpec("X", DType[datatype], (-1,))
    body, _ = answer({"name": "X", "datatype": datatype, "shape": [1], "data": data})
    with pytest.raises(Fault) as caught:
        http_codec.decode(body, None, [spec])
    assert caught.value.kind is Kind.UNSOUND


GOOD = {"name": "X", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"", None),
        (b"[]", None),
        (b"{}", None),
        (b'{"outputs": {}}', None),
        (b"\xff", None),
        (b"{}", 3),
        answer(),
        answer({}),
        answer({"name": 3}),
        answer(GOOD, GOOD, rest=bytes(8)),
        answer(GOOD),
        answer(GOOD, rest=bytes(3)),
        answer(GOOD, rest=bytes(5)),
        answer({**GOOD, "shape": [2]}, rest=bytes(4)),
        answer({**GOOD, "datatype": "FP64"}, rest=bytes(4)),
        answer({**GOOD, "shape": [-1]}, rest=bytes(4)),
        answer({**GOOD, "parameters": {"binary_data_size": -4}}, rest=bytes(4)),
        answer({**GOOD, "parameters": {"binary_data_size": True}}, rest=bytes(4)),
        answer({**GOOD, "parameters": {"binary_data_size": "4"}}, rest=bytes(4)),
        (b'{"outputs": [' + b"[" * 2000 + b"]" * 2000 + b"]}", None),
        (json.dumps({"outputs": [{"name": str(n)} for n in range(1025)]}).encode(), None),
    ],
)
def test_hostile_answers(body: bytes, length: int | None) -> None:
    with pytest.raises(Fault) as caught:
        http_codec.decode(body, length, [X])
    assert caught.value.kind is Kind.UNSOUND


@given(st.binary(max_size=200), st.none() | st.integers(-5, 300))
def test_no_bytes_do_more_than_fail(body: bytes, length: int | None) -> None:
    with pytest.raises(Fault):
        http_codec.decode(body, length, [X])


JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries({
        "name": st.just("X"),
        "datatype": st.sampled_from(["FP32", "X"]),
        "shape": JSONS,
        "data": JSONS,
    })
)
def test_no_json_does_more_than_fail(output: dict[str, Any]) -> None:
    try:
        (found,) = http_codec.decode(*answer(output), [X])
    except Fault:
        return
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error": "no\\nsuch  model"}', "no such model"),
        (b'{"detail": "not found"}', "not found"),
        (b'{"error": 3}', "HTTP status 500"),
        (b"<html>", "HTTP status 500"),
        (b"[]", "HTTP status 500"),
        (b'{"error": "' + b"x" * 999 + b'"}', "x" * 300),
    ],
)
def test_an_errors_words_are_one_line(body: bytes, expected: str) -> None:
    assert http_codec.error_text(body, 500) == expected


METADATA = json.dumps({
    "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "Y", "datatype": "INT32", "shape": [-1, 1]}],
}).encode()


def test_descriptions_with_and_without_a_configuration() -> None:
    assert http_codec.has_binary(b'{"extensions": ["statistics", "binary_tensor_data"]}')
    assert not http_codec.has_binary(b'{"extensions": ["statistics"]}')
    assert not http_codec.has_binary(b"{}")
    tensors = (RemoteTensor("X", DType.FP32, (-1, 2)),), (RemoteTensor("Y", DType.INT32, (-1, 1)),)
    assert http_codec.described(METADATA, None, is_binary=False) == Described(*tensors, None, False, False)
    config = b'{"max_batch_size": 8, "model_transaction_policy": {"decoupled": true}}'
    assert http_codec.described(METADATA, config, is_binary=True) == Described(*tensors, 8, True, True)
    assert http_codec.described(METADATA, b"{}", is_binary=True) == Described(*tensors, 0, False, True)
    assert http_codec.described(b"{}", None, is_binary=True) == Described((), ())


@pytest.mark.parametrize(
    ("metadata", "config"),
    [
        (b"x", None),
        (b'{"inputs": {}}', None),
        (b'{"inputs": [3], "outputs": []}', None),
        (METADATA, b"x"),
        (METADATA, b'{"max_batch_size": -1}'),
        (METADATA, b'{"max_batch_size": "8"}'),
    ],
)
def test_hostile_descriptions(metadata: bytes, config: bytes | None) -> None:
    with pytest.raises((Fault, LoadError)):
        http_codec.described(metadata, config, is_binary=True)
