"""On which device PyTorch runs a model, and why not on a GPU where one might be expected. Pure."""

from __future__ import annotations

from typing import NamedTuple

from gateway.core.placement import Place
from gateway.runtimes.contract import LoadError
from gateway.runtimes.gpus import fault_of

CPU = "cpu"


class Choice(NamedTuple):
    """A device by PyTorch's name for it; `note` is what people should know of it, or ""."""

    device: str
    note: str = ""


def choose(place: Place, gpus: int, *, has_cuda: bool) -> Choice:
    """The device for `place` where `gpus` are visible; `has_cuda`: this PyTorch can use them.

    Raises LoadError where a GPU was asked for and cannot be had.
    """
    if place.kind == "cpu" or (place.kind == "auto" and place.device >= gpus):
        return Choice(CPU)
    if fault := fault_of(place, gpus):
        raise LoadError(fault)
    if has_cuda:
        return Choice(f"cuda:{place.device}", f"on GPU {place.device} by PyTorch")
    if place.kind == "gpu":
        raise LoadError("instance_group: KIND_GPU needs a PyTorch that can use the GPU, this one cannot")
    return Choice(CPU, "on the CPU: this PyTorch cannot use the GPU")
