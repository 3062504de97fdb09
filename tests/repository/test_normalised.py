from __future__ import annotations

import msgspec
import pytest
from google.protobuf import text_format

from gateway.core.dtypes import DType
from gateway.core.model import BatchPolicy, ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.generated import model_config_pb2 as pb
from gateway.repository.catalogue import ConfigFile, ModelEntry, VersionEntry, to_spec
from gateway.repository.normalised import completed
from gateway.repository.pbtxt import parse
from tests.fakes.ensembles import DIAMOND, config_of

X = TensorSpec("X", DType.FP32, (4,))
SCALAR = TensorSpec("S", DType.BYTES, (1,), ())
FOUND = ModelSpec("m", 1, "onnxruntime_onnx", "onnxruntime", (X,), (SCALAR,), 16)
DEFAULTS = """
    name: "m" platform: "onnxruntime_onnx" backend: "onnxruntime" default_model_filename: "model.onnx"
    version_policy { latest { num_versions: 1 } }
    instance_group { name: "m" kind: KIND_CPU count: 1 }
    optimization { input_pinned_memory { enable: true } output_pinned_memory { enable: true } }
"""
TENSORS = """
    input { name: "X" data_type: TYPE_FP32 dims: 4 }
    output { name: "S" data_type: TYPE_STRING dims: 1 reshape { } }
"""


def written(text: str) -> tuple[bytes, ModelSpec]:
    """What travels of a config.pbtxt that says all of a signature itself."""
    config = parse(text.encode(), "m")
    version = VersionEntry(1, "p", "f", "model.onnx", "onnxruntime_onnx", "onnxruntime")
    return config.written, to_spec(ModelEntry("m", (version,), ConfigFile("c", config)), 1).spec


def expected(text: str) -> pb.ModelConfig:
    return text_format.Parse(text, pb.ModelConfig())


def test_an_input_that_was_found_to_be_optional_is_told_so() -> None:
    optional = msgspec.structs.replace(X, is_optional=True)
    found = completed(b"", msgspec.structs.replace(FOUND, inputs=(X, optional)))
    assert [one.optional for one in found.input] == [False, True]


def test_everything_is_filled_in_where_nothing_was_written() -> None:
    batching = "max_batch_size: 16 dynamic_batching { preferred_batch_size: 16 }"
    assert completed(b"", FOUND) == expected(DEFAULTS + TENSORS + batching)


@pytest.mark.parametrize(
    ("size", "policy", "has_batcher"),
    [
        (0, BatchPolicy(), False),
        (1, BatchPolicy(), False),
        (2, BatchPolicy(), True),
        (8, BatchPolicy(enabled=False), False),
    ],
)
def test_a_batcher_is_assumed_where_there_is_something_to_batch(
    size: int, policy: BatchPolicy, has_batcher: bool
) -> None:
    spec = ModelSpec("m", 1, "onnxruntime_onnx", "onnxruntime", (X,), (X,), size, policy)
    assert completed(b"", spec).HasField("dynamic_batching") is has_batcher


@pytest.mark.parametrize(
    ("group", "backend", "kind"),
    [
        ("{ }", "onnxruntime", pb.ModelInstanceGroup.KIND_CPU),
        ("{ gpus: 1 }", "onnxruntime", pb.ModelInstanceGroup.KIND_GPU),
        ("{ kind: KIND_GPU }", "onnxruntime", pb.ModelInstanceGroup.KIND_GPU),
        ("{ }", "tensorrt", pb.ModelInstanceGroup.KIND_GPU),
    ],
)
def test_instances_that_say_nothing_are_where_they_must_be(group: str, backend: str, kind: int) -> None:
    told = expected(f"instance_group {group}").SerializeToString()
    assert completed(told, ModelSpec("m", 1, "", backend, (X,), (X,))).instance_group[0].kind == kind


def test_what_was_written_stays() -> None:
    text = """
        max_batch_size: 8
        input { name: "X" data_type: TYPE_FP32 dims: [ 4, 1, 1 ] reshape { shape: 4 } format: FORMAT_NCHW }
        output { name: "Y" data_type: TYPE_INT64 dims: 1 label_filename: "names.txt" }
        version_policy { specific { versions: [ 1, 3 ] } }
        instance_group { count: 2 } instance_group { name: "other" kind: KIND_CPU }
        dynamic_batching { preferred_batch_size: [ 4, 2 ] max_queue_delay_microseconds: 100 }
        optimization { graph { level: 1 } input_pinned_memory { } }
        parameters { key: "gateway.labels" value { string_value: "stable=1" } }
        default_model_filename: "net.onnx"
        model_warmup {
          name: "w"
          inputs { key: "X" value { data_type: TYPE_FP32 dims: [ 4, 1, 1 ] zero_data: true } }
        }
    """
    found = completed(*written(text))
    told = expected(text)
    told.name, told.platform, told.backend = "m", "onnxruntime_onnx", "onnxruntime"
    told.dynamic_batching.preferred_batch_size[:] = [2, 4]
    told.instance_group[0].name, told.instance_group[0].kind = "m_0", pb.ModelInstanceGroup.KIND_CPU
    told.instance_group[1].count = 1
    told.optimization.output_pinned_memory.enable = True
    assert found == told


def test_the_preferred_size_of_a_batcher_that_names_none_is_the_largest() -> None:
    found = completed(*written("max_batch_size: 8 dynamic_batching { }"))
    assert list(found.dynamic_batching.preferred_batch_size) == [8]
    auto = ModelSpec("m", 1, "onnxruntime_onnx", "onnxruntime", (X,), (X,), 32)
    assert list(
        completed(written("dynamic_batching { }")[0], auto).dynamic_batching.preferred_batch_size
    ) == [32]


def test_an_engine_of_somebody_else_has_a_file_of_its_own() -> None:
    other = ModelSpec("m", 1, "", "lab", (X,), (X,))
    assert completed(b"", other).default_model_filename == ""


def test_an_ensemble_has_no_instances_and_no_file() -> None:
    text = config_of(DIAMOND, ["in TYPE_FP32 [ 2 ]"], ["out TYPE_FP32 [ 2 ]"], max_batch_size=4)
    config = parse(text.encode(), "m")
    entry = ModelEntry("m", (VersionEntry(1, "p", "f", "", "ensemble", ""),), ConfigFile("c", config))
    told = completed(config.written, to_spec(entry, 1).spec)
    written = text_format.Parse(text, pb.ModelConfig())
    assert told.ensemble_scheduling == written.ensemble_scheduling
    assert (told.name, told.platform, told.backend, told.default_model_filename) == ("m", "ensemble", "", "")
    assert not told.instance_group
    assert not told.HasField("dynamic_batching")
