"""The names of the protocol's extensions, in the order in which Triton tells them."""

from __future__ import annotations

_ORDER = (
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "cuda_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
)


def in_order(*groups: tuple[str, ...]) -> tuple[str, ...]:
    """All names of `groups`; a name that Triton does not know is an error of whoever wrote it."""
    return tuple(sorted({name for group in groups for name in group}, key=_ORDER.index))
