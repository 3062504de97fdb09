"""optimization.execution_accelerators of config.pbtxt: by name and parameter what is passed on to the engine.

DESIGN: the names are those of Triton's ONNX Runtime backend. What would make the engine load a library,
or write where nobody said, is refused by name, and so is what needs tensors to stay where they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from gateway.core.placement import Accelerator, Accelerators
from gateway.generated import model_config_pb2 as pb
from gateway.repository.formats import matching
from gateway.repository.refusal import ConfigRefused, brief

AT = "optimization.execution_accelerators"

_Check = tuple[Callable[[str], object], str]
_WHOLE: _Check = (re.compile(r"[0-9]{1,19}").fullmatch, "a whole number")
_SIGNED: _Check = (re.compile(r"-?[0-9]{1,9}").fullmatch, "a number")
_FLAGS = {"1": "True", "true": "True", "0": "False", "false": "False"}
_FLAG: _Check = (_FLAGS.__contains__, "0, 1, true, false")
_FILE: _Check = (re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}").fullmatch, "a plain file name")
_PATH: _Check = (re.compile(r"/[^\0]{1,1000}").fullmatch, "a whole path of a folder")
_SHAPES: _Check = (re.compile(r"[^\s:,]+:\d+(?:x\d+)*(?:,[^\s:,]+:\d+(?:x\d+)*)*").fullmatch, "name:1x2,…")
_SOURCES: _Check = (re.compile(r"[+-][A-Z_]+(?:,[+-][A-Z_]+)*").fullmatch, "-CUDNN,+CUBLAS and the like")


def _one_of(*allowed: str) -> _Check:
    return (lambda text: text in allowed), ", ".join(allowed)


_TENSORRT: Mapping[str, _Check] = {
    "precision_mode": _one_of("FP32", "FP16", "BF16", "INT8"),
    "max_workspace_size_bytes": _WHOLE,
    "int8_calibration_table_name": _FILE,
    "int8_use_native_calibration_table": _FLAG,
    "trt_max_partition_iterations": _WHOLE,
    "trt_min_subgraph_size": _WHOLE,
    "trt_dla_enable": _FLAG,
    "trt_dla_core": _WHOLE,
    "trt_engine_cache_enable": _FLAG,
    "trt_engine_cache_path": _PATH,
    "trt_engine_cache_prefix": _FILE,
    "trt_force_sequential_engine_build": _FLAG,
    "trt_context_memory_sharing_enable": _FLAG,
    "trt_layer_norm_fp32_fallback": _FLAG,
    "trt_timing_cache_enable": _FLAG,
    "trt_timing_cache_path": _PATH,
    "trt_force_timing_cache": _FLAG,
    "trt_detailed_build_log": _FLAG,
    "trt_build_heuristics_enable": _FLAG,
    "trt_sparsity_enable": _FLAG,
    "trt_builder_optimization_level": _WHOLE,
    "trt_auxiliary_streams": _SIGNED,
    "trt_tactic_sources": _SOURCES,
    "trt_profile_min_shapes": _SHAPES,
    "trt_profile_max_shapes": _SHAPES,
    "trt_profile_opt_shapes": _SHAPES,
}
_CUDA: Mapping[str, _Check] = {
    "gpu_mem_limit": _WHOLE,
    "arena_extend_strategy": _one_of("kNextPowerOfTwo", "kSameAsRequested"),
    "cudnn_conv_algo_search": _one_of("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
    "cudnn_conv_use_max_workspace": _FLAG,
    "cudnn_conv1d_pad_to_nc1d": _FLAG,
    "do_copy_in_default_stream": _FLAG,
    "enable_skip_layer_norm_strict_mode": _FLAG,
    "fuse_conv_bias": _FLAG,
    "prefer_nhwc": _FLAG,
    "sdpa_kernel": _WHOLE,
    "tunable_op_enable": _FLAG,
    "tunable_op_tuning_enable": _FLAG,
    "use_ep_level_unified_stream": _FLAG,
    "use_tf32": _FLAG,
}
_OPENVINO: Mapping[str, _Check] = {
    "device_type": _one_of("CPU"),
    "num_of_threads": _WHOLE,
    "num_streams": _WHOLE,
    "precision": _one_of("FP32", "FP16", "ACCURACY"),
}
_KNOWN: Mapping[str, Mapping[str, Mapping[str, _Check]]] = {
    "gpu_execution_accelerator": {"tensorrt": _TENSORRT, "cuda": _CUDA},
    "cpu_execution_accelerator": {"openvino": _OPENVINO},
}
_GRAPHS = "is not supported: a CUDA graph needs tensors that stay where they are"
_CODE = "is not supported: it would load a library into the worker"
_DUMP = "is not supported: it would write files beside the gateway"
_WHY: Mapping[str, str] = {
    "trt_cuda_graph_enable": _GRAPHS,
    "enable_cuda_graph": _GRAPHS,
    "trt_extra_plugin_lib_paths": _CODE,
    "trt_dump_subgraphs": _DUMP,
    "trt_dump_ep_context_model": _DUMP,
    "device_id": "is not supported: instance_group says which GPU",
}
# A cache without a folder would be written wherever the gateway was started.
_NEEDS: Mapping[str, str] = {
    "trt_engine_cache_enable": "trt_engine_cache_path",
    "trt_timing_cache_enable": "trt_timing_cache_path",
}


def read_accelerators(message: pb.ModelConfig) -> Accelerators:
    """What the engine is to be made faster by; raises ConfigRefused."""
    told = message.optimization.execution_accelerators
    if not told.gpu_execution_accelerator and not told.cpu_execution_accelerator:
        return Accelerators()
    if "onnxruntime" not in {entry.backend for entry in matching(message.platform, message.backend)}:
        raise ConfigRefused(AT, "is not supported for this backend")
    return Accelerators(
        _read("gpu_execution_accelerator", told.gpu_execution_accelerator),
        _read("cpu_execution_accelerator", told.cpu_execution_accelerator),
    )


def names_a_path(accelerators: Accelerators) -> bool:
    """True where the engine would read or write a folder that the configuration names."""
    return any(key in _NEEDS.values() for one in accelerators.gpu for key in one.parameters)


Told = pb.ModelOptimizationPolicy.ExecutionAccelerators.Accelerator


def _read(field: str, told: Iterable[Told]) -> tuple[Accelerator, ...]:
    found: list[Accelerator] = []
    for index, one in enumerate(told):
        at = f"{AT}.{field}[{index}]"
        if one.name not in _KNOWN[field]:
            known = ", ".join(_KNOWN[field])
            raise ConfigRefused(f"{at}.name", f"'{brief(one.name)}' is not supported; supported: {known}")
        if one.name in {other.name for other in found}:
            raise ConfigRefused(f"{at}.name", f"'{one.name}' stands in it twice")
        found.append(Accelerator(one.name, _checked(at, one.parameters, _KNOWN[field][one.name])))
    return tuple(found)


def _checked(at: str, told: Mapping[str, str], known: Mapping[str, _Check]) -> dict[str, str]:
    for key, value in sorted(told.items()):
        if key not in known:
            raise ConfigRefused(f"{at}.parameters['{brief(key)}']", _WHY.get(key, "is not supported"))
        fits, permitted = known[key]
        if not fits(value):
            raise ConfigRefused(f"{at}.parameters['{key}']", f"'{brief(value)}' is not one of {permitted}")
    # The engine takes no "1" for True where TensorRT is concerned.
    parameters = {key: _FLAGS[value] if known[key] is _FLAG else value for key, value in sorted(told.items())}
    for key, needed in _NEEDS.items():
        if parameters.get(key) == "True" and needed not in parameters:
            raise ConfigRefused(f"{at}.parameters['{key}']", f"needs '{needed}'")
    return parameters
