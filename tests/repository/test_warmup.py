from __future__ import annotations

import pytest
from google.protobuf import text_format

from gateway.core.dtypes import DType
from gateway.core.warmup import Warmup, WarmupInput
from gateway.generated import model_config_pb2 as pb
from gateway.repository.refusal import ConfigRefused
from gateway.repository.warmup import read_warmup


def read(text: str, rows: int = 8) -> tuple[Warmup, ...]:
    return read_warmup(text_format.Parse(text, pb.ModelConfig()).model_warmup, rows)


def one(fields: str, more: str = "") -> str:
    return f"model_warmup {{ name: 'w' {more} inputs {{ key: 'x' value {{ {fields} }} }} }}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("zero_data: true", WarmupInput("x", DType.FP32, (2, 3), "zero")),
        ("random_data: true", WarmupInput("x", DType.FP32, (2, 3), "random")),
        ("input_data_file: 'x.raw'", WarmupInput("x", DType.FP32, (2, 3), "file", "x.raw")),
    ],
)
def test_every_source(source: str, expected: WarmupInput) -> None:
    text = one(f"data_type: TYPE_FP32 dims: [ 2, 3 ] {source}", "batch_size: 4 count: 5")
    assert read(text) == (Warmup("w", 4, 5, (expected,)),)


def test_what_is_not_said_is_one() -> None:
    (sample,) = read(one("data_type: TYPE_STRING dims: 1 zero_data: true"), 0)
    assert (sample.rows, sample.count, sample.inputs[0].dtype) == (1, 1, DType.BYTES)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("model_warmup { }", "model_warmup[0].inputs: must be given"),
        (one("dims: 1 zero_data: true"), "model_warmup[0].inputs['x'].data_type: must be given"),
        (one("data_type: TYPE_FP32 zero_data: true"), "model_warmup[0].inputs['x'].dims: 0 dimensions"),
        (one("data_type: TYPE_FP32 dims: -1 zero_data: true"), "model_warmup[0].inputs['x'].dims: each must"),
        (one("data_type: TYPE_FP32 dims: 1"), "model_warmup[0].inputs['x']: needs one of zero_data"),
        (one("data_type: TYPE_FP32 dims: 1 zero_data: false"), "model_warmup[0].inputs['x']: needs one of"),
        (
            one("data_type: TYPE_FP32 dims: 1 input_data_file: '../x'"),
            "model_warmup[0].inputs['x'].input_data_file: must be a plain file name",
        ),
        (one("", "batch_size: 9"), "model_warmup[0].batch_size: 9 is not in 0..8"),
        (one("", "count: 10001"), "model_warmup[0].count: 10001 is not in 0..10000"),
        (
            one("data_type: TYPE_FP32 dims: 1 zero_data: true") * 257,
            "model_warmup: number of inputs: 257 is not in 0..256",
        ),
        (f"model_warmup {{ name: '{'w' * 33_000}' }}", "model_warmup: bytes: 33"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigRefused) as caught:
        read(text)
    assert caught.value.text.startswith(f"config.pbtxt: {reason}")
