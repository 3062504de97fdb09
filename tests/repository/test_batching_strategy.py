"""The keys of ours that say which strategy forms a model's batches."""

from __future__ import annotations

import pytest

from gateway.core.model import BatchPolicy
from gateway.repository.pbtxt import parse
from gateway.repository.refusal import ConfigRefused


def policy(more: str = "max_batch_size: 8", **told: str) -> BatchPolicy:
    parameters = "".join(
        f"parameters {{ key: 'gateway.{key}' value {{ string_value: '{value}' }} }}"
        for key, value in told.items()
    )
    return parse(f"platform: 'onnxruntime_onnx' {parameters} {more}".encode(), "m").batching


def test_nothing_said() -> None:
    assert policy() == BatchPolicy(enabled=False)


def test_a_strategy_needs_no_dynamic_batching_and_takes_what_that_says() -> None:
    assert policy(batching="slo_aware") == BatchPolicy(strategy="slo_aware")
    told = {"latency_objective": "20ms", "batch_size": "4", "batching_order": "deadline"}
    section = "preferred_batch_size: 4 priority_levels: 2 default_priority_level: 1"
    assert policy(
        f"max_batch_size: 8 dynamic_batching {{ {section} }}", batching="slo_aware", **told
    ) == BatchPolicy(
        preferred_sizes=(4,),
        priority_levels=2,
        default_priority_level=1,
        strategy="slo_aware",
        objective_s=0.02,
        size=4,
        by_deadline=True,
    )


@pytest.mark.parametrize(
    ("told", "more", "reason"),
    [
        ({"latency_objective": "20ms"}, "", "latency_objective']: needs gateway.batching"),
        ({"batching": "Slo"}, "", "batching']: 'Slo' is not 1 to 64 of a-z 0-9 _, the first a letter"),
        ({"batching": "a", "latency_objective": "soon"}, "", "latency_objective']: 'soon' is not a time"),
        ({"batching": "a", "latency_objective": "0"}, "", "latency_objective']: '0' is not a time"),
        ({"batching": "a", "latency_objective": "-1"}, "", "latency_objective']: '-1' is not a time"),
        ({"batching": "a", "latency_objective": "2h"}, "", "latency_objective']: '2h' is not a time"),
        ({"batching": "a", "batch_size": "9"}, "", "batch_size']: '9' is not in 1..8"),
        ({"batching": "a", "batch_size": "x"}, "", "batch_size']: 'x' is not in 1..8"),
        (
            {"batching": "a", "batching_order": "x"},
            "",
            "batching_order']: 'x' is not one of arrival, deadline",
        ),
        (
            {"batching": "a"},
            "sequence_batching { direct {} }",
            "batching']: is not supported with sequence_batching",
        ),
        (
            {"batching": "a"},
            "dynamic_batching { default_queue_policy { max_queue_size: 3 } }",
            "batching']: is not supported with a queue policy's timeout or max_queue_size",
        ),
    ],
)
def test_what_is_refused(told: dict[str, str], more: str, reason: str) -> None:
    with pytest.raises(ConfigRefused) as caught:
        policy(f"max_batch_size: 8 {more}", **told)
    assert f"parameters['gateway.{reason}" in caught.value.text


def test_models_without_batches_of_their_own_have_no_strategy() -> None:
    for more, reason in (
        ("", "needs max_batch_size"),
        ("max_batch_size: 8 model_transaction_policy { decoupled: true }", "where a model is decoupled"),
    ):
        with pytest.raises(ConfigRefused, match=reason):
            policy(more, batching="slo_aware")


def test_an_ensemble_has_none() -> None:
    text = (
        "platform: 'ensemble' max_batch_size: 8 "
        "parameters { key: 'gateway.batching' value { string_value: 'none' } } "
        "input { name: 'a' data_type: TYPE_FP32 dims: 1 } output { name: 'b' data_type: TYPE_FP32 dims: 1 } "
        "ensemble_scheduling { step { model_name: 'n' model_version: -1 "
        "input_map { key: 'x' value: 'a' } output_map { key: 'y' value: 'b' } } }"
    )
    with pytest.raises(ConfigRefused, match="means nothing for an ensemble"):
        parse(text.encode(), "m")
