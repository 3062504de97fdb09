from __future__ import annotations

import pytest
from google.protobuf import text_format

from gateway.core.placement import Accelerator, Accelerators
from gateway.generated import model_config_pb2 as pb
from gateway.repository.accelerators import names_a_path, read_accelerators
from gateway.repository.refusal import ConfigRefused


def read(inner: str, outer: str = "") -> Accelerators:
    text = f"{outer} optimization {{ execution_accelerators {{ {inner} }} }}"
    return read_accelerators(text_format.Parse(text, pb.ModelConfig()))


def gpu(name: str, **parameters: str) -> str:
    told = " ".join(f"parameters {{ key: '{key}' value: '{value}' }}" for key, value in parameters.items())
    return f"gpu_execution_accelerator {{ name: '{name}' {told} }}"


def test_names_and_parameters_are_taken_in_their_order() -> None:
    found = read(
        gpu("tensorrt", precision_mode="FP16", max_workspace_size_bytes="1073741824")
        + gpu("cuda", cudnn_conv_use_max_workspace="true", use_tf32="0")
        + "cpu_execution_accelerator { name: 'openvino' parameters { key: 'num_of_threads' value: '2' } }"
    )
    assert found == Accelerators(
        (
            Accelerator("tensorrt", {"precision_mode": "FP16", "max_workspace_size_bytes": "1073741824"}),
            Accelerator("cuda", {"cudnn_conv_use_max_workspace": "True", "use_tf32": "False"}),
        ),
        (Accelerator("openvino", {"num_of_threads": "2"}),),
    )
    assert read("") == Accelerators()


def test_a_cache_has_a_folder_that_only_the_repository_may_name() -> None:
    cached = read(gpu("tensorrt", trt_engine_cache_enable="1", trt_engine_cache_path="/var/cache/plans"))
    assert names_a_path(cached)
    assert not names_a_path(read(gpu("tensorrt", trt_engine_cache_enable="0")))


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        (gpu("auto_mixed"), "gpu_execution_accelerator[0].name: 'auto_mixed' is not supported; supported: "),
        (
            gpu("openvino"),
            "gpu_execution_accelerator[0].name: 'openvino' is not supported; supported: tensorrt",
        ),
        (gpu("cuda") + gpu("cuda"), "gpu_execution_accelerator[1].name: 'cuda' stands in it twice"),
        ("cpu_execution_accelerator { name: 'mkl' }", "cpu_execution_accelerator[0].name: 'mkl' is not"),
        (gpu("tensorrt", color="red"), "gpu_execution_accelerator[0].parameters['color']: is not supported"),
        (gpu("tensorrt", precision_mode="FP8"), "[0].parameters['precision_mode']: 'FP8' is not one of FP32"),
        (
            gpu("tensorrt", max_workspace_size_bytes="1G"),
            "['max_workspace_size_bytes']: '1G' is not one of a",
        ),
        (
            gpu("tensorrt", trt_engine_cache_enable="1"),
            "['trt_engine_cache_enable']: needs 'trt_engine_cache_p",
        ),
        (
            gpu("tensorrt", trt_engine_cache_path="plans"),
            "['trt_engine_cache_path']: 'plans' is not one of a",
        ),
        (
            gpu("tensorrt", int8_calibration_table_name="../t"),
            "['int8_calibration_table_name']: '../t' is not",
        ),
        (
            gpu("tensorrt", trt_profile_min_shapes="x:axb"),
            "['trt_profile_min_shapes']: 'x:axb' is not one of",
        ),
        (gpu("tensorrt", trt_extra_plugin_lib_paths="/x.so"), "would load a library into the worker"),
        (gpu("tensorrt", trt_dump_subgraphs="1"), "it would write files beside the gateway"),
        (gpu("tensorrt", trt_cuda_graph_enable="1"), "a CUDA graph needs tensors that stay where they are"),
        (gpu("cuda", device_id="1"), "['device_id']: is not supported: instance_group says which GPU"),
        (gpu("cuda", arena_extend_strategy="1"), "['arena_extend_strategy']: '1' is not one of kNextPowerOf"),
    ],
)
def test_what_is_not_passed_on_is_refused_by_name(inner: str, reason: str) -> None:
    with pytest.raises(ConfigRefused) as caught:
        read(inner)
    assert caught.value.text.startswith("config.pbtxt: optimization.execution_accelerators.")
    assert reason in caught.value.text


def test_other_engines_have_none() -> None:
    for backend in ("python", "pytorch", "tensorrt"):
        with pytest.raises(ConfigRefused, match="is not supported for this backend"):
            read(gpu("cuda"), f"backend: '{backend}'")
