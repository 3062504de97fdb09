"""instance_group of config.pbtxt: how many instances, and on what they are to run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.core.placement import InstanceGroup, Kind
from gateway.generated import model_config_pb2 as pb
from gateway.repository.formats import matching
from gateway.repository.refusal import ConfigRefused, in_range

# Each is a process with a copy of the model.
MAX_INSTANCES = 64
MAX_GPU = 255

_KINDS: Mapping[pb.ModelInstanceGroup.Kind.ValueType, Kind] = {
    pb.ModelInstanceGroup.KIND_AUTO: "auto",
    pb.ModelInstanceGroup.KIND_CPU: "cpu",
    pb.ModelInstanceGroup.KIND_GPU: "gpu",
}
# Engines that can use a GPU, or leave it to the model; one of them cannot do without.
_ON_GPU = frozenset({"onnxruntime", "python", "pytorch", "tensorrt"})
_ON_CPU = frozenset({"onnxruntime", "python", "pytorch"})


def read_instances(message: pb.ModelConfig) -> tuple[InstanceGroup, ...]:
    """One group at least; raises ConfigRefused."""
    backends = {entry.backend for entry in matching(message.platform, message.backend)}
    groups = tuple(
        _read(f"instance_group[{index}]", group, backends)
        for index, group in enumerate(message.instance_group)
    )
    if groups:
        in_range("instance_group: count of all groups", count_of(groups), 1, MAX_INSTANCES)
    return groups or (InstanceGroup(),)


def count_of(groups: Iterable[InstanceGroup]) -> int:
    """How many instances that is, as far as the configuration alone can tell."""
    return sum(group.count * max(1, len(group.gpus)) for group in groups)


def _read(at: str, group: pb.ModelInstanceGroup, backends: set[str]) -> InstanceGroup:
    kind, name = _KINDS.get(group.kind), pb.ModelInstanceGroup.Kind.Name(group.kind)
    if kind is None:
        known = ", ".join(pb.ModelInstanceGroup.Kind.Name(one) for one in _KINDS)
        raise ConfigRefused(f"{at}.kind", f"{name} is not supported; supported: {known}")
    gpus = tuple(in_range(f"{at}.gpus", gpu, 0, MAX_GPU) for gpu in group.gpus)
    if gpus and kind == "cpu":
        raise ConfigRefused(f"{at}.gpus", "means nothing with KIND_CPU")
    if len(set(gpus)) < len(gpus):
        raise ConfigRefused(f"{at}.gpus", "names one of them twice")
    if gpus:
        kind = "gpu"
    if kind != "auto" and not backends & (_ON_GPU if kind == "gpu" else _ON_CPU):
        raise ConfigRefused(f"{at}.kind", f"{name} is not supported for backend '{min(backends)}'")
    return InstanceGroup(kind, in_range(f"{at}.count", group.count or 1, 1, MAX_INSTANCES), gpus)


def refuse_gpu_in_front(groups: Iterable[InstanceGroup], isolation: str | None) -> None:
    """Raises ConfigRefused where a front would have to open a GPU."""
    if isolation == "inline" and any(group.kind == "gpu" for group in groups):
        raise ConfigRefused("instance_group", "KIND_GPU contradicts gateway.isolation inline")
