"""The table: what is asked, through every door, and what must come of it.

A row is a Case. A further kind of model adds its folders to models.KINDS and its rows here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

REST_JSON, REST_BINARY, NATIVE, GRPCIO = DOORS = ("REST JSON", "REST binary", "gRPC native", "gRPC grpcio")
GRPC = (NATIVE, GRPCIO)
EVERY = frozenset(DOORS)
BINARY = EVERY - {REST_JSON}  # bytes that JSON has no way to say

# Above this a request is refused unread; see conftest.
MAX_REQUEST_BYTES = 1 << 20


class Given(NamedTuple):
    """A tensor of a request: its bytes as they travel, and, for JSON, its elements."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes
    elements: tuple[object, ...] = ()
    content_type: str = ""


class Failure(NamedTuple):
    """Why a case must fail: the `code` of REST, `words` in its text, and whether all doors say the same."""

    code: str
    words: str
    same_text: bool = True


class Case(NamedTuple):
    """One row. `answer` is what must come back by name and raw bytes; `failure` what instead of it."""

    id: str
    model: str
    inputs: tuple[Given, ...] = ()
    answer: Mapping[str, bytes] | None = None
    failure: Failure | None = None
    version: str = ""
    outputs: tuple[str, ...] = ()  # none: all
    timeout_us: int = 0
    content_type: str = ""
    # Further ones, of the request.
    parameters: Mapping[str, int | str] = MappingProxyType({})
    # Instead of a request of the rest: these bytes, by door.
    garbage: Mapping[str, bytes] = MappingProxyType({})
    doors: frozenset[str] = EVERY


def numbers(name: str, datatype: str, array: np.ndarray) -> Given:
    """A tensor of `array`'s shape and elements."""
    return Given(name, datatype, array.shape, array.tobytes(), tuple(array.ravel().tolist()))


def texts(name: str, *elements: bytes) -> Given:
    """A BYTES tensor of one row; `elements` that are not UTF-8 cannot go by JSON."""
    raw = b"".join(struct.pack("<I", len(one)) + one for one in elements)
    return Given(
        name, "BYTES", (1, len(elements)), raw, tuple(one.decode("utf-8", "replace") for one in elements)
    )


def bfloats(name: str, *values: float) -> Given:
    """A BF16 tensor of one row: the upper halves of FP32 numbers that have nothing in the lower ones."""
    bits = np.array(values, "<f4").view("<u4")
    assert not (bits & 0xFFFF).any()
    return Given(name, "BF16", (1, len(values)), (bits >> 16).astype("<u2").tobytes(), values)


def fp32(*values: float, name: str = "X") -> Given:
    """One row of FP32."""
    return numbers(name, "FP32", np.array([values], "<f4"))


def int32(name: str, array: np.ndarray) -> Given:
    return numbers(name, "INT32", array.astype("<i4"))


# ---- every datatype -------------------------------------------------------------------------------

_FLOATS = [0.0, -0.0, 1.5, float("inf"), float("-inf"), float("nan")]
_SAMPLES: tuple[Given, ...] = (
    numbers("X", "BOOL", np.array([[True, False, True], [False, False, True]])),
    numbers("X", "UINT8", np.array([[0, 1, 255], [7, 8, 9]], "u1")),
    numbers("X", "UINT16", np.array([[0, 1, 65_535], [7, 8, 9]], "<u2")),
    numbers("X", "UINT32", np.array([[0, 1, 2**32 - 1], [7, 8, 9]], "<u4")),
    numbers("X", "UINT64", np.array([[0, 2**53 + 1, 2**64 - 1], [7, 8, 9]], "<u8")),
    numbers("X", "INT8", np.array([[-128, 0, 127], [7, -8, 9]], "i1")),
    numbers("X", "INT16", np.array([[-32_768, 0, 32_767], [7, -8, 9]], "<i2")),
    numbers("X", "INT32", np.array([[-(2**31), 0, 2**31 - 1], [7, -8, 9]], "<i4")),
    numbers("X", "INT64", np.array([[-(2**63), -(2**53) - 1, 2**63 - 1], [7, -8, 9]], "<i8")),
    numbers("X", "FP16", np.array([[*_FLOATS, 65_504.0, 2**-24]], "<f2")),
    numbers("X", "FP32", np.array([[*_FLOATS, 3.4028234e38, 1e-45]], "<f4")),
    numbers("X", "FP64", np.array([[*_FLOATS, 1.7976931348623157e308, 5e-324]], "<f8")),
    bfloats("X", *_FLOATS, 2.0**127),
    texts("X", b"", "grüße €".encode(), b"a\0b", b"x" * 10_000),
)
# In an ONNX model, and in either kind of model in Python.
DATATYPES = tuple(
    Case(
        f"{sample.datatype} {kind}",
        f"{kind}_{sample.datatype.lower()}",
        (sample,),
        answer={"Y": sample.raw},
        doors=EVERY,
    )
    for kind in ("echo", "own", "for_triton")
    for sample in _SAMPLES
)

# ---- answers of other shapes ----------------------------------------------------------------------

_A, _B = np.arange(16).reshape(1, 16), np.full((1, 16), 3)
_PAIR = (int32("INPUT0", _A), int32("INPUT1", _B))
_SUM, _DIFFERENCE = ((_A + sign * _B).astype("<i4").tobytes() for sign in (1, -1))
_ONE = (fp32(1),)
ANSWERS = (
    Case("two inputs, all outputs", "simple", _PAIR, answer={"OUTPUT0": _SUM, "OUTPUT1": _DIFFERENCE}),
    Case("inputs in another order", "simple", _PAIR[::-1], answer={"OUTPUT0": _SUM, "OUTPUT1": _DIFFERENCE}),
    Case("one of the outputs", "simple", _PAIR, outputs=("OUTPUT1",), answer={"OUTPUT1": _DIFFERENCE}),
    Case("a version by number", "echo_fp32", (fp32(1, 2),), version="1", answer={"Y": fp32(1, 2).raw}),
    Case("in time", "echo_fp32", (fp32(1),), timeout_us=30_000_000, answer={"Y": fp32(1).raw}),
    Case("a timeout that the policy outranks", "patient", _ONE, timeout_us=1, answer={"Y": fp32(1).raw}),
    Case("a timeout that is none", "impatient", _ONE, answer={"Y": fp32(1).raw}),
    Case("rows without elements", "echo_fp32", (Given("X", "FP32", (2, 0), b""),), answer={"Y": b""}),
    Case(
        "large enough for shared memory",
        "echo_fp32",
        (fp32(*range(50_000)),),
        answer={"Y": np.arange(50_000, dtype="<f4").tobytes()},
    ),
)

# ---- failures -------------------------------------------------------------------------------------

_INVALID = "INVALID_INPUT"
_X = (fp32(1, 2, 3),)
FAILURES = (
    Case("unknown model", "absent", _X, failure=Failure("NOT_FOUND", "unknown model: 'absent' is not found")),
    Case(
        "unknown version",
        "echo_fp32",
        _X,
        version="9",
        failure=Failure("NOT_FOUND", "unknown model: 'echo_fp32' version 9 is not found"),
    ),
    Case("a version that is no label", "echo_fp32", _X, version="1x", failure=Failure(_INVALID, "version")),
    Case("an unknown label", "echo_fp32", _X, version="canary", failure=Failure("NOT_FOUND", "'canary'")),
    Case("a name that is none", "..%2Fetc", _X, failure=Failure(_INVALID, "name", same_text=False)),
    Case(
        "wrong shape",
        "simple",
        (int32("INPUT0", _A.reshape(1, 4, 4)), _PAIR[1]),
        failure=Failure(_INVALID, "unexpected shape for input 'INPUT0'"),
    ),
    Case(
        "too many rows",
        "simple",
        (int32("INPUT0", np.zeros((99, 16))), int32("INPUT1", np.zeros((99, 16)))),
        failure=Failure(_INVALID, "batch-size must be 1 to"),
    ),
    Case(
        "no row",
        "simple",
        (int32("INPUT0", np.zeros((0, 16))), int32("INPUT1", np.zeros((0, 16)))),
        failure=Failure(_INVALID, "batch-size must be 1 to"),
    ),
    Case(
        "different rows",
        "simple",
        (int32("INPUT0", np.zeros((1, 16))), int32("INPUT1", np.zeros((2, 16)))),
        failure=Failure(_INVALID, "differ in their batch dimension"),
    ),
    Case(
        "wrong rank",
        "echo_fp32",
        (Given("X", "FP32", (2,), bytes(8), (0, 0)),),
        failure=Failure(_INVALID, "'X'"),
    ),
    Case(
        "a negative dimension",
        "echo_fp32",
        (Given("X", "FP32", (1, -2), bytes(8), (0, 0)),),
        failure=Failure(_INVALID, "'X'"),
    ),
    Case(
        "dimensions that overflow",
        "echo_fp32",
        (Given("X", "FP32", (2**40, 2**40), bytes(8), (0, 0)),),
        failure=Failure(_INVALID, "'X'"),
    ),
    Case(
        "wrong datatype",
        "echo_fp32",
        (numbers("X", "INT32", np.zeros((1, 2), "<i4")),),
        failure=Failure(_INVALID, "has datatype INT32, the model expects FP32"),
    ),
    Case(
        "unknown datatype",
        "echo_fp32",
        (Given("X", "FP31", (1, 1), bytes(4), (0,)),),
        failure=Failure(_INVALID, "datatype", same_text=False),
    ),
    Case(
        "missing input", "simple", _PAIR[:1], failure=Failure(_INVALID, "expected 2 inputs but got 1 inputs")
    ),
    Case("no input", "simple", (), failure=Failure(_INVALID, "expected 2 inputs but got 0 inputs")),
    Case(
        "unknown input",
        "simple",
        (*_PAIR, int32("INPUT2", _A)),
        failure=Failure(_INVALID, "unexpected inference input 'INPUT2'"),
    ),
    Case("duplicate input", "echo_fp32", _X * 2, failure=Failure(_INVALID, "an input is given twice")),
    Case(
        "unknown output",
        "echo_fp32",
        _X,
        outputs=("Z",),
        failure=Failure(_INVALID, "unexpected inference output 'Z'"),
    ),
    Case(
        "duplicate output",
        "echo_fp32",
        _X,
        outputs=("Y", "Y"),
        failure=Failure(_INVALID, "'Y' is requested more than once"),
    ),
    Case(
        "too few bytes",
        "echo_fp32",
        (Given("X", "FP32", (1, 3), bytes(8), (0, 0)),),
        failure=Failure(_INVALID, "'X'", same_text=False),
    ),
    Case(
        "too many bytes",
        "echo_fp32",
        (Given("X", "FP32", (1, 1), bytes(8), (0, 0)),),
        failure=Failure(_INVALID, "'X'", same_text=False),
    ),
    Case(
        "too few texts",
        "echo_bytes",
        (texts("X", b"one")._replace(shape=(1, 2)),),
        failure=Failure(_INVALID, "'X'", same_text=False),
    ),
    Case(
        "a text that runs past its tensor",
        "echo_bytes",
        (Given("X", "BYTES", (1, 1), b"\xff\xff\xff\x7fabc"),),
        failure=Failure(_INVALID, "'X'"),
        doors=BINARY,
    ),
    Case(
        "a text that is not UTF-8 for an engine that takes no other",
        "echo_bytes",
        (texts("X", b"\xff\xfe"),),
        failure=Failure(_INVALID, "input 'X' has an element that is not UTF-8"),
        doors=BINARY,
    ),
    Case(
        "a value the model cannot take",
        "table",
        (numbers("X", "INT64", np.array([[7]], "<i8")),),
        failure=Failure(_INVALID, "out of data bounds"),
    ),
    Case(
        "a model that raises", "three_only", (fp32(1, 2, 3, 4),), failure=Failure("MODEL_FAILED", "Reshape")
    ),
    Case("a broken model", "broken", _X, failure=Failure("MODEL_UNAVAILABLE", "model 'broken'")),
    Case(
        "a deadline that passes",
        "busy",
        (fp32(1_000_000),),
        timeout_us=100_000,
        failure=Failure("DEADLINE_EXCEEDED", "Request timeout expired"),
    ),
    Case(
        "a timeout in the queue",
        "impatient",
        _ONE,
        timeout_us=1,
        failure=Failure("QUEUE_TIMEOUT", "Request timeout expired"),
    ),
    Case(
        "too large",
        "echo_fp32",
        (fp32(*[0] * (MAX_REQUEST_BYTES // 2)),),
        failure=Failure("TOO_LARGE", "", same_text=False),
    ),
    Case(
        "no request at all",
        "echo_fp32",
        garbage={
            REST_JSON: b"{",
            REST_BINARY: b"\xff\xff",
            NATIVE: b"\xff\xff",
            GRPCIO: b"\xff\xff",
        },
        failure=Failure(_INVALID, "", same_text=False),
    ),
)

# ---- sequences; what a model that keeps them answers is in test_sequences --------------------------

SEQUENCES = (
    Case(
        "a sequence of a model that keeps none",
        "echo_fp32",
        (fp32(1, 2),),
        parameters={"sequence_id": 5, "sequence_start": True},
        answer={"Y": fp32(1, 2).raw},
    ),
    Case(
        "a sequence id that is none",
        "echo_fp32",
        _X,
        parameters={"sequence_id": -1},
        failure=Failure(_INVALID, "parameter 'sequence_id' must be an integer of 0 to"),
    ),
    Case(
        "a start that is neither true nor false",
        "echo_fp32",
        _X,
        parameters={"sequence_id": 5, "sequence_start": 1},
        failure=Failure(_INVALID, "'sequence_start' must be true or false"),
    ),
    Case(
        "a stateful model behind two fronts",
        "sums",
        (int32("INPUT", np.ones((1, 1))),),
        parameters={"sequence_id": 5, "sequence_start": True},
        failure=Failure(
            "MODEL_UNAVAILABLE", "sequence_batching: is supported with server.fronts = 1, there are 2"
        ),
    ),
)

# ---- ensembles ------------------------------------------------------------------------------------

_EACH = (int32("A", _A), int32("B", _B))
_TWO_ROWS = tuple(int32(name, np.repeat(array, 2, axis=0)) for name, array in (("A", _A), ("B", _B)))
_TWICE_A, _TWICE_B = ((2 * array).astype("<i4") for array in (_A, _B))
ENSEMBLES = (
    Case(
        "an ensemble of three",
        "twice_of_each",
        _EACH,
        answer={"TWICE_A": _TWICE_A.tobytes(), "TWICE_B": _TWICE_B.tobytes()},
    ),
    Case(
        "one output of an ensemble",
        "twice_of_each",
        _EACH,
        outputs=("TWICE_B",),
        answer={"TWICE_B": _TWICE_B.tobytes()},
    ),
    Case(
        "rows through an ensemble",
        "twice_of_each",
        _TWO_ROWS,
        answer={"TWICE_A": _TWICE_A.tobytes() * 2, "TWICE_B": _TWICE_B.tobytes() * 2},
    ),
    Case("an ensemble by version", "echoes", (fp32(1, 2),), version="1", answer={"Y": fp32(1, 2).raw}),
    Case("an ensemble of an ensemble", "nested", (fp32(1, 2),), answer={"Y": fp32(1, 2).raw}),
    Case(
        "an ensemble, large enough for shared memory",
        "echoes",
        (fp32(*range(50_000)),),
        answer={"Y": np.arange(50_000, dtype="<f4").tobytes()},
    ),
    Case(
        "an ensemble of texts",
        "echoes_of_texts",
        (texts("X", b"", "grüße €".encode()),),
        answer={"Y": texts("X", b"", "grüße €".encode()).raw},
    ),
    Case(
        "an ensemble that does not batch and parts that do",
        "raising",
        (fp32(1, 2, 3),),
        answer={"Y": fp32(1, 2, 3).raw},
    ),
    Case(
        "too many rows for an ensemble",
        "twice_of_each",
        tuple(int32(name, np.zeros((9, 16))) for name in "AB"),
        failure=Failure(_INVALID, "batch-size must be 1 to 8 for 'twice_of_each', got 9"),
    ),
    Case(
        "an input of a part only",
        "twice_of_each",
        (*_EACH, int32("sum", _A)),
        failure=Failure(_INVALID, "unexpected inference input 'sum' for model 'twice_of_each'"),
    ),
    Case(
        "an output of a part only",
        "twice_of_each",
        _EACH,
        outputs=("sum",),
        failure=Failure(_INVALID, "unexpected inference output 'sum' for model 'twice_of_each'"),
    ),
    Case(
        "a part that raises",
        "raising",
        (fp32(1, 2, 3, 4),),
        failure=Failure("MODEL_FAILED", "step 1 (model 'three_only') of ensemble 'raising': "),
    ),
    Case(
        "a value a part cannot take",
        "looking_up",
        (numbers("X", "INT64", np.array([[7]], "<i8")),),
        failure=Failure(_INVALID, "step 1 (model 'table') of ensemble 'looking_up': "),
    ),
    Case(
        "a deadline that passes in a part",
        "slow",
        (fp32(1_000_000),),
        timeout_us=100_000,
        failure=Failure("DEADLINE_EXCEEDED", "of ensemble 'slow': Request timeout expired"),
    ),
    Case(
        "a part that is broken",
        "of_a_broken_one",
        _X,
        failure=Failure("MODEL_UNAVAILABLE", "step 1 (model 'broken') of ensemble 'of_a_broken_one': "),
    ),
    Case(
        "a part that is not there",
        "of_none",
        (fp32(1),),
        failure=Failure(
            "MODEL_UNAVAILABLE",
            "model 'of_none' cannot be served: step 0 (model 'absent'): there is no such model",
        ),
    ),
    Case(
        "parts that do not fit",
        "unfit",
        _X,
        failure=Failure(
            "MODEL_UNAVAILABLE",
            "tensor 'one' is FP32 [-1, -1] as output 'Y' of step 0 (model 'echo_fp32'), and FP64 [-1, -1]",
        ),
    ),
)

# ---- models that call others ----------------------------------------------------------------------

CALLS = (
    Case("a called model's answer", "calling", (fp32(1, -2),), answer={"Y": fp32(1, -2).raw}),
    Case(
        "a called model's texts",
        "calling_texts",
        (texts("X", b"", b"\xc3\xbcber"),),
        answer={"Y": texts("Y", b"", b"\xc3\xbcber").raw},
    ),
    Case(
        "a call that does not fit",
        "calling_another_type",
        _X,
        failure=Failure(_INVALID, "has datatype FP32, the model expects INT64"),
    ),
    Case("a call of nobody", "calling_none", _X, failure=Failure("MODEL_FAILED", "unknown model: 'absent'")),
    Case(
        "a call of a broken model",
        "calling_a_broken_one",
        _X,
        failure=Failure("MODEL_FAILED", "model 'broken'"),
    ),
    Case(
        "a call of oneself",
        "calling_itself",
        _X,
        failure=Failure("MODEL_FAILED", "execution: calling_itself/1 calls calling_itself/1"),
    ),
)

CASES = (*DATATYPES, *ANSWERS, *FAILURES, *SEQUENCES, *ENSEMBLES, *CALLS)
