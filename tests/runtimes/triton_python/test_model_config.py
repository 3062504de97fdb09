from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.core.dtypes import DType
from gateway.core.model import BatchPolicy, ModelSpec, QueuePolicy
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import LoadError
from gateway.runtimes.triton_python.model_config import (
    ModelConfig,
    completed,
    config_of,
    get_input_config_by_name,
    get_output_config_by_name,
    read_tensor,
    using_decoupled_model_transaction_policy,
)

EMPTY = ModelSpec("m", 1, "python", "python", (), ())
FULL = msgspec.structs.replace(
    EMPTY,
    inputs=(TensorSpec("X", DType.BYTES, (-1, 2)),),
    outputs=(TensorSpec("Y", DType.FP32, (1,)),),
    max_batch_size=8,
    batching=BatchPolicy(preferred_sizes=(4,), max_queue_delay_s=0.0001),
)
X = {"name": "X", "data_type": "TYPE_STRING", "dims": [-1, 2]}


def config(spec: ModelSpec = EMPTY) -> ModelConfig:
    return ModelConfig(config_of(spec, {"a": "b"}, "model.py"))


def test_the_configuration_has_tritons_fields() -> None:
    found = config(FULL).as_dict()
    assert found["name"] == "m"
    assert found["backend"] == "python"
    assert found["max_batch_size"] == 8
    assert found["parameters"] == {"a": {"string_value": "b"}}
    batching = {"preferred_batch_size": [4], "max_queue_delay_microseconds": 100}
    assert batching.items() <= found["dynamic_batching"].items()
    assert "default_queue_policy" not in found["dynamic_batching"]
    assert found["instance_group"][0]["kind"] == "KIND_CPU"
    assert X.items() <= get_input_config_by_name(found, "X").items()
    assert get_output_config_by_name(found, "Y")["data_type"] == "TYPE_FP32"
    assert get_input_config_by_name(found, "Y") is get_output_config_by_name(found, "X") is None
    assert not using_decoupled_model_transaction_policy(found)
    assert using_decoupled_model_transaction_policy({"model_transaction_policy": {"decoupled": True}})
    assert "dynamic_batching" not in config().as_dict()


def test_what_is_missing_is_completed() -> None:
    given = config()
    given.add_input(X)
    given.add_output({"name": "Y", "data_type": "TYPE_FP32", "dims": (1,)})
    given.set_max_batch_size(4)
    given.set_dynamic_batching()
    given.set_model_transaction_policy({"decoupled": False})
    found = completed(EMPTY, given.as_dict(), max_batch_known=False)
    assert (found.inputs, found.outputs, found.max_batch_size) == (FULL.inputs, FULL.outputs, 4)


def test_what_is_there_already_must_agree() -> None:
    given = config(FULL)
    given.add_input(X)
    given.set_max_batch_size(8)
    assert completed(FULL, given.as_dict(), max_batch_known=True) == FULL
    with pytest.raises(ValueError, match=r"input 'X': config.pbtxt has dims .* gives \[2\]"):
        given.add_input({**X, "dims": [2]})
    with pytest.raises(ValueError, match=r"config.pbtxt has data_type TYPE_STRING"):
        given.add_input({**X, "data_type": "TYPE_FP32"})
    with pytest.raises(ValueError, match=r"config.pbtxt has max_batch_size 8, auto_complete_config sets 4"):
        given.set_max_batch_size(4)
    given.set_max_batch_size(16)
    with pytest.raises(LoadError, match=r"config.pbtxt settles max_batch_size 8"):
        completed(FULL, given.as_dict(), max_batch_known=True)


def test_a_reshape_stays_where_the_dims_do() -> None:
    spec = msgspec.structs.replace(
        FULL,
        inputs=(TensorSpec("X", DType.BYTES, (-1, 2), reshape=(2, -1)),),
        outputs=(TensorSpec("Y", DType.FP32, (1,), reshape=()), TensorSpec("Z", DType.FP32, (1,))),
    )
    given = config(spec)
    given.add_input(X)
    given.as_dict()["output"].reverse()
    found = completed(spec, given.as_dict(), max_batch_known=True)
    assert (found.inputs, found.outputs) == (spec.inputs, spec.outputs[::-1])
    given.as_dict()["input"][0] |= {"dims": [4], "optional": True}
    found = completed(spec, given.as_dict(), max_batch_known=True)
    assert found.inputs == (TensorSpec("X", DType.BYTES, (4,), is_optional=True),)


def test_a_dictionary_that_was_changed_by_hand_is_read_as_carefully() -> None:
    given = config(FULL)
    given.as_dict()["output"][0]["dims"] = [0]
    with pytest.raises(LoadError, match="output 'Y': dims must be"):
        completed(FULL, given.as_dict(), max_batch_known=True)


@pytest.mark.parametrize("size", [-1, "4", 1 << 40])
def test_sizes_that_are_none(size: Any) -> None:
    with pytest.raises(ValueError, match="is not a number in"):
        config().set_max_batch_size(size)


def test_a_model_may_say_that_it_is_decoupled() -> None:
    given = config(FULL)
    given.set_model_transaction_policy({"decoupled": True})
    found = completed(FULL, given.as_dict(), max_batch_known=True)
    assert found.decoupled
    assert using_decoupled_model_transaction_policy(config(found).as_dict())
    with pytest.raises(ValueError, match="has decoupled true"):
        config(found).set_model_transaction_policy({"decoupled": False})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": ""}, "an input without a name"),
        ({"name": None}, "an input without a name"),
        ({"data_type": "FP32"}, "data_type 'FP32' is not one like"),
        ({"dims": []}, "dims must be"),
        ({"dims": [True]}, "dims must be"),
        ({"dims": [-2]}, "dims must be"),
        ({"dims": 4}, "dims must be"),
        ({"optional": 1}, "optional must be True or False"),
        ({"colour": 1}, "'colour' is not supported"),
    ],
)
def test_tensors_that_are_none(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_tensor("input", {**X, **change})


def test_an_input_may_be_optional_and_an_output_not() -> None:
    (found,) = (read_tensor("input", {**X, "optional": True}),)
    assert found.is_optional
    assert read_tensor("output", {**X, "optional": False}) == read_tensor("input", X)
    with pytest.raises(ValueError, match="output 'X': 'optional' is not supported"):
        read_tensor("output", {**X, "optional": True})
    given = config(msgspec.structs.replace(FULL, inputs=(found,)))
    assert given.as_dict()["input"][0]["optional"] is True
    assert completed(FULL, given.as_dict(), max_batch_known=True).inputs == (found,)


def test_queue_policies_are_told_by_tritons_names() -> None:
    policy = BatchPolicy(
        priority_levels=2,
        default_priority_level=1,
        queue_policy=QueuePolicy(max_queue_size=3),
        priority_policies=((2, QueuePolicy("delay", 0.5, True)),),
    )
    found = config(msgspec.structs.replace(FULL, batching=policy)).as_dict()["dynamic_batching"]
    assert (found["priority_levels"], found["default_priority_level"]) == (2, 1)
    assert found["default_queue_policy"]["max_queue_size"] == 3
    assert found["priority_queue_policy"] == {
        "2": {
            "timeout_action": "DELAY",
            "default_timeout_microseconds": 500_000,
            "allow_timeout_override": True,
            "max_queue_size": 0,
        }
    }
