"""Memory that a caller names, of the system or of CUDA: never mapped, so there are no regions."""

from __future__ import annotations

from gateway.core.errors import Unsupported

_DISABLED = "Client shared memory is disabled. This gateway maps no memory that a caller names"


def disabled() -> Unsupported:
    """What registering or unregistering a region is answered with."""
    return Unsupported(_DISABLED)
