"""What is told about requests, and to whom."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TelemetrySettings(BaseModel):
    """[telemetry] Metrics and logs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    access_log: bool = Field(False, description="Write one JSON line per request to standard output.")
    flush_s: float = Field(1.0, ge=0.05, le=60, description="Interval at which fronts hand over counters.")
    metrics_compat: Literal["none", "triton"] = Field(
        "none", description='With "triton" the page has the nv_inference_* names too, beside ours.'
    )
