"""Configurations that come as JSON."""

from __future__ import annotations

import pytest

from gateway.core.errors import InvalidInput
from gateway.repository import pbtxt
from gateway.repository.json_config import to_pbtxt


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ('{"max_batch_size":"16"}', b"max_batch_size: 16"),
        ('{"max_batch_size":16}', b"max_batch_size: 16"),
        (' {"maxBatchSize": 16, "name": "m"}', b'max_batch_size: 16 name: "m"'),
        ('{"max_batch_size": 16, "optimization": {}}', b"max_batch_size: 16 optimization { }"),
        ("{}", b""),
    ],
)
def test_both_forms_mean_the_same(text: str, file: bytes) -> None:
    assert pbtxt.parse(to_pbtxt(text, "m"), "m") == pbtxt.parse(file, "m")


def test_tensors_and_wide_numbers() -> None:
    text = '{"input":[{"name":"x\\n\\"","data_type":"TYPE_FP32","dims":["-1",4]}]}'
    with pytest.raises(InvalidInput, match="printable"):
        to_pbtxt(text, "m")
    data = to_pbtxt(text.replace("\\n", ""), "m")
    (tensor,) = pbtxt.parse(data, "m").inputs
    assert (tensor.name, tensor.shape) == ('x"', (-1, 4))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"a": {', "must be a JSON object"),
        ("[]", "must be a JSON object"),
        ("", "must be a JSON object"),
        ("{", "config: Failed to load JSON"),
        ('{"max_batch_size": 1, "max_batch_size": 2}', "duplicate key"),
        ('{"max_batch_size": "many"}', "max_batch_size"),
        ('{"nonsense": 1}', "nonsense"),
        ('{"sequence_batching": {"iterative_sequence": true}}', "config: sequence_batching"),
        ('{"name": "other"}', "config: name"),
        ('{"max_batch_size": -1}', "config: max_batch_size: -1 is not in"),
        ("{" + " " * (1 << 20) + "}", "larger than"),
        ('{"a":' * 200_000 + "1" + "}" * 200_000, "larger than"),
        ('{"a":' * 2000 + "1" + "}" * 2000, "config: "),
    ],
)
def test_what_cannot_be_honoured_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        to_pbtxt(text, "m")
    assert words in refused.value.text
    assert "\n" not in refused.value.text
    assert len(refused.value.text) < 300
