"""How requests wait, and how they join in batches."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SchedulingSettings(BaseModel):
    """[scheduling] Queues and batches of a front."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_queue_requests: int = Field(
        4096,
        ge=1,
        le=1 << 20,
        description="Most requests waiting for one model version in one front, at all priorities together.",
    )
    max_cold_waiters: int = Field(
        1024, ge=1, le=1 << 20, description="Most requests waiting for one model version to load."
    )
    cold_wait_s: float = Field(
        30.0, gt=0, le=3600, description="Longest time a request waits for its model to load."
    )
    default_timeout_s: float = Field(
        60.0, gt=0, le=86_400, description="Deadline of a request that brings none."
    )
    batches_in_flight: int = Field(
        2,
        ge=1,
        le=16,
        description="Batches given to one instance before its first answer; one under a queue policy.",
    )
    poison_memory_s: float = Field(
        600.0, ge=0, description="How long an input that killed two workers is refused at once."
    )
