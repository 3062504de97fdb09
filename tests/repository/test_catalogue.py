from __future__ import annotations

import msgspec
import pytest

from gateway.core.dtypes import DType
from gateway.core.model import BatchPolicy, ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.repository.catalogue import (
    ConfigFile,
    ModelEntry,
    PartialConfig,
    VersionEntry,
    to_spec,
)

X = TensorSpec("x", DType.FP32, (4,))


def entry(config: PartialConfig, file: str = "model.onnx") -> ModelEntry:
    versions = tuple(
        VersionEntry(number, f"models/m/{number}", "f", file, "onnxruntime_onnx", "onnxruntime")
        for number in (2, 3)
    )
    return ModelEntry("m", versions, ConfigFile("c", config))


@pytest.mark.parametrize(
    ("config", "known"),
    [
        (PartialConfig(), False),
        (PartialConfig(outputs=(X,)), False),
        (PartialConfig(options={"level": "1"}), False),
        (PartialConfig(inputs=(X,)), True),
        (PartialConfig(max_batch_size=1), True),
    ],
)
def test_who_decides_whether_it_batches(config: PartialConfig, known: bool) -> None:
    assert to_spec(entry(config), 2).max_batch_known is known


def test_everything_configured_reaches_the_spec() -> None:
    config = PartialConfig(
        max_batch_size=8,
        inputs=(X,),
        outputs=(X,),
        batching=BatchPolicy(max_queue_delay_s=0.001),
        instances=3,
        isolation="inline",
    )
    assert to_spec(entry(config), 3).spec == ModelSpec(
        name="m",
        version=3,
        platform="onnxruntime_onnx",
        backend="onnxruntime",
        inputs=(X,),
        outputs=(X,),
        max_batch_size=8,
        batching=BatchPolicy(max_queue_delay_s=0.001),
        instances=3,
        isolation="inline",
    )


def test_the_gateways_isolation_holds_where_the_model_says_none() -> None:
    assert to_spec(entry(PartialConfig()), 2).spec.isolation == "auto"
    assert to_spec(entry(PartialConfig()), 2, "inline").spec.isolation == "inline"
    assert to_spec(entry(PartialConfig(isolation="process")), 2, "inline").spec.isolation == "process"


def test_a_version_that_is_not_served() -> None:
    there = entry(PartialConfig())
    assert there.find(3) is there.versions[1]
    assert there.find(1) is None
    with pytest.raises(KeyError, match="m/1"):
        to_spec(there, 1)


def test_entries_survive_the_wire() -> None:
    there = entry(PartialConfig(inputs=(X,)))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(there), type=ModelEntry) == there
