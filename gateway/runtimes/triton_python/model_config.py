"""A model's configuration as Triton writes it in JSON, and what auto_complete_config may add to it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gateway.core.model import ModelSpec, QueuePolicy
from gateway.core.tensor import MAX_RANK
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import LoadError
from gateway.runtimes.triton_python.sequences import sequence_config
from gateway.runtimes.triton_python.tensors import config_name, parse_config_name

MAX_BATCH = 1 << 20
_PROPERTIES = frozenset({"name", "data_type", "dims", "optional"})

ConfigDict = dict[str, Any]


# What Triton writes of everything that a model here cannot ask for.
_DEFAULTS: ConfigDict = {
    "runtime": "",
    "batch_input": [],
    "batch_output": [],
    "optimization": {
        "priority": "PRIORITY_DEFAULT",
        "input_pinned_memory": {"enable": True},
        "output_pinned_memory": {"enable": True},
        "gather_kernel_buffer_threshold": 0,
        "eager_batching": False,
    },
    "cc_model_filenames": {},
    "metric_tags": {},
    "model_warmup": [],
}


def config_of(spec: ModelSpec, parameters: Mapping[str, str], file: str) -> ConfigDict:
    """The configuration of a model with this spec, by Triton's field names."""
    config: ConfigDict = {
        **copy.deepcopy(_DEFAULTS),
        "name": spec.name,
        "platform": "",
        "backend": spec.backend,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": spec.max_batch_size,
        "input": [_input(tensor) for tensor in spec.inputs],
        "output": [_output(tensor) for tensor in spec.outputs],
        "instance_group": [_instances(spec)],
        "default_model_filename": file,
        "parameters": {key: {"string_value": value} for key, value in parameters.items()},
    }
    if spec.decoupled:
        config["model_transaction_policy"] = {"decoupled": True}
    if spec.sequence is not None:
        config["sequence_batching"] = sequence_config(spec.sequence, spec.max_batch_size)
    elif spec.batching.enabled and spec.max_batch_size:
        config["dynamic_batching"] = _batching(spec)
    return config


def _instances(spec: ModelSpec) -> ConfigDict:
    return {
        "name": spec.name,
        "kind": "KIND_CPU",
        "count": spec.instances,
        "gpus": [],
        "secondary_devices": [],
        "profile": [],
        "passive": False,
        "host_policy": "",
    }


def _batching(spec: ModelSpec) -> ConfigDict:
    batching = spec.batching
    config: ConfigDict = {
        "preferred_batch_size": list(batching.preferred_sizes) or [spec.max_batch_size],
        "max_queue_delay_microseconds": round(batching.max_queue_delay_s * 1e6),
        "preserve_ordering": batching.preserve_ordering,
        "priority_levels": batching.priority_levels,
        "default_priority_level": batching.default_priority_level,
        "priority_queue_policy": {str(level): _queue(queue) for level, queue in batching.priority_policies},
    }
    if batching.queue_policy != QueuePolicy():
        config["default_queue_policy"] = _queue(batching.queue_policy)
    return config


def _queue(policy: QueuePolicy) -> ConfigDict:
    return {
        "timeout_action": policy.timeout_action.upper(),
        "default_timeout_microseconds": round(policy.default_timeout_s * 1e6),
        "allow_timeout_override": policy.allow_timeout_override,
        "max_queue_size": policy.max_queue_size,
    }


def _input(tensor: TensorSpec) -> ConfigDict:
    return {
        "name": tensor.name,
        "data_type": config_name(tensor.dtype),
        "format": "FORMAT_NONE",
        "dims": list(tensor.shape),
        "is_shape_tensor": False,
        "allow_ragged_batch": False,
        "optional": tensor.is_optional,
        "is_non_linear_format_io": False,
    }


def _output(tensor: TensorSpec) -> ConfigDict:
    return {
        "name": tensor.name,
        "data_type": config_name(tensor.dtype),
        "dims": list(tensor.shape),
        "label_filename": "",
        "is_shape_tensor": False,
        "is_non_linear_format_io": False,
    }


class ModelConfig:
    """What auto_complete_config is given and gives back; contradictions raise ValueError.

    Rows are batched wherever a model has a batch axis, unless config.pbtxt says otherwise, so
    `set_dynamic_batching` asks for what is done anyway.
    """

    def __init__(self, config: ConfigDict) -> None:
        self._config = config

    def as_dict(self) -> ConfigDict:
        return self._config

    def set_max_batch_size(self, max_batch_size: int) -> None:
        """The rows of the largest batch, 0 for a model without a batch axis."""
        if not isinstance(max_batch_size, int) or not 0 <= max_batch_size <= MAX_BATCH:
            raise ValueError(f"max_batch_size {max_batch_size!r} is not a number in 0..{MAX_BATCH}")
        configured = self._config["max_batch_size"]
        if configured > max_batch_size:
            raise ValueError(
                f"config.pbtxt has max_batch_size {configured}, auto_complete_config sets {max_batch_size}"
            )
        self._config["max_batch_size"] = max_batch_size

    def set_dynamic_batching(self) -> None:
        """Rows of several requests may share a batch."""
        self._config.setdefault("dynamic_batching", {})

    def set_model_transaction_policy(self, transaction_policy_dict: Mapping[str, Any]) -> None:
        """Whether a request has any number of answers; what config.pbtxt has settled stays."""
        decoupled = bool(transaction_policy_dict.get("decoupled", False))
        if not decoupled and using_decoupled_model_transaction_policy(self._config):
            raise ValueError("config.pbtxt has decoupled true, auto_complete_config sets false")
        self._config["model_transaction_policy"] = {"decoupled": decoupled}

    def add_input(self, input: Mapping[str, Any]) -> None:
        """An input: name, data_type, dims without the batch axis."""
        self._add("input", _input, input)

    def add_output(self, output: Mapping[str, Any]) -> None:
        """An output: name, data_type, dims without the batch axis."""
        self._add("output", _output, output)

    def _add(self, kind: str, form: Any, given: Mapping[str, Any]) -> None:
        tensor = read_tensor(kind, given)
        same = next((one for one in self._config[kind] if one["name"] == tensor.name), None)
        if same is None:
            self._config[kind].append(form(tensor))
            return
        wanted = form(tensor)
        for field in ("data_type", "dims"):
            if same[field] != wanted[field]:
                raise ValueError(
                    f"{kind} '{tensor.name}': config.pbtxt has {field} {same[field]}, "
                    f"auto_complete_config gives {wanted[field]}"
                )


def read_tensor(kind: str, given: Mapping[str, Any]) -> TensorSpec:
    """The tensor that a dictionary of Triton's describes; raises ValueError."""
    name = given.get("name")
    if not isinstance(name, str) or not name.isprintable() or not name:
        raise ValueError(f"an {kind} without a name")
    is_optional = given.get("optional", False)
    if given.keys() - _PROPERTIES or (kind == "output" and is_optional):
        what = min(given.keys() - _PROPERTIES, default="optional")
        raise ValueError(f"{kind} '{name}': '{what}' is not supported")
    if not isinstance(is_optional, bool):
        raise ValueError(f"{kind} '{name}': optional must be True or False")
    dtype = parse_config_name(given.get("data_type"))
    if dtype is None:
        raise ValueError(f"{kind} '{name}': data_type {given.get('data_type')!r} is not one like 'TYPE_FP32'")
    dims = given.get("dims")
    if not isinstance(dims, list | tuple) or not 1 <= len(dims) < MAX_RANK or not all(map(_is_dim, dims)):
        raise ValueError(f"{kind} '{name}': dims must be 1 to {MAX_RANK - 1} numbers, each -1 or at least 1")
    return TensorSpec(name, dtype, tuple(int(dim) for dim in dims), is_optional=is_optional)


def _is_dim(dim: object) -> bool:
    return isinstance(dim, int) and not isinstance(dim, bool) and (dim == -1 or dim > 0)


def completed(spec: ModelSpec, config: ConfigDict, *, max_batch_known: bool) -> ModelSpec:
    """`spec` with what auto_complete_config found; raises LoadError where config.pbtxt had settled it."""
    size = config["max_batch_size"]
    if max_batch_known and size != spec.max_batch_size:
        raise LoadError(
            f"config.pbtxt settles max_batch_size {spec.max_batch_size}, auto_complete_config sets {size}"
        )
    return msgspec.structs.replace(
        spec,
        max_batch_size=size,
        inputs=_tensors("input", config["input"], spec.inputs),
        outputs=_tensors("output", config["output"], spec.outputs),
        decoupled=using_decoupled_model_transaction_policy(config),
    )


def _tensors(
    kind: str, dictionaries: Iterable[ConfigDict], configured: Iterable[TensorSpec]
) -> tuple[TensorSpec, ...]:
    known = {tensor.name: tensor for tensor in configured}
    try:
        found = [
            read_tensor(kind, {key: one[key] for key in one.keys() & _PROPERTIES}) for one in dictionaries
        ]
    except ValueError as error:
        raise LoadError(str(error)) from None
    return tuple(_with_rest(tensor, known.get(tensor.name)) for tensor in found)


def _with_rest(found: TensorSpec, configured: TensorSpec | None) -> TensorSpec:
    """`found` with what config.pbtxt says of that tensor and a dictionary does not carry, as a reshape."""
    if configured is None or configured.shape != found.shape:
        return found
    return msgspec.structs.replace(configured, dtype=found.dtype, is_optional=found.is_optional)


def using_decoupled_model_transaction_policy(model_config: Mapping[str, Any]) -> bool:
    """True where the configuration lets a request have any number of responses."""
    return bool(model_config.get("model_transaction_policy", {}).get("decoupled", False))


def get_input_config_by_name(model_config: Mapping[str, Any], name: str) -> ConfigDict | None:
    """The configuration's input of that name, or None."""
    return next((one for one in model_config.get("input", ()) if one["name"] == name), None)


def get_output_config_by_name(model_config: Mapping[str, Any], name: str) -> ConfigDict | None:
    """The configuration's output of that name, or None."""
    return next((one for one in model_config.get("output", ()) if one["name"] == name), None)
