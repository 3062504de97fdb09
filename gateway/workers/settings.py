"""How workers are started, watched, stopped, and given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class WorkerSettings(BaseModel):
    """[workers] Start, watch, stop and give up the processes that host models."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runtimes: Mapping[str, str] = Field(
        default_factory=dict,
        description='Further engines: backend name to "package.module:Class"; overrides the built-in ones.',
    )
    preload: tuple[str, ...] = Field(
        ("numpy", "onnxruntime", "gateway.runtimes.onnx", "gateway.runtimes.python"),
        description="Modules the zygote imports once for all workers; a missing one is reported, not fatal; "
        "one that starts a thread is, because forks would not be safe.",
    )
    shared_memory_bytes: int = Field(
        1 << 30,
        ge=1 << 20,
        le=1 << 40,
        description="Most shared memory a front may have for large tensors; beyond it they are copied.",
    )
    zygotes: int = Field(
        8, ge=0, le=64, description="Most zygotes of models that preload modules (gateway.preload)."
    )
    load_slots: int = Field(
        2, ge=1, le=64, description="Models that may be loading at the same time on one device."
    )
    warm_workers: int = Field(1, ge=0, le=64, description="Workers that wait for a model to run on the CPU.")
    warm_gpu_workers: int = Field(
        0, ge=0, le=16, description="Workers that wait on each GPU or slice, with its context made."
    )
    share: Literal["gpus", "all", "none"] = Field(
        "gpus",
        description="Where models share worker processes: on whole GPUs, whose context they then have in "
        "common; everywhere; or nowhere.",
    )
    shareable: tuple[str, ...] = Field(
        ("onnxruntime", "tensorrt"),
        description="Backends whose models may share one: such as run no code that comes with a model.",
    )
    shared_by: int = Field(64, ge=1, le=1024, description="Most instances in one shared worker.")
    sleep_s: float = Field(
        600.0,
        ge=-1,
        le=100 * 366 * 86_400,
        description="Time that the weights of an unused model wait in host memory after it has left its GPU; "
        "negative is as long as there is room, 0 never.",
    )
    load_timeout_s: float = Field(60.0, gt=0, le=3600, description="Time a worker has to load its model.")
    load_failure_memory_s: float = Field(
        5.0, ge=0, le=3600, description="Time a failed load is remembered before the next one is tried."
    )
    stop_grace_s: float = Field(
        10.0, ge=0, le=600, description="Time a stopped worker has for the batch in hand before SIGTERM."
    )
    drain_timeout_s: float = Field(
        20.0, ge=0, le=600, description="Time fronts have to take their batches out of a worker."
    )
    term_grace_s: float = Field(1.0, gt=0, le=60, description="Time between SIGTERM and SIGKILL.")
    heartbeat_timeout_s: float = Field(
        10.0, gt=1, le=600, description="Silence after which a serving worker counts as hung."
    )
    hung_after_s: float = Field(
        60.0, gt=0, le=86_400, description="Age of a batch in hand at which its worker counts as hung."
    )
    zygote_timeout_s: float = Field(
        30.0, gt=0, le=600, description="Time the zygote has to import its modules, and then for each fork."
    )
    restart_backoff_s: float = Field(
        0.5, gt=0, le=60, description="Wait before the second restart in a row; doubled for each further one."
    )
    restart_backoff_cap_s: float = Field(30.0, gt=0, le=600, description="Longest wait before a restart.")
    crash_limit: int = Field(
        5, ge=1, le=1000, description="Deaths within the window that quarantine a version."
    )
    crash_window_s: float = Field(600.0, gt=0, le=86_400, description="The window deaths are counted in.")
    quarantine_s: float = Field(
        60.0, gt=0, le=86_400, description="Time a quarantined version is refused before it is tried again."
    )
