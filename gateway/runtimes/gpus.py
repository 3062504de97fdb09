"""How many GPUs a process may use, without asking an engine: from what the driver and the environment say."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Mapping
from pathlib import Path

from gateway.core.device import CPU
from gateway.core.placement import ACCELERATORS_OPTION, Kind, Place, place_of

# Errors of CUDA after which a process can do nothing more with the device: ECC, and what kernels did.
STICKY = frozenset({214, 700, 702, 709, 710, *range(714, 720)})
VARIABLE = "CUDA_VISIBLE_DEVICES"
_DRIVER = Path("/proc/driver/nvidia/gpus")
_DEVICES = Path("/dev")
_NODE = re.compile(r"nvidia[0-9]+")
_UUID = re.compile(r"(?:GPU|MIG)-[\w/-]+")


def count(driver: Path = _DRIVER, devices: Path = _DEVICES) -> int:
    """Those that the driver has; 0 without one."""
    if driver.is_dir():
        return sum(1 for _ in driver.iterdir())
    # In a container the driver's folder may be hidden while the devices are passed in.
    return sum(1 for node in devices.iterdir() if _NODE.fullmatch(node.name)) if devices.is_dir() else 0


def visible(there: int, told: str | None) -> int:
    """How many of them `told` (the variable's value, None where it is not set) leaves visible.

    As CUDA reads it: a list that ends before the first entry that is no device; slices have names.
    """
    if told is None:
        return there
    seen: list[str] = []
    for entry in (part.strip() for part in told.split(",")):
        is_number = entry.isascii() and entry.isdigit() and int(entry) < there
        if not is_number and not (there and _UUID.fullmatch(entry)):
            break
        if entry in seen:
            return 0  # which CUDA takes for no device at all
        seen.append(entry)
    return len(seen)


def fault_of_options(options: Mapping[str, str], kinds: Container[Kind]) -> str:
    """What they ask for that an engine other than ONNX Runtime, which runs on `kinds`, does not do.

    A configuration that names no engine is checked before anybody knows which file lies beside it.
    """
    kind = place_of(options).kind
    if kind != "auto" and kind not in kinds:
        return f"instance_group: KIND_{kind.upper()} is not supported for this kind of model"
    if ACCELERATORS_OPTION in options:
        return f"{ACCELERATORS_OPTION} is not supported for this kind of model"
    return ""


def fault_of(place: Place, gpus: int) -> str:
    """Why an instance cannot be on the GPU it must be on, with so many visible; "" if it can."""
    if place.kind != "gpu" or place.device < gpus:
        return ""
    return f"instance_group: KIND_GPU needs GPU {place.device}, and {seen(gpus)}"


def seen(gpus: int) -> str:
    """That so many are visible, which were too few."""
    return f"only {gpus} are visible" if gpus else "no GPU is visible"


def told_here() -> str | None:
    """The variable's value in this process; None where it is not set."""
    return os.environ.get(VARIABLE)


def told_to(device: str) -> str | None:
    """The variable's value for a worker whose seat has `device`; None leaves it as the gateway has it.

    One on the CPU sees no GPU: an engine that takes one where it finds it must not.
    """
    return None if not device else "" if device == CPU else device


def visible_here() -> int:
    """How many this process may use."""
    return visible(count(), told_here())
