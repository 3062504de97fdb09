"""Which of ONNX Runtime's execution providers run a model, in which order, and why no GPU does. Pure.

A model that says nothing runs on a GPU where there is one and the engine can use it; what keeps it from
there is told. What it asks for by name is done or refused, never left out: only where an instance is on
the CPU, accelerators for GPUs mean nothing, as they do for Triton, and that is told too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.core.placement import Accelerator, Accelerators, Place
from gateway.runtimes.contract import LoadError
from gateway.runtimes.gpus import fault_of

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
TENSORRT, OPENVINO = "TensorrtExecutionProvider", "OpenVINOExecutionProvider"

_AT = "optimization.execution_accelerators"
_EXTRA = "it comes with the extra 'gpu'"

# Triton's parameters by what the engine calls them; all others have the same name.
_TENSORRT_NAMES: Mapping[str, str] = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}
_PRECISIONS: Mapping[str, Mapping[str, str]] = {
    "FP32": {},
    "FP16": {"trt_fp16_enable": "True"},
    "BF16": {"trt_bf16_enable": "True"},
    "INT8": {"trt_int8_enable": "True"},
}
# The model's own parameters for CUDA, older than those of an accelerator, with their numbers' names.
_OLD_CUDA: Mapping[str, Sequence[str]] = {
    "cudnn_conv_algo_search": ("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
    "arena_extend_strategy": ("kNextPowerOfTwo", "kSameAsRequested"),
    "do_copy_in_default_stream": ("0", "1"),
    "gpu_mem_limit": (),
}

Provider = tuple[str, dict[str, str]]


class Machine(NamedTuple):
    """What there is: the engine's providers, and how many GPUs the process may use."""

    providers: Sequence[str]
    gpus: int


class Wish(NamedTuple):
    """What a model asks for; `options` are the engine's, of which some are for CUDA."""

    place: Place = Place()
    accelerators: Accelerators = Accelerators()
    options: Mapping[str, str] = {}
    is_inline: bool = False


class Choice(NamedTuple):
    """Providers in the order of preference; `gpu` None on the CPU, and then `note` says why, or "".

    `may_fall_back`: nobody asked for the GPU, so that one which fails may be done without.
    """

    providers: tuple[Provider, ...]
    gpu: int | None
    note: str
    may_fall_back: bool = False


def choose(wish: Wish, machine: Machine) -> Choice:
    """What `wish` comes to on `machine`; raises LoadError with the field that cannot be honoured."""
    gpu = _gpu_of(wish, machine)
    asked = [_cpu_provider(index, one, machine) for index, one in enumerate(wish.accelerators.cpu)]
    on_cpu: tuple[Provider, ...] = (*asked, (CPU, {}))
    if gpu is None:
        return Choice(on_cpu, None, _why_not(wish, machine))
    on_gpu = _gpu_providers(wish, machine, gpu)
    note = f"on GPU {gpu} by {', '.join(name for name, _ in on_gpu)}"
    is_free = wish.place.kind == "auto" and not wish.accelerators.gpu
    return Choice(on_gpu + on_cpu, gpu, note, may_fall_back=is_free)


def without_gpu(wish: Wish, machine: Machine, why: str) -> Choice:
    """The choice on the CPU, for a GPU that was chosen and then failed."""
    on_cpu = choose(wish._replace(place=Place("cpu")), machine)
    return on_cpu._replace(note=f"on the CPU: {why}")


def _gpu_of(wish: Wish, machine: Machine) -> int | None:
    device = wish.place.device
    match wish.place.kind:
        case "cpu":
            return None
        case "auto":
            is_usable = device < machine.gpus and CUDA in machine.providers and not wish.is_inline
            return device if is_usable else None
    if fault := fault_of(wish.place, machine.gpus):
        raise LoadError(fault)
    if CUDA not in machine.providers:
        raise LoadError(f"instance_group: KIND_GPU needs an onnxruntime with {CUDA}: {_EXTRA}")
    return device


def _why_not(wish: Wish, machine: Machine) -> str:
    asked = [f"'{one.name}'" for one in wish.accelerators.gpu]
    reason = ""
    if wish.place.kind == "cpu":
        reason = "instance_group says KIND_CPU" if asked else ""
    elif machine.gpus and wish.is_inline:
        reason = "a front opens no GPU: gateway.isolation inline"
    elif machine.gpus and CUDA not in machine.providers:
        reason = f"this onnxruntime has no {CUDA}: {_EXTRA}"
    elif asked or CUDA in machine.providers:
        reason = "no GPU is visible"
    if not reason:
        return ""
    ignored = f", so gpu_execution_accelerator {', '.join(asked)} means nothing" if asked else ""
    return f"on the CPU: {reason}{ignored}"


# ---- providers ----------------------------------------------------------------------------------


def _gpu_providers(wish: Wish, machine: Machine, gpu: int) -> tuple[Provider, ...]:
    """What was asked for, and in any case CUDA, for what that cannot run."""
    found: dict[str, dict[str, str]] = {}
    for index, one in enumerate(wish.accelerators.gpu):
        name = TENSORRT if one.name == "tensorrt" else CUDA
        if name not in machine.providers:
            raise LoadError(
                f"{_AT}.gpu_execution_accelerator[{index}]: '{one.name}' needs an onnxruntime with {name}"
            )
        found[name] = {"device_id": str(gpu), **_parameters(one)}
    cuda = {"device_id": str(gpu), **_old_cuda(wish.options), **found.pop(CUDA, {})}
    return (*found.items(), (CUDA, cuda))


def _parameters(one: Accelerator) -> dict[str, str]:
    if one.name != "tensorrt":
        return dict(one.parameters)
    named = {_TENSORRT_NAMES.get(key, key): value for key, value in one.parameters.items()}
    return {**_PRECISIONS[named.pop("precision_mode", "FP32")], **named}


def _old_cuda(options: Mapping[str, str]) -> dict[str, str]:
    return {
        key: names[int(options[key])] if names else options[key]
        for key, names in _OLD_CUDA.items()
        if key in options
    }


def _cpu_provider(index: int, one: Accelerator, machine: Machine) -> Provider:
    if OPENVINO not in machine.providers:
        raise LoadError(
            f"{_AT}.cpu_execution_accelerator[{index}]: '{one.name}' needs an onnxruntime with {OPENVINO}"
        )
    return OPENVINO, {"device_type": "CPU", **one.parameters}
