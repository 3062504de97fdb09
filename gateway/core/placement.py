"""On which device an instance is to run, and by what the engine is to be made faster there; values alone.

They travel to the worker among the engine's options, which every runtime is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, cast

import msgspec

# "auto" is a GPU where there is one that the engine can use, else the CPU.
Kind = Literal["auto", "gpu", "cpu"]

KIND_OPTION = "instance_group.kind"
DEVICE_OPTION = "instance_group.device"
ACCELERATORS_OPTION = "optimization.execution_accelerators"
# What no engine calls its own.
OPTIONS = frozenset({KIND_OPTION, DEVICE_OPTION, ACCELERATORS_OPTION})


class InstanceGroup(msgspec.Struct, frozen=True):
    """`count` instances, of kind "gpu" on each of `gpus`, () being all there are."""

    kind: Kind = "auto"
    count: int = 1
    gpus: tuple[int, ...] = ()


class Place(msgspec.Struct, frozen=True):
    """Where one instance runs; `device` is the number of a GPU, and means nothing on the CPU."""

    kind: Kind = "auto"
    device: int = 0

    def options(self) -> dict[str, str]:
        """As options; {} for a place that nobody asked for."""
        if self == Place():
            return {}
        return {KIND_OPTION: self.kind, DEVICE_OPTION: str(self.device)}


class Accelerator(msgspec.Struct, frozen=True):
    """Something of the engine's by its name in config.pbtxt, and its parameters, checked."""

    name: str
    parameters: Mapping[str, str] = {}


class Accelerators(msgspec.Struct, frozen=True):
    """In the order in which they are to be preferred, by what the instance runs on."""

    gpu: tuple[Accelerator, ...] = ()
    cpu: tuple[Accelerator, ...] = ()

    def options(self) -> dict[str, str]:
        """As options; {} where there are none."""
        return {ACCELERATORS_OPTION: _encode(self).decode()} if self.gpu or self.cpu else {}


_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(Accelerators).decode


def place_of(options: Mapping[str, str]) -> Place:
    """The place that `Place.options` told of."""
    kind = options.get(KIND_OPTION, "auto")
    return Place(cast(Kind, kind), int(options.get(DEVICE_OPTION, "0")))


def accelerators_of(options: Mapping[str, str]) -> Accelerators:
    """The accelerators that `Accelerators.options` told of."""
    told = options.get(ACCELERATORS_OPTION)
    return _decode(told) if told else Accelerators()


def places(groups: Iterable[InstanceGroup], gpus: int) -> tuple[Place, ...]:
    """A place for each instance, where `gpus` of them are visible.

    Those that say "gpu" without saying which are on every one; where there is none, their load says so.
    Those that say nothing are as many as they say, on one GPU after the other.
    """
    found: list[Place] = []
    for group in groups:
        match group.kind:
            case "cpu":
                found += [Place("cpu")] * group.count
            case "gpu":
                devices = group.gpus or range(max(1, gpus))
                found += [Place("gpu", device) for device in devices for _ in range(group.count)]
            case "auto":
                found += [Place("auto", index % max(1, gpus)) for index in range(group.count)]
    return tuple(found)
