"""Where instances are placed, and how much of a device they may have."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.devices.reserve import Reserve


class DeviceSettings(BaseModel):
    """[devices] Place instances on the CPU, GPUs and MIG slices, within their memory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    placement: Literal["spread", "pack"] = Field(
        "spread",
        description="Instances go where the largest part of the memory stays free (spread), or the least "
        "(pack).",
    )
    reserve_bytes: int = Field(
        0, ge=0, le=1 << 40, description="Memory of each device that instances are never given."
    )
    reserve_fraction: float = Field(
        0.05,
        ge=0,
        le=0.9,
        description="Part of each device's memory that instances are never given; the larger reserve counts.",
    )
    host_memory_bytes: int = Field(
        0,
        ge=0,
        le=1 << 50,
        description="Most of the host's memory that models may have, 0 for all that the machine and its "
        "cgroups allow.",
    )
    poll_s: float = Field(
        5.0, gt=0, le=3600, description="Time between looks at devices: memory, and which are lost."
    )

    @property
    def reserve(self) -> Reserve:
        """What is kept free of each device."""
        return Reserve(self.reserve_bytes, self.reserve_fraction)
