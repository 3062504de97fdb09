"""config.pbtxt, Triton's description of a model, to a PartialConfig.

A field is honoured or refused, never ignored: a model that would run with other semantics than its
author wrote down is worse than one that does not start. Submessages that ask for nothing (`optimization
{ }`) are no request and pass. Text format over our own descriptors: no includes, no `Any`, no
recursive message, so depth is bounded by the schema (5) and work by the size limit; the slowest
file of 1 MiB found takes about two seconds, once per change of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from google.protobuf import text_format
from google.protobuf.message import Message

from gateway.core.dtypes import BY_NAME, DType
from gateway.core.errors import InvalidInput
from gateway.core.model import MAX_VERSION, BatchPolicy
from gateway.core.tensor import MAX_RANK, TensorSpec, element_count
from gateway.generated import model_config_pb2 as pb
from gateway.repository.catalogue import Isolation, PartialConfig
from gateway.repository.formats import FORMATS, matching
from gateway.repository.versions import All, Latest, Specific, VersionPolicy

MAX_CONFIG_BYTES = 1 << 20
MAX_TENSORS = 1024
MAX_NAME = 1024
MAX_BATCH = 1 << 20
MAX_QUEUE_DELAY_US = 60_000_000
# Each is a process with a copy of the model.
MAX_INSTANCES = 64
MAX_THREADS = 256

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# protobuf says "<line>:<column> : '<the line>': <what is wrong>", the quotation not always.
_PARSE_ERROR = re.compile(r"\d+:\d+ : (?:'.*': )?(.*)", re.DOTALL)

# By message, the fields that are read below. A message that is not listed is read whole.
_HONOURED: Mapping[str, frozenset[str]] = {
    "ModelConfig": frozenset({
        *("name", "platform", "backend", "version_policy", "max_batch_size", "input", "output"),
        *("dynamic_batching", "instance_group", "default_model_filename", "parameters"),
    }),
    "ModelInput": frozenset({"name", "data_type", "dims", "reshape"}),
    "ModelOutput": frozenset({"name", "data_type", "dims", "reshape"}),
    "ModelDynamicBatching": frozenset({"preferred_batch_size", "max_queue_delay_microseconds"}),
    "ModelInstanceGroup": frozenset({"name", "kind", "count"}),
}
# Present but empty, these mean what their absence means.
_EMPTY_IS_ABSENT = frozenset({
    *("optimization", "model_operations", "model_transaction_policy", "model_repository_agents"),
    *("response_cache", "model_metrics", "default_queue_policy", "rate_limiter"),
})


class ConfigRefused(ValueError):
    """The file cannot be honoured; `text` says field and reason, in one line."""

    def __init__(self, field: str, problem: str) -> None:
        self.text = f"config.pbtxt: {field}: {problem}" if field else f"config.pbtxt: {problem}"
        super().__init__(self.text)


def parse(data: bytes, folder: str) -> PartialConfig:
    """The configuration of the model in the folder of that name; raises ConfigRefused."""
    message = _read(data)
    _refuse_unsupported(message, "")
    if message.name not in {"", folder}:
        raise ConfigRefused("name", f"'{_brief(message.name)}' is not the name of the folder, '{folder}'")
    max_batch_size = _in_range("max_batch_size", message.max_batch_size, 0, MAX_BATCH)
    return PartialConfig(
        platform=_check_engine(message),
        backend=message.backend,
        max_batch_size=max_batch_size,
        inputs=_read_tensors("input", message.input, max_batch_size),
        outputs=_read_tensors("output", message.output, max_batch_size),
        batching=_read_batching(message),
        version_policy=_read_version_policy(message.version_policy),
        instances=_read_instances(message.instance_group),
        model_filename=_check_file_name(message.default_model_filename),
        options=_read_options(message),
        isolation=_read_isolation(message.parameters),
    )


def _read(data: bytes) -> pb.ModelConfig:
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigRefused("", f"is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        return text_format.Parse(data.decode("utf-8"), pb.ModelConfig())
    except UnicodeDecodeError as error:
        raise ConfigRefused("", f"byte {error.start} is not UTF-8") from None
    except text_format.ParseError as error:
        found = _PARSE_ERROR.fullmatch(str(error))
        problem = _brief(found[1] if found else str(error))
        raise ConfigRefused(f"line {error.GetLine()}, column {error.GetColumn()}", problem) from None


def _brief(text: str) -> str:
    """`text` as one printable line of at most 200 characters."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= 200 else f"{line[:197]}..."


def _refuse_unsupported(message: Message, prefix: str) -> None:
    honoured = _HONOURED.get(message.DESCRIPTOR.name)
    if honoured is None:
        return
    for field, value in message.ListFields():
        if field.name not in honoured:
            if field.name in _EMPTY_IS_ABSENT and not value.ByteSize():
                continue
            raise ConfigRefused(f"{prefix}{field.name}", "is not supported")
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        if field.is_repeated:
            for index, item in enumerate(value):
                _refuse_unsupported(item, f"{prefix}{field.name}[{index}].")
        else:
            _refuse_unsupported(value, f"{prefix}{field.name}.")


def _in_range(field: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise ConfigRefused(field, f"{value} is not in {least}..{most}")
    return value


def _check_engine(message: pb.ModelConfig) -> str:
    """The platform; refuses a platform and backend that no format fits."""
    if not matching(message.platform, message.backend):
        field = "backend" if matching(message.platform, "") else "platform"
        given = _brief(message.backend if field == "backend" else message.platform)
        known = ", ".join(sorted({getattr(entry, field) for entry in FORMATS}))
        raise ConfigRefused(field, f"'{given}' is not supported; supported: {known}")
    return message.platform


def _check_file_name(name: str) -> str:
    if name and not _FILE_NAME.fullmatch(name):
        raise ConfigRefused("default_model_filename", "must be a plain file name")
    return name


# ---- tensors ------------------------------------------------------------------------------------


def _read_tensors(
    kind: str, messages: Iterable[pb.ModelInput | pb.ModelOutput], max_batch_size: int
) -> tuple[TensorSpec, ...]:
    tensors = tuple(
        _read_tensor(f"{kind}[{index}]", message, max_batch_size) for index, message in enumerate(messages)
    )
    _in_range(f"{kind}: number of tensors", len(tensors), 0, MAX_TENSORS)
    names = [tensor.name for tensor in tensors]
    if len(set(names)) < len(names):
        raise ConfigRefused(kind, "two tensors have the same name")
    return tensors


def _read_tensor(at: str, message: pb.ModelInput | pb.ModelOutput, max_batch_size: int) -> TensorSpec:
    if not message.name or len(message.name) > MAX_NAME or not message.name.isprintable():
        raise ConfigRefused(f"{at}.name", f"must be 1 to {MAX_NAME} printable characters")
    dims = tuple(message.dims)
    # Triton writes a scalar as dims [1] reshaped to []: that, and every other reshape, changes the shape.
    if message.HasField("reshape") and tuple(message.reshape.shape) != dims:
        raise ConfigRefused(f"{at}.reshape", "to another shape is not supported")
    _check_dims(f"{at}.dims", dims, max_batch_size)
    return TensorSpec(message.name, _read_dtype(f"{at}.data_type", message.data_type), dims)


def _check_dims(field: str, dims: tuple[int, ...], max_batch_size: int) -> None:
    # One less than the rank that travels: the batch axis comes on top.
    if not 1 <= len(dims) < MAX_RANK:
        raise ConfigRefused(field, f"{len(dims)} dimensions, must be 1 to {MAX_RANK - 1}")
    if any(dim < 1 and dim != -1 for dim in dims):
        raise ConfigRefused(field, "each must be -1 or at least 1")
    try:
        element_count(field, (max(1, max_batch_size), *(dim for dim in dims if dim > 0)))
    except InvalidInput:
        raise ConfigRefused(field, "more elements than memory can hold") from None


def _read_dtype(field: str, number: pb.DataType.ValueType) -> DType:
    name = pb.DataType.Name(number).removeprefix("TYPE_")
    dtype = BY_NAME.get("BYTES" if name == "STRING" else name)
    if dtype is None:
        raise ConfigRefused(field, "must be given")
    return dtype


# ---- batching, versions, instances -----------------------------------------------------------------


def _read_batching(message: pb.ModelConfig) -> BatchPolicy:
    """As Triton: a model that says how large its batches are and not `dynamic_batching` runs each alone."""
    if not message.HasField("dynamic_batching"):
        return BatchPolicy(enabled=not (message.max_batch_size or message.input))
    batching = message.dynamic_batching
    at = "dynamic_batching"
    delay_us = batching.max_queue_delay_microseconds
    _in_range(f"{at}.max_queue_delay_microseconds", delay_us, 0, MAX_QUEUE_DELAY_US)
    preferred = sorted(set(batching.preferred_batch_size))
    if preferred and not message.max_batch_size:
        raise ConfigRefused(f"{at}.preferred_batch_size", "needs max_batch_size")
    for size in preferred:
        _in_range(f"{at}.preferred_batch_size", size, 1, message.max_batch_size)
    return BatchPolicy(preferred_sizes=tuple(preferred), max_queue_delay_s=delay_us / 1e6)


def _read_version_policy(message: pb.ModelVersionPolicy) -> VersionPolicy:
    match message.WhichOneof("policy_choice"):
        case "all":
            return All()
        case "specific":
            at = "version_policy.specific.versions"
            versions = sorted(_in_range(at, each, 1, MAX_VERSION) for each in message.specific.versions)
            if not versions:
                raise ConfigRefused(at, "names no version")
            return Specific(tuple(dict.fromkeys(versions)))
        case "latest":
            at = "version_policy.latest.num_versions"
            return Latest(_in_range(at, message.latest.num_versions, 1, 1 << 32))
    return Latest()


def _read_instances(groups: Iterable[pb.ModelInstanceGroup]) -> int:
    """All groups together: on a CPU nothing tells them apart. A group without a count is one."""
    total = 0
    for index, group in enumerate(groups):
        at = f"instance_group[{index}]"
        if group.kind not in {pb.ModelInstanceGroup.KIND_AUTO, pb.ModelInstanceGroup.KIND_CPU}:
            kind = pb.ModelInstanceGroup.Kind.Name(group.kind)
            raise ConfigRefused(f"{at}.kind", f"{kind} is not supported yet; supported: KIND_AUTO, KIND_CPU")
        total += _in_range(f"{at}.count", group.count or 1, 1, MAX_INSTANCES)
    if total:
        _in_range("instance_group: count of all groups", total, 1, MAX_INSTANCES)
    return total or 1


# ---- parameters ---------------------------------------------------------------------------------


def _is_integer(most: int, least: int = 0) -> Callable[[str], bool]:
    return lambda text: text.isascii() and text.isdigit() and len(text) <= 4 and least <= int(text) <= most


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
}
_TORCH_OPTIONS: Mapping[str, _Option] = {
    "INFERENCE_MODE": _BOOLEAN,
    "DISABLE_OPTIMIZED_EXECUTION": _BOOLEAN,
    "INTRA_OP_THREAD_COUNT": (_is_integer(MAX_THREADS, 1), f"1..{MAX_THREADS}"),
    "INTER_OP_THREAD_COUNT": (_is_integer(MAX_THREADS, 1), f"1..{MAX_THREADS}"),
}
_ISOLATION = "gateway.isolation"
_ISOLATIONS = ("process", "inline")


# Of Triton's Python backend; every other parameter of a Python model is for the model itself.
_REFUSED_FOR_PYTHON = frozenset({"EXECUTION_ENV_PATH", "default_model_filename"})
# A worker is told of its model in one packet of 128 KiB.
MAX_PARAMETERS_BYTES = 32 << 10


def _read_options(message: pb.ModelConfig) -> dict[str, str]:
    parameters = message.parameters
    options = {key: parameters[key].string_value for key in sorted(parameters) if key != _ISOLATION}
    backends = {entry.backend for entry in matching(message.platform, message.backend)}
    if backends == {"python"}:
        return _check_free_options(options)
    permitted_here = _TORCH_OPTIONS if backends == {"pytorch"} else _ONNX_OPTIONS
    for key, value in options.items():
        if key not in permitted_here:
            raise ConfigRefused(f"parameters['{_brief(key)}']", "is not supported")
        is_allowed, permitted = permitted_here[key]
        if not is_allowed(value):
            raise ConfigRefused(f"parameters['{key}']", f"'{_brief(value)}' is not one of {permitted}")
    return options


def _check_free_options(options: dict[str, str]) -> dict[str, str]:
    for key in options:
        if key in _REFUSED_FOR_PYTHON or key.startswith("gateway."):
            raise ConfigRefused(f"parameters['{_brief(key)}']", "is not supported")
    size = sum(len(key.encode()) + len(value.encode()) for key, value in options.items())
    if size > MAX_PARAMETERS_BYTES:
        raise ConfigRefused("parameters", f"are {size} bytes, must be at most {MAX_PARAMETERS_BYTES}")
    return options


def _read_isolation(parameters: Mapping[str, pb.ModelParameter]) -> Isolation | None:
    if _ISOLATION not in parameters:
        return None
    value = parameters[_ISOLATION].string_value
    if value not in _ISOLATIONS:
        raise ConfigRefused(
            f"parameters['{_ISOLATION}']", f"'{_brief(value)}' is not one of {', '.join(_ISOLATIONS)}"
        )
    return cast(Isolation, value)
