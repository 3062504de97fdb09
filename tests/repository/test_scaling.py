"""The keys of ours that say how many instances a model has, and for how long."""

from __future__ import annotations

import pytest

from gateway.core.scaling import ScalePolicy
from gateway.repository.pbtxt import parse
from gateway.repository.refusal import ConfigRefused


def parameters(**told: str) -> str:
    return "".join(
        f"parameters {{ key: 'gateway.{k}' value {{ string_value: '{v}' }} }}" for k, v in told.items()
    )


def policy(more: str = "", **told: str) -> ScalePolicy:
    text = f"platform: 'onnxruntime_onnx' {parameters(**told)} {more}"
    return parse(text.encode(), "m").scale


def test_nothing_said() -> None:
    assert policy() == ScalePolicy()


def test_everything_said() -> None:
    told = {"min_instances": "1", "max_instances": "4", "keep_alive": "10m", "target_concurrency": "2.5"}
    assert policy(**told, pinned="true") == ScalePolicy(1, 4, 600.0, 2.5, pinned=True)
    assert policy(weight="7") == ScalePolicy(weight=7)
    assert policy(keep_alive="-1").keep_alive_s == -1.0
    assert (policy().sleep_s, policy(sleep="10m").sleep_s, policy(sleep="-1").sleep_s) == (None, 600.0, -1.0)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"min_instances": "65"}, "parameters['gateway.min_instances']: '65' is not in 0..64"),
        ({"min_instances": "-1"}, "parameters['gateway.min_instances']: '-1' is not in 0..64"),
        ({"max_instances": "many"}, "parameters['gateway.max_instances']: 'many' is not in 0..64"),
        (
            {"min_instances": "3", "max_instances": "2"},
            "parameters['gateway.min_instances']: 3 is above gateway.max_instances",
        ),
        ({"keep_alive": "soon"}, "parameters['gateway.keep_alive']: 'soon' must be seconds, or a text"),
        ({"sleep": "long"}, "parameters['gateway.sleep']: 'long' must be seconds, or a text"),
        (
            {"target_concurrency": "0.001"},
            "parameters['gateway.target_concurrency']: '0.001' is not in 0.01..",
        ),
        ({"target_concurrency": "x"}, "parameters['gateway.target_concurrency']: 'x' is not in 0.01.."),
        ({"pinned": "yes"}, "parameters['gateway.pinned']: 'yes' is not one of true, false"),
        ({"weight": "0"}, "parameters['gateway.weight']: '0' is not in 1..100"),
        ({"weight": "101"}, "parameters['gateway.weight']: '101' is not in 1..100"),
        ({"weight": "2.5"}, "parameters['gateway.weight']: '2.5' is not in 1..100"),
        ({"min_instnaces": "1"}, "parameters['gateway.min_instnaces']: is not supported"),
    ],
)
def test_what_is_refused(told: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigRefused) as caught:
        policy(**told)
    assert caught.value.text.startswith(f"config.pbtxt: {reason}")


def test_sequences_stay_where_they_began() -> None:
    sequences = "sequence_batching { } max_batch_size: 4 input { name: 'x' data_type: TYPE_FP32 dims: 1 }"
    sequences += " output { name: 'y' data_type: TYPE_FP32 dims: 1 }"
    with pytest.raises(ConfigRefused, match="is not supported with sequence_batching"):
        policy(sequences, max_instances="2")
    assert policy(sequences, keep_alive="5").keep_alive_s == 5.0
