"""What is told about requests, and to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.core.log_settings import LogSettings, TimeFormat
from gateway.core.trace_settings import Level, TraceSettings


class TelemetrySettings(BaseModel):
    """[telemetry] Metrics, traces and logs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    access_log: bool = Field(False, description="Write one JSON line per request to standard output.")
    flush_s: float = Field(1.0, ge=0.05, le=60, description="Interval at which fronts hand over counters.")
    devices_s: float = Field(
        2.0, ge=0.1, le=3600, description="Interval at which processors, memory and GPUs are read."
    )
    metrics_compat: Literal["none", "triton"] = Field(
        "none", description='With "triton" the page has the nv_* names too, beside ours.'
    )
    trace_file: Path | None = Field(
        None, description="Traces are appended to this file as one JSON array; without it they go to the log."
    )
    trace_level: tuple[Level, ...] = Field(
        (), description="TIMESTAMPS, TENSORS or both: what is traced until a caller sets it; nothing is off."
    )
    trace_rate: int = Field(1000, ge=1, le=(1 << 32) - 1, description="One request of so many is traced.")
    trace_count: int = Field(
        -1, ge=-1, le=(1 << 32) - 1, description="So many traces, then no more; -1 is no end."
    )
    trace_log_frequency: int = Field(
        0,
        ge=0,
        le=(1 << 32) - 1,
        description="Traces a file, each front then making its own trace_file.FRONT.NUMBER; 0 is one file.",
    )
    trace_max_bytes: int = Field(
        256 << 20, ge=1 << 10, description="What a front writes of traces to files, then no more."
    )
    trace_tensor_elements: int = Field(
        1000,
        ge=0,
        le=1 << 20,
        description="Most elements of a tensor in a trace of level TENSORS.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is logged on standard error until a caller sets it, and all above it."
    )
    log_style: Literal["text", "json"] = Field("text", description="Lines for people, or JSON objects.")
    log_format: TimeFormat = Field(
        "default", description="Times in the log until a caller sets it: local, or ISO8601 in UTC."
    )

    @field_validator("trace_file")
    @classmethod
    def _refuse_a_missing_folder(cls, file: Path | None) -> Path | None:
        """Else the first trace would be the first to know."""
        if file is not None and not file.parent.is_dir():
            raise ValueError(f"telemetry.trace_file = {file}: there is no folder {file.parent}")
        return file

    @property
    def trace(self) -> TraceSettings:
        """What is traced until somebody sets something else."""
        return TraceSettings(self.trace_level, self.trace_rate, self.trace_count, self.trace_log_frequency)

    @property
    def log(self) -> LogSettings:
        """What is logged until somebody sets something else."""
        level = self.log_level
        return LogSettings(
            info=level in {"debug", "info"},
            warning=level != "error",
            verbose_level=int(level == "debug"),
            format=self.log_format,
        )
