"""What an instance can stand on, and what a worker is made for; values alone."""

from __future__ import annotations

from typing import Literal

import msgspec

CPU = "cpu"


class Device(msgspec.Struct, frozen=True):
    """The host's processors together, a GPU, or a MIG slice of one.

    `id` is "cpu", or the UUID by which CUDA_VISIBLE_DEVICES names it. `number` is NVML's index of the
    GPU, of the one around it for a slice, -1 for the CPU. `memory_bytes` are there in all;
    `compute_share` is of a whole GPU's processors; `parent` is the UUID of the GPU around a slice.
    """

    id: str = CPU
    kind: Literal["cpu", "gpu", "mig"] = "cpu"
    name: str = ""
    memory_bytes: int = 0
    number: int = -1
    parent: str = ""
    compute_share: float = 1.0
    is_healthy: bool = True


class Seat(msgspec.Struct, frozen=True):
    """What a worker process is made for, and cannot change afterwards.

    `device` is the one it sees, "" for all that the gateway sees; `environment` is what it is forked from
    (core.environment.Base, encoded), "" for what all are. A `is_shared` one hosts instances of several
    models.
    """

    device: str = ""
    environment: str = ""
    is_shared: bool = False


class Usage(msgspec.Struct, frozen=True):
    """How a version is used: when last, on the monotonic clock, and by how many requests at this moment."""

    last_used_at: float = 0.0
    in_flight: int = 0
