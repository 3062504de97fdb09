"""Which memory models have, how many instances, and how long those that nobody uses stay."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class MemorySettings(BaseModel):
    """[memory] Make room for models that are asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimum_residency_s: float = Field(
        10.0,
        ge=0,
        le=86_400,
        description="Time a loaded model is not put out for another.",
    )
    wait_for_room_s: float = Field(
        30.0, ge=0, le=3600, description="Time a load waits for memory that others have before it fails."
    )


class PrefetchSettings(BaseModel):
    """[prefetch] Load models before anybody asks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path | None = Field(None, description="File that remembers which models were used last.")
    at_start: int = Field(
        8,
        ge=0,
        le=10_000,
        description="Models used last that are loaded at the start, with a file.",
    )
    daily: Mapping[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Models by the time of day at which they are loaded, HH:MM in UTC."
    )

    @field_validator("daily")
    @classmethod
    def _times(cls, daily: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        for told in daily:
            if not _TIME.fullmatch(told):
                raise ValueError(f"prefetch.daily: '{told[:40]}' is no time of day, HH:MM")
        return daily


class ScalingSettings(BaseModel):
    """[scaling] Instances by use, and to zero."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(True, description="Whether the numbers of instances follow the use.")
    tick_s: float = Field(1.0, gt=0, le=60, description="Seconds between decisions.")
    keep_alive_s: float = Field(
        300.0,
        ge=-1,
        le=100 * 366 * 86_400,
        description="Time a model stays loaded after its last request; negative is for ever.",
    )
    target_concurrency: float = Field(
        100.0,
        ge=0.01,
        le=1e6,
        description="Requests an instance can have at a time, where a model does not say: about a batch.",
    )
    target_utilization: float = Field(
        0.7, gt=0, le=1, description="Part of the target concurrency that an instance is meant to have."
    )
    stable_window_s: float = Field(60.0, ge=6, le=3600, description="Time that decisions look back.")
    panic_window_fraction: float = Field(
        0.1, gt=0, le=1, description="Part of the stable window that shows a sudden load."
    )
    panic_threshold: float = Field(
        2.0, ge=1, le=1000, description="How many times what there is must be needed for a panic."
    )
    max_scale_up_rate: float = Field(
        1000.0, gt=1, le=1e6, description="Most that instances may become of one at a decision."
    )
    max_scale_down_rate: float = Field(
        2.0, gt=1, le=1e6, description="By what instances are divided at the most at a decision."
    )
    scale_down_delay_s: float = Field(
        0.0, ge=0, le=3600, description="Time that fewer instances must have sufficed."
    )
