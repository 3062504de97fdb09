from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from google.protobuf import text_format

from gateway.core.dtypes import DType
from gateway.core.model import BatchPolicy, ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.frontends.v2_rest.model_config import model_config
from gateway.generated import model_config_pb2 as pb
from gateway.pipeline.service import ModelDescription
from gateway.repository.catalogue import to_spec
from gateway.repository.local import scan

REPOSITORY = Path(__file__).resolve().parents[3] / "model_repo"
# As a worker reads it from the file.
DIGITS = {
    "inputs": (TensorSpec("image", DType.FP32, (8, 8)),),
    "outputs": (TensorSpec("scores", DType.FP32, (10,)),),
    "max_batch_size": 64,
}

X = TensorSpec("X", DType.FP32, (-1, 4))
S = TensorSpec("S", DType.BYTES, (1,), ())
SPEC = ModelSpec("m", 1, "onnxruntime_onnx", "onnxruntime", (X,), (S,), 16)
ALONE = ModelSpec("m", 1, "onnxruntime_onnx", "onnxruntime", (X,), (S,), 0, BatchPolicy(enabled=False))


def told(spec: ModelSpec, text: str = "") -> dict[str, Any]:
    written = text_format.Parse(text, pb.ModelConfig()).SerializeToString()
    body: dict[str, Any] = json.loads(model_config(ModelDescription(spec, (1,), written)))
    return body


GOLDEN: dict[str, Any] = {
    "name": "m",
    "platform": "onnxruntime_onnx",
    "backend": "onnxruntime",
    "runtime": "",
    "version_policy": {"latest": {"num_versions": 1}},
    "max_batch_size": 0,
    "input": [
        {
            "name": "X",
            "data_type": "TYPE_FP32",
            "format": "FORMAT_NONE",
            "dims": [-1, 4],
            "is_shape_tensor": False,
            "allow_ragged_batch": False,
            "optional": False,
            "is_non_linear_format_io": False,
        }
    ],
    "output": [
        {
            "name": "S",
            "data_type": "TYPE_STRING",
            "dims": [1],
            "reshape": {"shape": []},
            "label_filename": "",
            "is_shape_tensor": False,
            "is_non_linear_format_io": False,
        }
    ],
    "batch_input": [],
    "batch_output": [],
    "optimization": {
        "priority": "PRIORITY_DEFAULT",
        "input_pinned_memory": {"enable": True},
        "output_pinned_memory": {"enable": True},
        "gather_kernel_buffer_threshold": 0,
        "eager_batching": False,
    },
    "instance_group": [
        {
            "name": "m",
            "kind": "KIND_CPU",
            "count": 1,
            "gpus": [],
            "secondary_devices": [],
            "profile": [],
            "passive": False,
            "host_policy": "",
        }
    ],
    "default_model_filename": "model.onnx",
    "cc_model_filenames": {},
    "metric_tags": {},
    "parameters": {},
    "model_warmup": [],
}


def test_every_field_with_its_default() -> None:
    """Field for field what a Triton server answered for such a model of its Python backend."""
    assert told(ALONE) == GOLDEN
    assert told(SPEC) == GOLDEN | {
        "max_batch_size": 16,
        "dynamic_batching": {
            "preferred_batch_size": [16],
            "max_queue_delay_microseconds": 0,
            "preserve_ordering": False,
            "priority_levels": 0,
            "default_priority_level": 0,
            "priority_queue_policy": {},
        },
    }


def test_64_bit_fields_are_numbers_where_triton_has_numbers_and_texts_elsewhere() -> None:
    body = told(
        SPEC,
        """
        input { name: "X" data_type: TYPE_FP32 dims: [ -1, 4 ] reshape { shape: [ -1, 2, 2 ] } }
        version_policy { specific { versions: [ 1, 9007199254740993 ] } }
        dynamic_batching {
          max_queue_delay_microseconds: 5 priority_levels: 2 default_priority_level: 1
          default_queue_policy { default_timeout_microseconds: 7 }
          priority_queue_policy { key: 2 value { default_timeout_microseconds: 9 } }
        }
        instance_group { secondary_devices { device_id: 3 } }
        model_warmup { inputs { key: "X" value { data_type: TYPE_FP32 dims: [ 1, 4 ] zero_data: true } } }
        """,
    )
    assert (body["input"][0]["dims"], body["input"][0]["reshape"]) == ([-1, 4], {"shape": [-1, 2, 2]})
    assert body["version_policy"] == {"specific": {"versions": [1, 9007199254740993]}}
    batching = body["dynamic_batching"]
    assert (batching["max_queue_delay_microseconds"], batching["priority_levels"]) == (5, 2)
    assert batching["default_priority_level"] == 1
    assert batching["default_queue_policy"]["default_timeout_microseconds"] == 7
    assert batching["priority_queue_policy"]["2"]["default_timeout_microseconds"] == 9
    assert body["model_warmup"][0]["inputs"]["X"]["dims"] == [1, 4]
    assert body["instance_group"][0]["secondary_devices"][0]["device_id"] == "3"


def test_sequences_and_ensembles_have_numbers_too() -> None:
    body = told(
        SPEC,
        """
        sequence_batching {
          max_sequence_idle_microseconds: 5 direct { max_queue_delay_microseconds: 6 }
          state { dims: 2 initial_state { dims: 3 zero_data: true } }
        }
        """,
    )["sequence_batching"]
    assert body["max_sequence_idle_microseconds"] == 5
    assert body["direct"]["max_queue_delay_microseconds"] == 6
    assert (body["state"][0]["dims"], body["state"][0]["initial_state"][0]["dims"]) == ([2], [3])
    ensemble = told(SPEC, "ensemble_scheduling { step { model_name: 'a' model_version: -1 } }")
    assert ensemble["ensemble_scheduling"]["step"][0]["model_version"] == -1


def test_the_committed_models_as_a_client_of_triton_expects_them() -> None:
    """`simple` is the example model of Triton's own clients; `digits` has no config.pbtxt."""
    golden = json.loads(Path(__file__).with_name("model_config.golden.json").read_text(encoding="utf-8"))
    entries = scan(REPOSITORY).entries
    for name, found in (("simple", {}), ("fraud", {}), ("digits", DIGITS)):
        spec = msgspec.structs.replace(to_spec(entries[name], 1).spec, **found)
        description = ModelDescription(spec, (1,), entries[name].config.written)
        assert json.loads(model_config(description)) == golden[name], name
