"""The names under which V2's extensions are advertised, and their order."""

from __future__ import annotations

from collections.abc import Iterable

# As Triton lists them; a client that compares lists finds ours a part of that.
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


def in_order(extensions: Iterable[str]) -> list[str]:
    """`extensions` in Triton's order; raises ValueError for a name that Triton does not have."""
    return sorted(extensions, key=_ORDER.index)
