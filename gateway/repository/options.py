"""parameters and optimization of config.pbtxt: the engine's options, and the gateway's own keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, cast, get_args

from gateway.core import environment
from gateway.core.model import LABEL, MAX_VERSION
from gateway.generated import model_config_pb2 as pb
from gateway.repository.batching_strategy import BATCHING_PARAMETERS
from gateway.repository.formats import REMOTE, matching
from gateway.repository.refusal import ConfigRefused, brief, in_range
from gateway.repository.scaling import SCALE_PARAMETERS
from gateway.runtimes.remote.target import PRIVATE_OPTIONS, OptionRefused
from gateway.runtimes.remote.target import parse as parse_target

MAX_THREADS = 256
MAX_LABELS = 64

Isolation = Literal["auto", "process", "shared", "inline"]
Parameters = Mapping[str, pb.ModelParameter]


def _is_integer(most: int, least: int = 0) -> Callable[[str], bool]:
    return lambda text: text.isascii() and text.isdigit() and len(text) <= 4 and least <= int(text) <= most


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < 1 << 64


def _is_one_of(*allowed: str) -> Callable[[str], bool]:
    return lambda text: text in allowed


_Option = tuple[Callable[[str], bool], str]
_BOOLEAN: _Option = (_is_one_of("true", "false", "1", "0"), "true, false")
# By the keys of Triton's backends, with what gateway/runtimes/onnx.py and torch.py permit.
_ONNX_OPTIONS: Mapping[str, _Option] = {
    "intra_op_thread_count": (_is_integer(MAX_THREADS), f"0..{MAX_THREADS}"),
    "inter_op_thread_count": (_is_integer(MAX_THREADS), f"0..{MAX_THREADS}"),
    "execution_mode": (_is_one_of("0", "1"), "0 (sequential), 1 (parallel)"),
    "level": (_is_one_of("-1", "0", "1", "2"), "-1 (basic), 0 (all), 1 (extended), 2 (none)"),
    "enable_mem_arena": (_is_one_of("0", "1"), "0, 1"),
    "enable_mem_pattern": (_is_one_of("0", "1"), "0, 1"),
    # Of CUDA, where the model runs on a GPU.
    "cudnn_conv_algo_search": (_is_one_of("0", "1", "2"), "0 (exhaustive), 1 (heuristic), 2 (default)"),
    "gpu_mem_limit": (_is_whole, "0..18446744073709551615"),
    "arena_extend_strategy": (_is_one_of("0", "1"), "0 (next power of two), 1 (same as requested)"),
    "do_copy_in_default_stream": (_is_one_of("0", "1"), "0, 1"),
}
_TORCH_OPTIONS: Mapping[str, _Option] = {
    "INFERENCE_MODE": _BOOLEAN,
    "DISABLE_OPTIMIZED_EXECUTION": _BOOLEAN,
    "INTRA_OP_THREAD_COUNT": (_is_integer(MAX_THREADS, 1), f"1..{MAX_THREADS}"),
    "INTER_OP_THREAD_COUNT": (_is_integer(MAX_THREADS, 1), f"1..{MAX_THREADS}"),
}
_OPTIONS: Mapping[str, Mapping[str, _Option]] = {"pytorch": _TORCH_OPTIONS, "tensorrt": {}}
# Nearly every parameter of a Python model is for the model itself.
_REFUSED_FOR_PYTHON = frozenset({"default_model_filename"})
# A worker is told of its model in one packet of 128 KiB.
MAX_PARAMETERS_BYTES = 32 << 10
_ISOLATION = "gateway.isolation"
_LABELS = "gateway.labels"
_OURS = (_ISOLATION, _LABELS, *SCALE_PARAMETERS, *BATCHING_PARAMETERS)
_ISOLATIONS: tuple[str, ...] = get_args(Isolation)
_GRAPH_LEVEL = "optimization.graph.level"


def read_options(message: pb.ModelConfig) -> dict[str, str]:
    """The engine's options by Triton's keys; raises ConfigRefused."""
    parameters = message.parameters
    options = {key: parameters[key].string_value for key in sorted(parameters) if key not in _OURS}
    backends = {entry.backend for entry in matching(message.platform, message.backend)}
    if backends == {"python"}:
        _check_free(options)
    elif backends == {"remote"}:
        _check_remote(options, message)
    else:
        known = _OPTIONS.get(min(backends), _ONNX_OPTIONS) if len(backends) == 1 else _ONNX_OPTIONS
        _check_listed(options, known)
    if message.optimization.HasField("graph"):
        if "onnxruntime" not in backends:
            raise ConfigRefused("optimization.graph", "is not supported for this backend")
        level = str(in_range(_GRAPH_LEVEL, message.optimization.graph.level, -1, 2))
        if options.setdefault("level", level) != level:
            raise ConfigRefused(_GRAPH_LEVEL, f"{level} contradicts parameters['level'] {options['level']}")
    return options


def read_decoupled(message: pb.ModelConfig) -> bool:
    """Whether a request has any number of answers; raises ConfigRefused for engines that give one."""
    decoupled = message.model_transaction_policy.decoupled
    backends = {entry.backend for entry in matching(message.platform, message.backend)}
    if decoupled and backends != {"python"}:
        raise ConfigRefused("model_transaction_policy.decoupled", "is supported for backend 'python' alone")
    if decoupled and message.dynamic_batching.preserve_ordering:
        raise ConfigRefused(
            "dynamic_batching.preserve_ordering", "is not possible where a model is decoupled"
        )
    return decoupled


# Those whose models can be run without one of their inputs.
_MAY_MISS_INPUTS = frozenset({"onnxruntime", "python"})


def check_optional(message: pb.ModelConfig) -> None:
    """Raises ConfigRefused for an input that may be left out, of an engine that needs them all."""
    backends = {entry.backend for entry in matching(message.platform, message.backend)}
    refused = f"backend '{min(backends)}'" if backends and not backends & _MAY_MISS_INPUTS else ""
    if message.HasField("sequence_batching"):
        refused = "a model with sequence_batching"
    for index, tensor in enumerate(message.input):
        if tensor.optional and refused:
            raise ConfigRefused(f"input[{index}].optional", f"is not supported for {refused}")


def _check_listed(options: Mapping[str, str], permitted_here: Mapping[str, _Option]) -> None:
    for key, value in options.items():
        if key not in permitted_here:
            raise ConfigRefused(f"parameters['{brief(key)}']", "is not supported")
        is_allowed, permitted = permitted_here[key]
        if not is_allowed(value):
            raise ConfigRefused(f"parameters['{key}']", f"'{brief(value)}' is not one of {permitted}")


def _check_remote(options: Mapping[str, str], message: pb.ModelConfig) -> None:
    if message.default_model_filename:
        raise ConfigRefused("default_model_filename", "is not supported for backend 'remote': it has no file")
    if _ISOLATION in message.parameters and read_isolation(message.parameters) == "inline":
        raise ConfigRefused(f"parameters['{_ISOLATION}']", "inline is not supported for backend 'remote'")
    try:
        parse_target(options)
    except OptionRefused as refused:
        raise ConfigRefused(f"parameters['{brief(refused.key)}']", brief(refused.problem)) from None


def read_concurrency(backend: str, options: Mapping[str, str]) -> int:
    """How many batches an instance runs at the same time; 0 is one after the other."""
    return parse_target(options).max_in_flight if backend == REMOTE.backend else 0


def told(message: pb.ModelConfig) -> pb.ModelConfig:
    """What callers may read of a configuration: not where an upstream is, nor where its secrets lie."""
    if REMOTE not in matching(message.platform, message.backend):
        return message
    shown = pb.ModelConfig()
    shown.CopyFrom(message)
    for key in PRIVATE_OPTIONS & shown.parameters.keys():
        del shown.parameters[key]
    return shown


def _check_free(options: Mapping[str, str]) -> None:
    for key in options:
        if key in _REFUSED_FOR_PYTHON or (key.startswith("gateway.") and key != environment.PRELOAD):
            raise ConfigRefused(f"parameters['{brief(key)}']", "is not supported")
    if environment.PARAMETER in options:
        told = options[environment.PARAMETER]
        if fault := environment.fault_of_path(told):
            raise ConfigRefused(f"parameters['{environment.PARAMETER}']", f"'{brief(told)}' {fault}")
    if environment.PRELOAD in options:
        try:
            environment.parse_modules(options[environment.PRELOAD])
        except ValueError as error:
            raise ConfigRefused(f"parameters['{environment.PRELOAD}']", str(error)) from None
    size = sum(len(key.encode()) + len(value.encode()) for key, value in options.items())
    if size > MAX_PARAMETERS_BYTES:
        raise ConfigRefused("parameters", f"are {size} bytes, must be at most {MAX_PARAMETERS_BYTES}")


def read_isolation(parameters: Parameters) -> Isolation | None:
    """Where the model is to run, None where it does not say; raises ConfigRefused."""
    if _ISOLATION not in parameters:
        return None
    value = parameters[_ISOLATION].string_value
    if value not in _ISOLATIONS:
        raise ConfigRefused(
            f"parameters['{_ISOLATION}']", f"'{brief(value)}' is not one of {', '.join(_ISOLATIONS)}"
        )
    return cast(Isolation, value)


def read_labels(parameters: Parameters) -> dict[str, int]:
    """Names for versions, from "stable=1, canary=3"; raises ConfigRefused."""
    if _LABELS not in parameters:
        return {}
    field = f"parameters['{_LABELS}']"
    labels: dict[str, int] = {}
    for part in parameters[_LABELS].string_value.split(","):
        label, _, version = (piece.strip() for piece in part.partition("="))
        if not LABEL.fullmatch(label):
            raise ConfigRefused(
                field,
                f"'{brief(label)}' is no label: 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter",
            )
        if label in labels:
            raise ConfigRefused(field, f"'{label}' stands in it twice")
        if not (version.isascii() and version.isdigit() and len(version) <= 19):
            raise ConfigRefused(field, f"'{label}' needs a version: {label}=1")
        labels[label] = in_range(f"{field}: {label}", int(version), 1, MAX_VERSION)
    in_range(f"{field}: number of labels", len(labels), 1, MAX_LABELS)
    return labels
